#include "aggregate.h"

#include <algorithm>
#include <cmath>

#include "emit.h"
#include "key.h"
#include "operand.h"

namespace reflex {

namespace {

using Function = ast::Aggregate::Function;

constexpr size_t kGroup = 9;
constexpr int64_t kBase = 1'000'000'000;

int64_t digits(std::string_view text) {
  int64_t value = 0;
  for (const char c : text) value = value * 10 + (c - '0');
  return value;
}

std::string integer_text(Int128 value) {
  const bool negative = value < 0;
  std::string text;
  do {
    const auto digit = static_cast<int>(value % 10);
    text.push_back(static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  } while (value != 0);
  if (negative) text.push_back('-');
  std::reverse(text.begin(), text.end());
  return text;
}

void nine_digits(int64_t value, std::string* out) {
  const std::string text = std::to_string(value);
  out->append(kGroup - text.size(), '0').append(text);
}

// Equal values, equal text: no zeros that say nothing.
std::string tidy(std::string_view text) {
  Decimal value;
  parse_decimal(text, &value);
  return canonical(value);
}

// `sum` / `count`, digit by digit.
std::string divide(std::string_view sum, uint64_t count) {
  Decimal value;
  parse_decimal(sum, &value);
  if (value.kind != Decimal::Kind::kFinite) return std::string(sum);
  std::string dividend(value.whole);
  dividend.append(value.fraction).append(kAverageDigits, '0');
  const size_t scale = value.fraction.size() + kAverageDigits;
  std::string quotient = "0";  // room for a carry
  uint64_t rest = 0;           // below `count`, which is below 2^32
  for (const char c : dividend) {
    rest = rest * 10 + static_cast<uint64_t>(c - '0');
    quotient.push_back(static_cast<char>('0' + rest / count));
    rest %= count;
  }
  if (rest * 2 >= count) {
    size_t i = quotient.size() - 1;
    for (; quotient[i] == '9'; --i) quotient[i] = '0';
    ++quotient[i];
  }
  if (quotient.size() <= scale) quotient.insert(0, scale + 1 - quotient.size(), '0');
  quotient.insert(quotient.size() - scale, ".");
  return tidy((value.negative ? "-" : "") + quotient);
}

double float_value(const Column& column, uint32_t row) {
  return column.storage == Storage::kF32 ? static_cast<double>(column.get<float>(row))
                                         : column.get<double>(row);
}

}  // namespace

void DecimalSum::add(const Decimal& value) {
  if (value.kind != Decimal::Kind::kFinite) {
    infinities_ |= value.kind == Decimal::Kind::kInfinity ? 1 : 2;
    return;
  }
  const int64_t sign = value.negative ? -1 : 1;
  const size_t wholes = (value.whole.size() + kGroup - 1) / kGroup;
  if (whole_.size() < wholes) whole_.resize(wholes);
  std::string_view left = value.whole;
  for (size_t i = 0; !left.empty(); ++i) {
    const size_t cut = left.size() > kGroup ? left.size() - kGroup : 0;
    whole_[i] += sign * digits(left.substr(cut));
    left = left.substr(0, cut);
  }
  const size_t fractions = (value.fraction.size() + kGroup - 1) / kGroup;
  if (fraction_.size() < fractions) fraction_.resize(fractions);
  for (size_t i = 0; i < fractions; ++i) {
    const std::string_view group = value.fraction.substr(i * kGroup, kGroup);
    int64_t amount = digits(group);
    for (size_t k = group.size(); k < kGroup; ++k) amount *= 10;
    fraction_[i] += sign * amount;
  }
}

std::string DecimalSum::text() const {
  if (infinities_ != 0) return infinities_ == 1 ? "Infinity" : infinities_ == 2 ? "-Infinity" : "NaN";
  std::vector<int64_t> groups(fraction_.rbegin(), fraction_.rend());  // lowest first
  groups.insert(groups.end(), whole_.begin(), whole_.end());
  groups.insert(groups.end(), 3, 0);  // 2^63 is less than three groups
  const auto carry = [&groups] {
    int64_t over = 0;
    for (int64_t& group : groups) {
      group += over;
      over = group / kBase;
      group %= kBase;
      if (group < 0) {
        group += kBase;
        --over;
      }
    }
    return over;
  };
  const bool negative = carry() < 0;
  if (negative) {  // what is left is the complement: the total is groups - base^n
    for (int64_t& group : groups) group = kBase - 1 - group;
    groups[0] += 1;
    carry();
  }
  std::string text = negative ? "-" : "";
  for (size_t i = groups.size(); i > fraction_.size(); --i) nine_digits(groups[i - 1], &text);
  if (!fraction_.empty()) text.push_back('.');
  for (size_t i = fraction_.size(); i > 0; --i) nine_digits(groups[i - 1], &text);
  return tidy(text);
}

bool is_summable(Storage storage) {
  return storage >= Storage::kI16 && storage <= Storage::kDecimal;  // integers, floats, decimals
}

bool is_known(const Column& column, uint32_t row) {
  if (!column.has(row)) return false;
  switch (column.storage) {
    case Storage::kF32:
    case Storage::kF64:
      return !std::isnan(float_value(column, row));
    case Storage::kDecimal:
      return column.text(row) != "NaN";
    default:
      return true;
  }
}

void Accumulator::add(const PlanAggregate& plan, const Table& table, uint32_t row) {
  if (!plan.has_column) {
    ++count_;
    return;
  }
  const Column& column = table.columns[plan.column];
  if (!is_known(column, row)) return;
  ++count_;
  switch (plan.function) {
    case Function::kCount:
      return;
    case Function::kMin:
      if (count_ == 1 || compare_rows(column, row, best_) < 0) best_ = row;
      return;
    case Function::kMax:
      if (count_ == 1 || compare_rows(column, row, best_) > 0) best_ = row;
      return;
    default:
      break;
  }
  if (plan.storage == Storage::kDecimal) {
    Decimal value;
    parse_decimal(column.text(row), &value);
    decimal_.add(value);
  } else if (key_class(plan.storage) == KeyClass::kFloat) {
    number_ += float_value(column, row);
  } else {
    integer_ += integer_value(column, row);
  }
}

AggregateValue Accumulator::value(const PlanAggregate& plan) const {
  AggregateValue out;
  if (plan.function == Function::kCount) {
    out.kind = AggregateValue::Kind::kInteger;
    out.integer = count_;
    return out;
  }
  if (count_ == 0) return out;
  if (plan.function == Function::kMin || plan.function == Function::kMax) {
    out.kind = AggregateValue::Kind::kRow;
    out.row = best_;
    return out;
  }
  const bool average = plan.function == Function::kAvg;
  if (key_class(plan.storage) == KeyClass::kFloat) {
    out.kind = AggregateValue::Kind::kFloat;
    out.number = average ? number_ / static_cast<double>(count_) : number_;
    if (std::isnan(out.number)) out.kind = AggregateValue::Kind::kNull;
    return out;
  }
  if (plan.storage != Storage::kDecimal && !average) {
    out.kind = AggregateValue::Kind::kInteger;
    out.integer = integer_;
    return out;
  }
  const std::string sum = plan.storage == Storage::kDecimal ? decimal_.text() : integer_text(integer_);
  if (sum == "NaN") return out;  // both infinities
  out.kind = AggregateValue::Kind::kDecimal;
  out.decimal = average ? divide(sum, count_) : sum;
  return out;
}

std::string exact_text(const AggregateValue& value) {
  return value.kind == AggregateValue::Kind::kInteger ? integer_text(value.integer) : value.decimal;
}

int compare_values(const PlanAggregate& plan, const Table& table, const AggregateValue& a,
                   const AggregateValue& b) {
  assert(a.kind == b.kind);
  switch (a.kind) {
    case AggregateValue::Kind::kRow:
      return compare_rows(table.columns[plan.column], a.row, b.row);
    case AggregateValue::Kind::kFloat:
      return (a.number > b.number) - (a.number < b.number);
    case AggregateValue::Kind::kDecimal: {
      Decimal x;
      Decimal y;
      parse_decimal(a.decimal, &x);
      parse_decimal(b.decimal, &y);
      return compare(x, y);
    }
    default:
      return (a.integer > b.integer) - (a.integer < b.integer);
  }
}

void emit_number(const AggregateValue& value, Writer* writer) {
  switch (value.kind) {
    case AggregateValue::Kind::kFloat:
      if (!std::isfinite(value.number)) return writer->put("null");
      return writer->number(value.number);
    case AggregateValue::Kind::kInteger:
      return writer->put(integer_text(value.integer));
    case AggregateValue::Kind::kDecimal:
      return writer->put(value.decimal.ends_with('y') ? "null" : std::string_view(value.decimal));
    default:
      return writer->put("null");
  }
}

void emit_aggregate(const PlanAggregate& plan, const Table& table, const AggregateValue& value,
                    Writer* writer) {
  if (value.kind == AggregateValue::Kind::kRow)
    return emit_value(table.columns[plan.column], value.row, writer);
  emit_number(value, writer);
}

}  // namespace reflex
