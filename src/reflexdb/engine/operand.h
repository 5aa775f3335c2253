// What a column is compared with: a literal, or a list of them, in the form in which the column's values can
// be tested fastest.
//
// Bound once per query; owns everything it needs, and is not changed while the query runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "ast.h"
#include "decimal.h"
#include "key.h"
#include "like.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

struct Operand {
  // Every comparison with an order is a range: = is [x, x], > is (x, ...]; != is the same with the predicate
  // negated.
  enum class Kind : uint8_t { kRange, kIn, kLike, kNull };
  Kind kind = Kind::kRange;

  // kRange over integers, dates and times, closed: `low` + 0..`span` in the column's own width, modulo 2^64.
  bool none = false;  // no value of the type is inside
  uint64_t low = 0;
  uint64_t span = 0;

  // kRange over floats, closed.
  double low_float = 0;
  double high_float = 0;

  // kRange over decimals, bytes, and ordered keys of times and intervals; a missing bound is open-ended.
  bool has_low = false;
  bool has_high = false;
  bool low_strict = false;
  bool high_strict = false;
  Decimal low_decimal;
  Decimal high_decimal;
  std::string_view low_bytes;
  std::string_view high_bytes;

  // kIn: integers as 64 bits, floats as their bits; everything else as bytes (decimals in canonical
  // text, times and intervals as their ordered keys).
  std::unordered_set<uint64_t> integers;
  std::unordered_set<std::string_view> strings;

  // Of `=` and IN over keys that compare by a collation (folding.h): `strings` has the literals folded, and
  // nothing else counts.
  const FoldingDef* folding = nullptr;

  Like like;

  // The literals as keys for an index lookup; empty where the storage has none (floats).
  std::vector<KeyPart> keys;
  bool equality = false;  // `=` or IN: `keys` are all that can match

  std::vector<std::unique_ptr<std::string>> texts;  // what the views above borrow
};

// Types the literals of `expr` (its op, literals) for `column`. Or a type_mismatch that names column, type
// and position.
QueryError bind_operand(const ColumnDef& column, const ast::Expr& expr, Operand* out);

// The same for an operand that was bound with one literal and a comparison and gets another literal. False
// where it does not fit; the operand is then of no use until it gets one that does.
bool rebind_operand(const ColumnDef& column, const ast::Expr& expr, Operand* out);

// The canonical text of a decimal: equal values, equal text.
std::string canonical(const Decimal& value);

}  // namespace reflex
