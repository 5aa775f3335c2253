#include "hash_index.h"

#include <bit>

namespace reflex {

namespace {

uint64_t combine(uint64_t seed, uint64_t part) {
  return (seed ^ part) * 0x9E3779B97F4A7C15ULL + (seed >> 29);
}

uint64_t hash_parts(std::span<const KeyPart> parts) {
  if (parts.size() == 1) return hash_key(parts[0]);
  uint64_t seed = 0;
  for (const KeyPart& part : parts) seed = combine(seed, hash_key(part));
  return seed ^ (seed >> 32);
}

bool row_equals(std::span<const Column> table, std::span<const uint16_t> key, uint32_t row,
                std::span<const KeyPart> parts) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (!equal_keys(key_part(table[key[i]], row), parts[i])) return false;
  }
  return true;
}

// False where a part is null.
bool read_parts(std::span<const Column> table, std::span<const uint16_t> key, uint32_t row,
                std::vector<KeyPart>* parts) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (!table[key[i]].has(row)) return false;
    (*parts)[i] = key_part(table[key[i]], row);
  }
  return true;
}

}  // namespace

// Rows in order whose keys are first, first + 1, ... need no slots.
bool HashIndex::try_dense(const Column& column, uint32_t rows) {
  if (rows == 0 || key_class(column.storage) != KeyClass::kInteger || !column.has(0)) return false;
  const Int128 first = integer_value(column, 0);
  for (uint32_t row = 0; row < rows; ++row) {
    if (!column.has(row) || integer_value(column, row) != first + row) return false;
  }
  first_ = first;
  return true;
}

void HashIndex::build(std::span<const Column> table, std::span<const uint16_t> key, uint32_t rows,
                      uint32_t* duplicate) {
  assert(!key.empty());
  rows_ = rows;
  dense_ = key.size() == 1 && try_dense(table[key[0]], rows);
  if (dense_ || rows == 0) return;
  slots_.assign(std::bit_ceil(static_cast<uint64_t>(rows) + rows / 2 + 1),
                kNoRow);  // between 1/3 and 2/3 full
  mask_ = slots_.size() - 1;
  std::vector<KeyPart> parts(key.size());
  for (uint32_t row = 0; row < rows; ++row) {
    if (!read_parts(table, key, row, &parts)) continue;
    uint64_t slot = hash_parts(parts) & mask_;
    while (slots_[slot] != kNoRow && !row_equals(table, key, slots_[slot], parts)) slot = (slot + 1) & mask_;
    if (slots_[slot] == kNoRow) {
      slots_[slot] = row;
    } else if (duplicate != nullptr) {
      *duplicate = row;
    }
  }
}

uint32_t HashIndex::find(std::span<const Column> table, std::span<const uint16_t> key,
                         std::span<const KeyPart> parts) const {
  assert(parts.size() == key.size());
  if (rows_ == 0) return kNoRow;
  if (dense_) {
    const Int128 row = parts[0].integer - first_;
    return row >= 0 && row < rows_ ? static_cast<uint32_t>(row) : kNoRow;
  }
  uint64_t slot = hash_parts(parts) & mask_;
  if (parts.size() == 1 && parts[0].kind == KeyClass::kInteger) {
    const Column& column = table[key[0]];
    while (slots_[slot] != kNoRow && integer_value(column, slots_[slot]) != parts[0].integer)
      slot = (slot + 1) & mask_;
    return slots_[slot];
  }
  while (slots_[slot] != kNoRow) {
    if (row_equals(table, key, slots_[slot], parts)) return slots_[slot];
    slot = (slot + 1) & mask_;
  }
  return kNoRow;
}

}  // namespace reflex
