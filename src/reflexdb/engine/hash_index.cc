#include "hash_index.h"

#include <algorithm>
#include <bit>

namespace reflex {

namespace {

uint64_t combine(uint64_t seed, uint64_t part) {
  return (seed ^ part) * 0x9E3779B97F4A7C15ULL + (seed >> 29);
}

uint64_t hash_parts(Columns table, KeyColumns key, std::span<const KeyPart> parts) {
  if (parts.size() == 1) return hash_key(parts[0], table[key[0]].folding);
  uint64_t seed = 0;
  for (size_t i = 0; i < parts.size(); ++i) seed = combine(seed, hash_key(parts[i], table[key[i]].folding));
  return seed ^ (seed >> 32);
}

bool row_equals(Columns table, KeyColumns key, uint32_t row, std::span<const KeyPart> parts) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (!equal_keys(key_part(table[key[i]], row), parts[i], table[key[i]].folding)) return false;
  }
  return true;
}

// A row's key, read once. Small keys need no allocation.
class RowKey {
 public:
  RowKey(Columns table, KeyColumns key, uint32_t row) : table_(table), key_(key) {
    if (key.size() > kFew) many_.resize(key.size());
    const std::span<KeyPart> room = key.size() > kFew ? std::span<KeyPart>(many_) : std::span<KeyPart>(few_);
    parts_ = room.first(key.size());
    whole_ = read_key(table, key, row, parts_);
  }
  bool whole() const { return whole_; }
  std::span<const KeyPart> parts() const { return parts_; }
  uint64_t hash() const { return hash_parts(table_, key_, parts_); }

 private:
  static constexpr size_t kFew = 4;
  Columns table_;
  KeyColumns key_;
  KeyPart few_[kFew];
  std::vector<KeyPart> many_;
  std::span<KeyPart> parts_;
  bool whole_ = false;
};

}  // namespace

bool read_key(Columns table, KeyColumns key, uint32_t row, std::span<KeyPart> parts) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (!table[key[i]].has(row)) return false;
    parts[i] = key_part(table[key[i]], row);
  }
  return true;
}

// Rows in order whose keys are first, first + 1, ... need no slots.
bool HashIndex::try_dense(const Column& column, uint32_t rows) {
  if (rows == 0 || key_class(column.storage) != KeyClass::kInteger || !column.has(0)) return false;
  const Int128 first = integer_value(column, 0);
  for (uint32_t row = 0; row < rows; ++row) {
    if (!column.has(row) || integer_value(column, row) != first + row) return false;
  }
  first_ = first;
  dense_rows_ = rows;
  return true;
}

void HashIndex::build(Columns table, KeyColumns key, uint32_t rows, uint32_t* duplicate) {
  assert(!key.empty() && used_ == 0 && dense_rows_ == 0);
  if (rows == 0 || (key.size() == 1 && try_dense(table[key[0]], rows))) return;
  Edit edit{Edit::new_id()};
  // Between 1/3 and 2/3 full.
  resize(table, key, std::bit_ceil(static_cast<uint64_t>(rows) + rows / 2 + 1), &edit);
  for (uint32_t row = 0; row < rows; ++row) {
    const RowKey mine(table, key, row);
    if (!mine.whole()) continue;
    const uint64_t hash = mine.hash();
    uint64_t slot = hash & mask_;
    while (slots_.get(slot) != kNoRow && !row_equals(table, key, slots_.get(slot), mine.parts()))
      slot = (slot + 1) & mask_;
    if (slots_.get(slot) == kNoRow) {
      slots_.at(slot, &edit) = row;
      ++used_;
    } else if (duplicate != nullptr) {
      *duplicate = row;
    }
  }
}

uint32_t HashIndex::find(Columns table, KeyColumns key, std::span<const KeyPart> parts) const {
  assert(parts.size() == key.size());
  if (dense_rows_ != 0) {
    const Int128 row = parts[0].integer - first_;
    if (row >= 0 && row < dense_rows_ && !is_gone(static_cast<uint32_t>(row)))
      return static_cast<uint32_t>(row);
  }
  if (used_ == 0) return kNoRow;
  uint64_t slot = hash_parts(table, key, parts) & mask_;
  uint32_t row = slots_.get(slot);
  if (parts.size() == 1 && parts[0].kind == KeyClass::kInteger) {
    const Column& column = table[key[0]];
    while (row != kNoRow && integer_value(column, row) != parts[0].integer) {
      slot = (slot + 1) & mask_;
      row = slots_.get(slot);
    }
    return row;
  }
  while (row != kNoRow && !row_equals(table, key, row, parts)) {
    slot = (slot + 1) & mask_;
    row = slots_.get(slot);
  }
  return row;
}

