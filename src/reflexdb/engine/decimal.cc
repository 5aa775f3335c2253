#include "decimal.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace reflex {

namespace {

constexpr int kMaxExponent = 400;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

int sign(int v) { return (v > 0) - (v < 0); }

int compare_magnitude(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  const int whole = a.whole.compare(b.whole);
  return sign(whole != 0 ? whole : a.fraction.compare(b.fraction));
}

}  // namespace

bool parse_decimal(std::string_view text, Decimal* out) {
  *out = Decimal{};
  if (text == "NaN") out->kind = Decimal::Kind::kNaN;
  if (text == "Infinity") out->kind = Decimal::Kind::kInfinity;
  if (text == "-Infinity") out->kind = Decimal::Kind::kNegInfinity;
  if (out->kind != Decimal::Kind::kFinite) return true;
  const bool minus = text.starts_with('-');
  if (minus) text.remove_prefix(1);
  const size_t dot = text.find('.');
  out->whole = text.substr(0, dot);
  if (!all_digits(out->whole)) return false;
  if (dot != std::string_view::npos) {
    out->fraction = text.substr(dot + 1);
    if (!all_digits(out->fraction)) return false;
  }
  while (out->whole.starts_with('0')) out->whole.remove_prefix(1);
  while (out->fraction.ends_with('0')) out->fraction.remove_suffix(1);
  out->negative = minus && !(out->whole.empty() && out->fraction.empty());
  return true;
}

int compare(const Decimal& a, const Decimal& b) {
  if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
  if (a.kind != Decimal::Kind::kFinite) return 0;
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int magnitude = compare_magnitude(a, b);
  return a.negative ? -magnitude : magnitude;
}

uint64_t hash(const Decimal& value) {
  const uint64_t whole = std::hash<std::string_view>{}(value.whole);
  const uint64_t fraction = std::hash<std::string_view>{}(value.fraction);
  const uint64_t rest = static_cast<uint64_t>(value.kind) * 2 + (value.negative ? 1 : 0);
  return (whole * 0x9E3779B97F4A7C15ULL) ^ (fraction + (rest << 32));
}

bool to_integer(const Decimal& value, Int128* out) {
  if (value.kind != Decimal::Kind::kFinite || !value.fraction.empty() || value.whole.size() > 37)
    return false;
  Int128 result = 0;
  for (const char c : value.whole) result = result * 10 + (c - '0');
  *out = value.negative ? -result : result;
  return true;
}

bool expand_number(std::string_view number, std::string* out) {
  out->clear();
  const size_t e = number.find_first_of("eE");
  if (e == std::string_view::npos) {
    *out = number;
    return true;
  }
  std::string_view mantissa = number.substr(0, e);
  std::string_view exponent_text = number.substr(e + 1);
  const bool down = exponent_text.starts_with('-');
  if (down || exponent_text.starts_with('+')) exponent_text.remove_prefix(1);
  assert(all_digits(exponent_text));
  int exponent = 0;
  for (const char c : exponent_text) {
    exponent = exponent * 10 + (c - '0');
    if (exponent > kMaxExponent) return false;
  }
  if (mantissa.starts_with('-')) {
    out->push_back('-');
    mantissa.remove_prefix(1);
  }
  const size_t dot = std::min(mantissa.find('.'), mantissa.size());
  std::string digits(mantissa.substr(0, dot));
  if (dot < mantissa.size()) digits += mantissa.substr(dot + 1);
  const auto shift = static_cast<size_t>(exponent);
  size_t point = dot;
  if (down) {
    if (point <= shift) {
      digits.insert(0, shift - point + 1, '0');
      point = shift + 1;
    }
    point -= shift;
  } else {
    point += shift;
    if (digits.size() < point) digits.append(point - digits.size(), '0');
  }
  assert(point > 0 && point <= digits.size());
  out->append(digits, 0, point);
  if (point < digits.size()) out->append(".").append(digits, point);
  return true;
}

}  // namespace reflex
