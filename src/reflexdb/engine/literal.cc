#include "literal.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "operand.h"
#include "ordered_text.h"
#include "time_text.h"

namespace reflex {

namespace {

using Kind = ast::Literal::Kind;

constexpr char kTooLarge[] = "a number with an exponent of at most 400";

// Beyond every integer storage, so that comparing with it says the right thing; far from overflow.
constexpr Int128 kHuge = static_cast<Int128>(1) << 100;

std::string integer(const ast::Literal& literal, Value* out) {
  constexpr char kWanted[] = "a whole number";
  if (literal.kind != Kind::kNumber) return kWanted;
  int64_t plain = 0;
  const char* end = literal.text.data() + literal.text.size();
  const auto read = std::from_chars(literal.text.data(), end, plain);
  if (read.ec == std::errc() && read.ptr == end) {
    out->integer = plain;
    return {};
  }
  std::string text;
  Decimal value;
  if (!expand_number(literal.text, &text)) return kTooLarge;
  if (!parse_decimal(text, &value) || !value.fraction.empty()) return kWanted;
  if (!to_integer(value, &out->integer) || out->integer > kHuge || out->integer < -kHuge) {
    out->integer = value.negative ? -kHuge : kHuge;
  }
  return {};
}

std::string boolean(const ast::Literal& literal, Value* out) {
  constexpr char kWanted[] = "true, false, 0 or 1";
  if (literal.kind == Kind::kString) return kWanted;
  if (literal.kind != Kind::kNumber) {
    out->integer = literal.kind == Kind::kTrue ? 1 : 0;
    return {};
  }
  return integer(literal, out).empty() && (out->integer == 0 || out->integer == 1) ? "" : kWanted;
}

std::string floating(bool narrow, const ast::Literal& literal, Value* out) {
  if (literal.kind != Kind::kNumber) return "a number";
  const char* end = literal.text.data() + literal.text.size();
  std::errc error{};
  if (narrow) {  // 0.1 finds what is answered as 0.1
    float value = 0;
    error = std::from_chars(literal.text.data(), end, value).ec;
    out->number = static_cast<double>(value);
  } else {
    error = std::from_chars(literal.text.data(), end, out->number).ec;
  }
  return error == std::errc() ? "" : "a number within the range of the column's type";
}

std::string decimal(const ast::Literal& literal, Value* out) {
  if (literal.kind != Kind::kNumber) return "a number";
  std::string text;
  Decimal value;
  if (!expand_number(literal.text, &text)) return kTooLarge;
  parse_decimal(text, &value);
  out->bytes = canonical(value);
  return {};
}

std::string date(const ast::Literal& literal, Value* out) {
  int32_t days = 0;
  if (literal.kind != Kind::kString || !parse_date(literal.text, &days)) return "a date like \"2026-04-15\"";
  out->integer = days;
  return {};
}

std::string datetime(bool instant, const ast::Literal& literal, Value* out) {
  int64_t micros = 0;
  if (literal.kind != Kind::kString || !parse_datetime(literal.text, instant, &micros)) {
    return instant ? "a time like \"2026-04-15T12:00:00Z\""
                   : "a time without zone like \"2026-04-15T12:00:00\"";
  }
  out->integer = micros;
  return {};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string uuid(const ast::Literal& literal, Value* out) {
  constexpr char kWanted[] = "a uuid like \"3f2b8c1e-5d7a-4e9b-8c1d-2a3b4c5d6e7f\"";
  if (literal.kind != Kind::kString) return kWanted;
  const std::string& text = literal.text;
  if (text.size() != 36 && text.size() != 32) return kWanted;
  int high = -1;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool hyphen = text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
    if (hyphen != (text[i] == '-')) return kWanted;
    if (hyphen) continue;
    const int digit = hex_digit(text[i]);
    if (digit < 0) return kWanted;
    if (high >= 0) out->bytes.push_back(static_cast<char>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  return {};
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::string binary(const ast::Literal& literal, Value* out) {
  constexpr char kWanted[] = "a base64 string";
  std::string_view text = literal.text;
  if (literal.kind != Kind::kString || text.size() % 4 != 0) return kWanted;
  for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  uint32_t group = 0;
  int bits = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return kWanted;
    group = (group << 6) | static_cast<uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out->bytes.push_back(static_cast<char>((group >> bits) & 0xFF));
  }
  return (group & ((1u << bits) - 1)) == 0 ? "" : kWanted;
}

std::string ordered(Storage storage, const ast::Literal& literal, Value* out) {
  if (literal.kind != Kind::kString || !is_ordered_value(storage, literal.text)) {
    return storage == Storage::kTime ? "a time like \"12:00:00\"" : "an interval like \"2 days 03:04:05\"";
  }
  out->bytes = literal.text;
  return {};
}

std::string text(const ast::Literal& literal, Value* out) {
  if (literal.kind != Kind::kString) return "text in quotes";
  out->bytes = literal.text;
  return {};
}

std::string literal_words(const ast::Literal& literal) {
  if (!literal.parameter.empty()) {
    return "the parameter " + quote("$" + literal.parameter) + ", which is " + quote(literal.text);
  }
  switch (literal.kind) {
    case Kind::kTrue:
      return "`true`";
    case Kind::kFalse:
      return "`false`";
    case Kind::kString:
      return "the text " + quote(literal.text);
    default:
      return quote(literal.text);
  }
}

}  // namespace

std::string type_literal(Storage storage, const ast::Literal& literal, Value* out) {
  switch (storage) {
    case Storage::kBool:
      return boolean(literal, out);
    case Storage::kI16:
    case Storage::kI32:
    case Storage::kI64:
    case Storage::kU64:
      return integer(literal, out);
    case Storage::kF32:
    case Storage::kF64:
      return floating(storage == Storage::kF32, literal, out);
    case Storage::kDecimal:
      return decimal(literal, out);
    case Storage::kDate:
      return date(literal, out);
    case Storage::kDatetime:
    case Storage::kTimestamp:
      return datetime(storage == Storage::kTimestamp, literal, out);
    case Storage::kUuid:
      return uuid(literal, out);
    case Storage::kTime:
    case Storage::kInterval:
      return ordered(storage, literal, out);
    case Storage::kBinary:
      return binary(literal, out);
    default:
      return text(literal, out);
  }
}

std::string column_words(const ColumnDef& column) {
  return "Column " + quote(column.name) + " (" + std::string(column.declared) + ")";
}

QueryError literal_mismatch(const ColumnDef& column, const ast::Literal& literal, const std::string& wanted) {
  return error_at(
      "type_mismatch", literal.at,
      column_words(column) + " is compared with " + wanted + ", not with " + literal_words(literal) + ".");
}

}  // namespace reflex
