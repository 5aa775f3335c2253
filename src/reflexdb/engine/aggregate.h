// Folding rows into one value: count, sum, avg, min and max, exactly.
//
// An Accumulator sees rows of one table; nulls and NaN are passed over. Sums of integers and decimals are
// exact whatever their size, averages are rounded half away from zero to kAverageDigits more digits behind
// the point than the sum has; floats are added as doubles.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "decimal.h"
#include "json_out.h"
#include "plan.h"
#include "store.h"

namespace reflex {

inline constexpr size_t kAverageDigits = 6;

struct AggregateValue {
  enum class Kind : uint8_t { kNull, kInteger, kFloat, kDecimal, kRow };
  Kind kind = Kind::kNull;
  Int128 integer = 0;   // counts and sums of integers
  double number = 0;    // of floats
  std::string decimal;  // of decimals, and every exact average
  uint32_t row = 0;     // min, max: a row that has the value
};

// Any number of decimals, exactly: digits in groups of nine that are carried over only at the end. Rows are
// fewer than 2^32, so no group overflows.
class DecimalSum {
 public:
  void add(const Decimal& value);
  std::string text() const;

 private:
  std::vector<int64_t> whole_;     // lowest group first
  std::vector<int64_t> fraction_;  // highest group first
  int infinities_ = 0;             // bit 0: plus, bit 1: minus
};

class Accumulator {
 public:
  void add(const PlanAggregate& plan, const Table& table, uint32_t row);
  // As many rows, for a count of rows.
  void add_many(uint64_t rows) { count_ += rows; }
  AggregateValue value(const PlanAggregate& plan) const;

 private:
  uint64_t count_ = 0;
  Int128 integer_ = 0;
  double number_ = 0;
  DecimalSum decimal_;
  uint32_t best_ = 0;
};

// Numbers, that is: what sum and avg take.
bool is_summable(Storage storage);

// Null is answered as null and NaN too.
bool is_known(const Column& column, uint32_t row);

// Requires: both of `plan`, neither null. Negative, 0 or positive.
int compare_values(const PlanAggregate& plan, const Table& table, const AggregateValue& a,
                   const AggregateValue& b);

// The value as a decimal's text, for exact comparing. Requires: kInteger or kDecimal.
std::string exact_text(const AggregateValue& value);

// As in JSON. Requires: not kRow.
void emit_number(const AggregateValue& value, Writer* writer);

void emit_aggregate(const PlanAggregate& plan, const Table& table, const AggregateValue& value,
                    Writer* writer);

}  // namespace reflex