bool HashIndex::insert_dense(Columns table, KeyColumns key, uint32_t row, const KeyPart& part, Edit* edit) {
  if (key.size() != 1 || key_class(table[key[0]].storage) != KeyClass::kInteger) return false;
  if (dense_rows_ == 0) {
    if (used_ != 0 || row != 0) return false;
    first_ = part.integer;
  }
  if (part.integer - first_ != row || row > dense_rows_) return false;
  if (row == dense_rows_) {
    ++dense_rows_;
  } else {
    gone_.at(row >> 6, edit) &= ~(uint64_t{1} << (row & 63));
  }
  return true;
}

void HashIndex::insert(Columns table, KeyColumns key, uint32_t row, Edit* edit) {
  const RowKey mine(table, key, row);
  assert(mine.whole());
  if (insert_dense(table, key, row, mine.parts()[0], edit)) return;
  reserve(table, key, edit);
  put(mine.hash(), row, edit);
  ++used_;
}

void HashIndex::erase(Columns table, KeyColumns key, uint32_t row, Edit* edit) {
  const RowKey mine(table, key, row);
  assert(mine.whole());
  if (row < dense_rows_ && mine.parts()[0].integer - first_ == row && !is_gone(row)) {
    gone_.grow((static_cast<size_t>(dense_rows_) + 63) / 64);
    gone_.at(row >> 6, edit) |= uint64_t{1} << (row & 63);
    return;
  }
  // What stands behind an empty slot would not be found: each moves up into it unless it would then stand
  // before its own place.
  uint64_t hole = slot_of(mine.hash(), row);
  for (uint64_t at = (hole + 1) & mask_; slots_.get(at) != kNoRow; at = (at + 1) & mask_) {
    const uint64_t wanted = RowKey(table, key, slots_.get(at)).hash();
    if (((at - wanted) & mask_) < ((at - hole) & mask_)) continue;
    slots_.at(hole, edit) = slots_.get(at);
    hole = at;
  }
  slots_.at(hole, edit) = kNoRow;
  --used_;
}

void HashIndex::exchange(Columns table, KeyColumns key, uint32_t row, uint32_t now, Edit* edit) {
  if (row < dense_rows_ && !is_gone(row)) {
    erase(table, key, row, edit);
    insert(table, key, now, edit);
    return;
  }
  slots_.at(slot_of(RowKey(table, key, row).hash(), row), edit) = now;
}

uint64_t HashIndex::slot_of(uint64_t hash, uint32_t row) const {
  uint64_t slot = hash & mask_;
  while (slots_.get(slot) != row) {
    assert(slots_.get(slot) != kNoRow);
    slot = (slot + 1) & mask_;
  }
  return slot;
}

void HashIndex::put(uint64_t hash, uint32_t row, Edit* edit) {
  uint64_t slot = hash & mask_;
  while (slots_.get(slot) != kNoRow) slot = (slot + 1) & mask_;
  slots_.at(slot, edit) = row;
}

// Room for one more.
void HashIndex::reserve(Columns table, KeyColumns key, Edit* edit) {
  constexpr uint64_t kFewest = 64;
  if ((used_ + 1) * 3 > slots_.size() * 2)
    resize(table, key, std::max<uint64_t>(kFewest, slots_.size() * 2), edit);
}

void HashIndex::resize(Columns table, KeyColumns key, uint64_t slots, Edit* edit) {
  assert(std::has_single_bit(slots));
  const Paged<uint32_t, 12> before = std::move(slots_);
  edit->replaced(before.memory(), 0);
  slots_ = Paged<uint32_t, 12>(kNoRow);
  slots_.grow(slots);
  mask_ = slots - 1;
  for (size_t i = 0; i < before.size(); ++i) {
    const uint32_t row = before.get(i);
    if (row != kNoRow) put(RowKey(table, key, row).hash(), row, edit);
  }
}

void KeyGroups::insert(Columns table, KeyColumns key, uint32_t row, Edit* edit) {
  next_.grow(static_cast<size_t>(row) + 1);
  previous_.grow(static_cast<size_t>(row) + 1);
  const RowKey mine(table, key, row);
  const uint32_t head = first(table, key, mine.parts());
  ++size_;
  if (head == kNoRow) return heads_.insert(table, key, row, edit);
  const uint32_t second = next_.get(head);  // behind the head, so that the index need not change
  next_.at(row, edit) = second;
  previous_.at(row, edit) = head;
  next_.at(head, edit) = row;
  if (second != kNoRow) previous_.at(second, edit) = row;
}

void KeyGroups::erase(Columns table, KeyColumns key, uint32_t row, Edit* edit) {
  const uint32_t after = next_.get(row);
  const uint32_t before = previous_.get(row);
  if (before != kNoRow) {
    next_.at(before, edit) = after;
  } else if (after != kNoRow) {
    heads_.exchange(table, key, row, after, edit);
  } else {
    heads_.erase(table, key, row, edit);
  }
  if (after != kNoRow) previous_.at(after, edit) = before;
  if (after != kNoRow) next_.at(row, edit) = kNoRow;
  if (before != kNoRow) previous_.at(row, edit) = kNoRow;
  --size_;
}

}  // namespace reflex
