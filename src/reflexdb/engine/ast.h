// A query as written: names not yet looked up, literals not yet typed. Made by the parser, read by the
// binder.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace reflex::ast {

struct Name {
  std::string text;
  size_t at = 0;
};

struct Literal {
  enum class Kind : uint8_t { kString, kNumber, kTrue, kFalse };
  Kind kind = Kind::kString;
  std::string text;  // decoded string, or the number as written
  size_t at = 0;
};

enum class Op : uint8_t { kEq, kLt, kLe, kGt, kGe, kBetween, kIn, kLike, kILike, kIsNull };

struct Expr {
  enum class Kind : uint8_t { kAnd, kOr, kNot, kCompare, kRelation };
  Kind kind = Kind::kCompare;
  std::vector<std::unique_ptr<Expr>> kids;  // kAnd, kOr: two or more; kNot, kRelation: one
  std::vector<Name> path;                   // kCompare: relations, then the column; kRelation: relations
  Op op = Op::kEq;
  bool negated = false;  // `!=`, NOT IN, NOT LIKE, NOT BETWEEN, IS NOT NULL
  std::vector<Literal> literals;
  size_t at = 0;
};

struct OrderItem {
  Name column;
  bool descending = false;
  bool nulls_first = false;
};

struct Field;

struct Selection {
  Name name;
  std::unique_ptr<Expr> where;
  std::vector<OrderItem> order;
  std::optional<uint64_t> limit;
  std::optional<uint64_t> offset;
  size_t clauses_at = 0;  // where ORDER BY, LIMIT or OFFSET stands, for messages
  std::vector<Field> fields;
};

struct Field {
  enum class Kind : uint8_t { kStar, kDots, kColumn, kRelation };
  Kind kind = Kind::kColumn;
  Name name;
  std::unique_ptr<Selection> selection;  // kRelation
};

}  // namespace reflex::ast
