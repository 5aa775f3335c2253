#include "key.h"

#include <bit>
#include <cstdint>
#include <functional>

#include "folding.h"
#include "ordered_text.h"

namespace reflex {

namespace {

uint64_t mix(uint64_t x) {  // splitmix64's finaliser: all bits of the key reach all bits of the slot
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

template <typename T>
int order(T a, T b) {
  return (a > b) - (a < b);
}

// NaN equals itself and is greater than all else, so that sorting has a total order.
int order_floats(double a, double b) {
  const bool a_nan = a != a;
  const bool b_nan = b != b;
  if (a_nan || b_nan) return static_cast<int>(a_nan) - static_cast<int>(b_nan);
  return order(a, b);
}

double float_value(const Column& column, uint32_t row) {
  return column.storage == Storage::kF32 ? static_cast<double>(column.get<float>(row))
                                         : column.get<double>(row);
}

// Of kTime and kInterval.
std::string ordered_key(KeyClass kind, std::string_view text) {
  return reflex::ordered_key(kind == KeyClass::kTime ? Storage::kTime : Storage::kInterval, text);
}

std::string to_text(Int128 value) {
  const bool negative = value < 0;
  std::string digits;
  do {
    const auto digit = static_cast<int>(value % 10);
    digits.insert(digits.begin(), static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  } while (value != 0);
  return negative ? "-" + digits : digits;
}

}  // namespace

KeyClass key_class(Storage storage) {
  switch (storage) {
    case Storage::kF32:
    case Storage::kF64:
      return KeyClass::kFloat;
    case Storage::kDecimal:
      return KeyClass::kDecimal;
    case Storage::kUuid:
      return KeyClass::kUuid;
    case Storage::kTime:
      return KeyClass::kTime;
    case Storage::kInterval:
      return KeyClass::kInterval;
    default:
      return fixed_width(storage) != 0 ? KeyClass::kInteger : KeyClass::kBytes;
  }
}

Int128 integer_value(const Column& column, uint32_t row) {
  switch (column.storage) {
    case Storage::kBool:
      return column.get<uint8_t>(row);
    case Storage::kI16:
      return column.get<int16_t>(row);
    case Storage::kI32:
    case Storage::kDate:
      return column.get<int32_t>(row);
    case Storage::kU64:
      return column.get<uint64_t>(row);
    default:
      return column.get<int64_t>(row);
  }
}

KeyPart key_part(const Column& column, uint32_t row) {
  assert(column.has(row));
  KeyPart part{key_class(column.storage), 0, {}};
  if (part.kind == KeyClass::kInteger) {
    part.integer = integer_value(column, row);
  } else if (part.kind == KeyClass::kFloat) {
    part.integer = std::bit_cast<int64_t>(float_value(column, row) + 0.0);  // -0.0 + 0.0 is 0.0
  } else {
    part.bytes = column.bytes(row);
  }
  return part;
}

bool convert_key(KeyPart* part, Storage storage, std::string* scratch) {
  const KeyClass target = key_class(storage);
  if (part->kind == target) return true;
  if (part->kind == KeyClass::kInteger && target == KeyClass::kDecimal) {
    *scratch = to_text(part->integer);
    *part = KeyPart{KeyClass::kDecimal, 0, *scratch};
    return true;
  }
  if (part->kind == KeyClass::kDecimal && target == KeyClass::kInteger) {
    Decimal decimal;
    const bool parsed = parse_decimal(part->bytes, &decimal);
    assert(parsed);
    part->kind = KeyClass::kInteger;
    return parsed && to_integer(decimal, &part->integer);
  }
  return false;
}

uint64_t hash_key(const KeyPart& part, const FoldingDef* folding) {
  if (part.kind == KeyClass::kDecimal) {
    Decimal decimal;
    parse_decimal(part.bytes, &decimal);
    return mix(hash(decimal));
  }
  if (part.kind == KeyClass::kTime || part.kind == KeyClass::kInterval)
    return mix(std::hash<std::string>{}(ordered_key(part.kind, part.bytes)));
  if (folding != nullptr && part.kind == KeyClass::kBytes) return mix(hash_folded(*folding, part.bytes));
  if (part.kind == KeyClass::kBytes || part.kind == KeyClass::kUuid)
    return mix(std::hash<std::string_view>{}(part.bytes));
  return mix(static_cast<uint64_t>(part.integer));
}

bool equal_keys(const KeyPart& a, const KeyPart& b, const FoldingDef* folding) {
  assert(a.kind == b.kind);
  if (a.kind == KeyClass::kDecimal) {
    Decimal x;
    Decimal y;
    return parse_decimal(a.bytes, &x) && parse_decimal(b.bytes, &y) && compare(x, y) == 0;
  }
  if (a.kind == KeyClass::kTime || a.kind == KeyClass::kInterval)
    return ordered_key(a.kind, a.bytes) == ordered_key(b.kind, b.bytes);
  if (folding != nullptr && a.kind == KeyClass::kBytes) return equal_folded(*folding, a.bytes, b.bytes);
  return a.integer == b.integer && a.bytes == b.bytes;
}

int compare_rows(const Column& column, uint32_t a, uint32_t b) {
  const bool has_a = column.has(a);
  const bool has_b = column.has(b);
  if (!has_a || !has_b) return static_cast<int>(has_a) - static_cast<int>(has_b);
  switch (key_class(column.storage)) {
    case KeyClass::kInteger:
      if (column.storage == Storage::kU64) return order(column.get<uint64_t>(a), column.get<uint64_t>(b));
      return order(static_cast<int64_t>(integer_value(column, a)),
                   static_cast<int64_t>(integer_value(column, b)));
    case KeyClass::kFloat:
      return order_floats(float_value(column, a), float_value(column, b));
    case KeyClass::kDecimal: {
      Decimal x;
      Decimal y;
      parse_decimal(column.text(a), &x);
      parse_decimal(column.text(b), &y);
      return compare(x, y);
    }
    case KeyClass::kTime:
    case KeyClass::kInterval:
      return reflex::ordered_key(column.storage, column.text(a))
          .compare(reflex::ordered_key(column.storage, column.text(b)));
    default:
      return column.bytes(a).compare(column.bytes(b));
  }
}

}  // namespace reflex
