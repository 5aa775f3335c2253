// Hash indexes over one or more columns of a table: from a key to its row, or to all rows that have it.
//
// They hold row numbers only (4 bytes a slot); keys are compared in the columns themselves. Where the key is
// one integer column whose values are consecutive, as surrogate keys often are, a HashIndex holds nothing and
// computes the row. One that has been handed out is immutable and any thread may look up; changing it takes
// an Edit (paged.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "column.h"
#include "key.h"
#include "paged.h"

namespace reflex {

inline constexpr uint32_t kNoRow = 0xFFFFFFFF;

using Columns = std::span<const Column>;
using KeyColumns = std::span<const uint16_t>;

// Reads a row's key. False where a part is null. Requires: `parts` has room for each column's.
bool read_key(Columns table, KeyColumns key, uint32_t row, std::span<KeyPart> parts);

// Keys are unique.
class HashIndex {
 public:
  // Indexes rows [0, rows) by the given columns of `table`; rows with a null part are left out. Of rows with
  // equal keys the first is kept, and `*duplicate` (may be null) is set to a later one.
  void build(Columns table, KeyColumns key, uint32_t rows, uint32_t* duplicate);

  // Row of the key, or kNoRow. Requires: one part per key column, each of that column's class; `table` as at
  // build.
  uint32_t find(Columns table, KeyColumns key, std::span<const KeyPart> parts) const;

  // Where a row's key is computed, which asks no memory for it: true, and the key. Requires: the row is in
  // the index; where is_counted(), the key is one integer.
  bool is_counted() const { return dense_rows_ != 0; }
  bool count_key(uint32_t row, Int128* key) const {
    if (row >= dense_rows_ || is_gone(row)) return false;
    *key = first_ + row;
    return true;
  }

  // Requires: the row's key has no null part, and no other row in the index has it.
  void insert(Columns table, KeyColumns key, uint32_t row, Edit* edit);
  // Requires: the row is in the index, and its key is what it was when it was inserted.
  void erase(Columns table, KeyColumns key, uint32_t row, Edit* edit);
  // Puts `now` in the place of `row`. Requires: both have the same key; only `row` is in the index.
  void exchange(Columns table, KeyColumns key, uint32_t row, uint32_t now, Edit* edit);

  uint64_t memory() const { return slots_.memory() + gone_.memory(); }

  // Names everything it is made of, for checkpoints.
  template <typename Self, typename Visit>
  static void each_part(Self& self, Visit visit) {
    visit(self.slots_, self.mask_, self.used_, self.dense_rows_, self.first_, self.gone_);
  }

 private:
  bool try_dense(const Column& column, uint32_t rows);
  bool is_gone(uint32_t row) const {
    return row >> 6 < gone_.size() && ((gone_.get(row >> 6) >> (row & 63)) & 1) != 0;
  }
  bool insert_dense(Columns table, KeyColumns key, uint32_t row, const KeyPart& part, Edit* edit);
  void reserve(Columns table, KeyColumns key, Edit* edit);
  void resize(Columns table, KeyColumns key, uint64_t slots, Edit* edit);
  void put(uint64_t hash, uint32_t row, Edit* edit);
  uint64_t slot_of(uint64_t hash, uint32_t row) const;

  Paged<uint32_t, 12> slots_{kNoRow};
  uint64_t mask_ = 0;
  uint64_t used_ = 0;        // slots
  uint32_t dense_rows_ = 0;  // rows below it have the keys first_, first_ + 1, ..., unless they are gone
  Int128 first_ = 0;
  Paged<uint64_t, 10> gone_;  // bits: dense rows that no longer have their key
};

// Keys need not be unique: rows with one key form a chain.
class KeyGroups {
 public:
  uint32_t size() const { return size_; }

  // One row that has the key, or kNoRow; `next` leads to the others.
  uint32_t first(Columns table, KeyColumns key, std::span<const KeyPart> parts) const {
    return size_ == 0 ? kNoRow : heads_.find(table, key, parts);
  }
  uint32_t next(uint32_t row) const { return next_.get(row); }

  // Requires: the row's key has no null part.
  void insert(Columns table, KeyColumns key, uint32_t row, Edit* edit);
  // Requires: the row is in, and its key is what it was when it was inserted.
  void erase(Columns table, KeyColumns key, uint32_t row, Edit* edit);

  uint64_t memory() const { return heads_.memory() + next_.memory() + previous_.memory(); }

  // As HashIndex's.
  template <typename Self, typename Visit>
  static void each_part(Self& self, Visit visit) {
    visit(self.heads_, self.next_, self.previous_, self.size_);
  }

 private:
  HashIndex heads_;
  Paged<uint32_t, 10> next_{kNoRow};
  Paged<uint32_t, 10> previous_{kNoRow};
  uint32_t size_ = 0;
};

}  // namespace reflex
