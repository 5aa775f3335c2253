// Values as keys: what a hash index stores, what a foreign key looks up, what a literal in `id = 5` becomes.
//
// Two values are equal as keys when they are equal by value, across integer widths and between integers and
// decimals; bytes equal bytes. A KeyPart borrows the column or literal it was taken from. A key with a null
// part matches nothing; callers check that first.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "column.h"
#include "decimal.h"

namespace reflex {

enum class KeyClass : uint8_t { kInteger, kFloat, kDecimal, kBytes, kUuid, kTime, kInterval };

KeyClass key_class(Storage storage);

struct KeyPart {
  KeyClass kind = KeyClass::kInteger;
  Int128 integer = 0;      // integers, dates, times as their count; floats as their bits with one zero
  std::string_view bytes;  // decimals, times and intervals as text, bytes, uuids
};

// Requires: column.has(row).
KeyPart key_part(const Column& column, uint32_t row);

// A fixed storage's integer value (booleans, dates and times too). Requires: KeyClass::kInteger and
// column.has(row).
Int128 integer_value(const Column& column, uint32_t row);

// Turns `part` into the class of `storage` where a value can be equal across them; false where none can.
// `scratch` holds the text of a converted part and must outlive it.
bool convert_key(KeyPart* part, Storage storage, std::string* scratch);

// `folding` is that of the column whose keys these are (Column::folding); it counts for texts.
uint64_t hash_key(const KeyPart& part, const FoldingDef* folding = nullptr);
// Requires: both of one class.
bool equal_keys(const KeyPart& a, const KeyPart& b, const FoldingDef* folding = nullptr);

// Total order of two values of one column; nulls first, then by value, text by bytes, NaN last. Negative, 0
// or positive.
int compare_rows(const Column& column, uint32_t a, uint32_t b);

}  // namespace reflex
