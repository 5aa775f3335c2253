// Exact decimals as the source prints them: parsing, comparing and hashing by value, never through a binary
// float.
//
// A Decimal is a view: it borrows the text it was parsed from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace reflex {

__extension__ typedef __int128 Int128;

struct Decimal {
  enum class Kind : uint8_t { kNegInfinity = 0, kFinite = 1, kInfinity = 2, kNaN = 3 };  // in sort order
  Kind kind = Kind::kFinite;
  bool negative = false;      // never for zero
  std::string_view whole;     // without leading zeros
  std::string_view fraction;  // without trailing zeros
};

// Accepts `-?[0-9]+(\.[0-9]+)?`, `NaN`, `Infinity` and `-Infinity`; false for anything else.
bool parse_decimal(std::string_view text, Decimal* out);

// -1, 0 or 1 by value; NaN equals itself and is the greatest.
int compare(const Decimal& a, const Decimal& b);

// Equal values have equal hashes: 1.5 and 1.50.
uint64_t hash(const Decimal& value);

// The value if it is a whole number of at most 37 digits.
bool to_integer(const Decimal& value, Int128* out);

// Writes a JSON-style number with an exponent out in full: "1.5e3" gives "1500". False where |exponent| is
// over 400. Requires: `number` matches `-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
bool expand_number(std::string_view number, std::string* out);

}  // namespace reflex
