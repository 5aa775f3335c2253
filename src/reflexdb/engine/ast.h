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
  enum class Kind : uint8_t { kString, kNumber, kTrue, kFalse, kParameter };
  Kind kind = Kind::kString;
  std::string text;       // decoded string, the number as written, or the parameter's name
  std::string parameter;  // a bound one keeps its name, for messages
  size_t at = 0;
};

enum class Op : uint8_t { kEq, kLt, kLe, kGt, kGe, kBetween, kIn, kLike, kILike, kIsNull };

// count(), sum(views): over rows of a selection or of a relation.
struct Aggregate {
  enum class Function : uint8_t { kCount, kSum, kAvg, kMin, kMax };
  Function function = Function::kCount;
  std::optional<Name> column;
  size_t at = 0;
};

struct Expr {
  enum class Kind : uint8_t { kAnd, kOr, kNot, kCompare, kRelation };
  Kind kind = Kind::kCompare;
  std::vector<std::unique_ptr<Expr>> kids;  // kAnd, kOr: two or more; kNot, kRelation: one
  std::vector<Name> path;                   // kCompare: relations, then the column; kRelation: relations
  Op op = Op::kEq;
  bool negated = false;  // `!=`, NOT IN, NOT LIKE, NOT BETWEEN, IS NOT NULL
  std::vector<Literal> literals;
  std::optional<Aggregate> aggregate;  // kCompare: in place of a column
  size_t at = 0;
};

struct OrderItem {
  std::vector<Name> path;  // forward relations, then the column
  std::optional<Aggregate> aggregate;
  bool descending = false;
  bool nulls_first = false;
};

// LIMIT 10 or LIMIT $n.
struct Count {
  uint64_t value = 0;
  std::string parameter;
  size_t at = 0;
};

struct Field;

struct Selection {
  Name name;
  Name key;  // the alias, or the name again
  std::unique_ptr<Expr> where;
  std::vector<OrderItem> order;
  std::vector<std::vector<Name>> group;  // paths: forward relations, then the column
  std::unique_ptr<Expr> having;
  std::optional<Literal> after;  // a cursor
  uint64_t shape = 0;            // of the condition and the order, whitespace aside
  std::optional<Count> limit;
  std::optional<Count> offset;
  size_t clauses_at = 0;  // where ORDER BY, LIMIT or OFFSET stands, for messages
  std::vector<Field> fields;
};

struct Field {
  enum class Kind : uint8_t { kStar, kDots, kColumn, kRelation, kAggregate };
  Kind kind = Kind::kColumn;
  Name name;
  Name key;                // the alias, or the name again
  std::vector<Name> path;  // kColumn: of a related row, in groups; else empty
  Aggregate aggregate;
  std::unique_ptr<Selection> selection;  // kRelation
};

struct Query {
  std::vector<Selection> selections;  // one or more
  bool has_parameters = false;
  bool explained = false;
};

}  // namespace reflex::ast
