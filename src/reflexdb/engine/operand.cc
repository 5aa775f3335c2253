#include "operand.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <cmath>
#include <limits>

#include "folding.h"
#include "literal.h"
#include "ordered_text.h"

namespace reflex {

namespace {

using ast::Op;

// A closed range of integers, wide enough for every storage and for literals beyond them.
struct Range {
  Int128 low;
  Int128 high;
};

Range type_range(Storage storage) {
  switch (storage) {
    case Storage::kBool:
      return {0, 1};
    case Storage::kI16:
      return {std::numeric_limits<int16_t>::min(), std::numeric_limits<int16_t>::max()};
    case Storage::kI32:
    case Storage::kDate:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    case Storage::kU64:
      return {0, std::numeric_limits<uint64_t>::max()};
    default:
      return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

class OperandBinder {
 public:
  OperandBinder(const ColumnDef& column, const ast::Expr& expr, Operand* out)
      : column_(column), expr_(expr), out_(out) {}

  QueryError run() {
    if (expr_.op == Op::kIsNull) {
      out_->kind = Operand::Kind::kNull;
      return {};
    }
    if (column_.storage == Storage::kJson)
      return mismatch("JSON columns can only be tested with IS NULL and IS NOT NULL.");
    if (expr_.op == Op::kLike || expr_.op == Op::kILike) return like();
    out_->equality = (expr_.op == Op::kEq || expr_.op == Op::kIn) && !expr_.negated;
    if (expr_.op == Op::kEq || expr_.op == Op::kIn) out_->folding = column_.folding;
    for (const ast::Literal& literal : expr_.literals) {
      Value value;
      const std::string why = type_literal(column_.storage, literal, &value);
      if (!why.empty()) return literal_mismatch(column_, literal, why);
      if (is_zone_too_much(literal)) {
        return literal_mismatch(column_, literal, "a time without zone like \"12:00:00\"");
      }
      keep(std::move(value));
    }
    if (expr_.op == Op::kIn) {
      in_list();
    } else {
      range();
    }
    return {};
  }

 private:
  bool is_zone_too_much(const ast::Literal& literal) const {
    const bool zoned = column_.declared.find("zone") != std::string_view::npos &&
                       column_.declared.find("without") == std::string_view::npos;
    return column_.storage == Storage::kTime && !zoned && has_zone(literal.text);
  }

  QueryError mismatch(const std::string& why) const {
    return error_at("type_mismatch", expr_.at,
                    column_words(column_) + " can't be compared like this. " + why);
  }

  QueryError like() {
    const ast::Literal& pattern = expr_.literals[0];
    if (!is_text(column_.storage)) {
      return mismatch("LIKE and ILIKE work on text columns.");
    }
    if (pattern.kind != ast::Literal::Kind::kString)
      return literal_mismatch(column_, pattern, "a pattern in quotes");
    out_->kind = Operand::Kind::kLike;
    out_->like = Like(pattern.text, expr_.op == Op::kILike);
    return {};
  }

  // The literal's value with its bytes where they will stay.
  void keep(Value value) {
    KeyPart part{key_class(column_.storage), value.integer, {}};
    if (part.kind != KeyClass::kInteger && part.kind != KeyClass::kFloat) {
      if (texts_used_ == out_->texts.size()) out_->texts.push_back(std::make_unique<std::string>());
      std::string& text = *out_->texts[texts_used_++];
      text = value.bytes;  // copied: a text that is bound again has the room already
      part.bytes = text;
      if (is_ordered_text(column_.storage)) keep_ordered(text);
    }
    if (floats_used_ < floats_.size()) floats_[floats_used_++] = value.number;
    if (part.kind == KeyClass::kFloat) part.integer = std::bit_cast<int64_t>(value.number + 0.0);
    out_->keys.push_back(part);
  }

  // Beside the literal's text, its key.
  void keep_ordered(std::string_view text) {
    if (texts_used_ == out_->texts.size()) out_->texts.push_back(std::make_unique<std::string>());
    std::string& key = *out_->texts[texts_used_++];
    key = ordered_key(column_.storage, text);
    ordered_.push_back(key);
  }

  // The bytes by which rows are tested with a literal.
  std::string_view tested(size_t literal) const {
    return ordered_.empty() ? out_->keys[literal].bytes : ordered_[literal];
  }

  bool has_low() const { return expr_.op != Op::kLt && expr_.op != Op::kLe; }
  bool has_high() const { return expr_.op != Op::kGt && expr_.op != Op::kGe; }
  // BETWEEN's second literal is the upper bound; everywhere else there is one literal.
  size_t high_index() const { return expr_.op == Op::kBetween ? 1 : 0; }

  void range() {
    out_->kind = Operand::Kind::kRange;
    switch (key_class(column_.storage)) {
      case KeyClass::kInteger:
        integer_range();
        break;
      case KeyClass::kFloat:
        float_range();
        out_->keys.clear();
        break;
      default:
        byte_range();
    }
  }

  void integer_range() {
    Range range = type_range(column_.storage);
    const Int128 one = 1;
    if (has_low()) range.low = std::max(range.low, out_->keys[0].integer + (expr_.op == Op::kGt ? one : 0));
    if (has_high())
      range.high = std::min(range.high, out_->keys[high_index()].integer - (expr_.op == Op::kLt ? one : 0));
    out_->none = range.low > range.high;
    out_->low = static_cast<uint64_t>(range.low);
    out_->span = static_cast<uint64_t>(range.high - range.low);
  }

  void float_range() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const bool narrow = column_.storage == Storage::kF32;
    const auto next = [narrow](double value, double to) {
      return narrow ? static_cast<double>(std::nextafter(static_cast<float>(value), static_cast<float>(to)))
                    : std::nextafter(value, to);
    };
    out_->low_float = -kInfinity;
    out_->high_float = kInfinity;
    if (has_low()) out_->low_float = expr_.op == Op::kGt ? next(floats_[0], kInfinity) : floats_[0];
    if (has_high()) {
      const double high = floats_[high_index()];
      out_->high_float = expr_.op == Op::kLt ? next(high, -kInfinity) : high;
    }
  }

  // What is compared by a collation, in place of the literals' bytes.
  void fold() {
    out_->strings.clear();
    for (const KeyPart& part : out_->keys) {
      if (texts_used_ == out_->texts.size()) out_->texts.push_back(std::make_unique<std::string>());
      std::string& text = *out_->texts[texts_used_++];
      text = folded(*out_->folding, part.bytes);
      out_->strings.insert(text);
    }
  }

  void byte_range() {
    if (out_->folding != nullptr) return fold();
    out_->has_low = has_low();
    out_->has_high = has_high();
    out_->low_strict = expr_.op == Op::kGt;
    out_->high_strict = expr_.op == Op::kLt;
    if (out_->has_low) out_->low_bytes = tested(0);
    if (out_->has_high) out_->high_bytes = tested(high_index());
    if (column_.storage == Storage::kDecimal) {
      parse_decimal(out_->low_bytes, &out_->low_decimal);
      parse_decimal(out_->high_bytes, &out_->high_decimal);
    }
  }

  void in_list() {
    out_->kind = Operand::Kind::kIn;
    if (out_->folding != nullptr) return fold();
    const Range range = type_range(column_.storage);
    for (size_t i = 0; i < out_->keys.size(); ++i) {
      const KeyPart& part = out_->keys[i];
      if (part.kind == KeyClass::kInteger) {
        if (part.integer >= range.low && part.integer <= range.high) {
          out_->integers.insert(static_cast<uint64_t>(part.integer));
        }
      } else if (part.kind == KeyClass::kFloat) {
        out_->integers.insert(static_cast<uint64_t>(part.integer));
      } else {
        out_->strings.insert(tested(i));  // decimals are canonical already
      }
    }
    if (key_class(column_.storage) == KeyClass::kFloat) out_->keys.clear();
  }

  const ColumnDef& column_;
  const ast::Expr& expr_;
  Operand* out_;
  size_t texts_used_ = 0;
  size_t floats_used_ = 0;
  std::vector<std::string_view> ordered_;  // of times and intervals, by literal
  std::array<double, 2> floats_{};         // a range has two bounds at most; lists use the keys
};

}  // namespace

std::string canonical(const Decimal& value) {
  switch (value.kind) {
    case Decimal::Kind::kNaN:
      return "NaN";
    case Decimal::Kind::kInfinity:
      return "Infinity";
    case Decimal::Kind::kNegInfinity:
      return "-Infinity";
    default:
      break;
  }
  std::string text = value.negative ? "-" : "";
  text += value.whole.empty() ? "0" : value.whole;
  if (!value.fraction.empty()) text.append(".").append(value.fraction);
  return text;
}

QueryError bind_operand(const ColumnDef& column, const ast::Expr& expr, Operand* out) {
  return OperandBinder(column, expr, out).run();
}

bool rebind_operand(const ColumnDef& column, const ast::Expr& expr, Operand* out) {
  assert(out->kind == Operand::Kind::kRange && expr.literals.size() == 1);
  out->keys.clear();
  out->none = false;
  return OperandBinder(column, expr, out).run().ok();
}

}  // namespace reflex
