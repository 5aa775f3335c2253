// The first rows of a selection in its order, from any number that come in the table's order: a heap that
// holds no more than are wanted, so that LIMIT costs no sorting of what is not answered.
//
// Each row is kept with a number that orders it by the first column of ORDER BY, as far as 64 bits can; most
// rows are turned away by comparing that alone, and once there are enough, blocks of rows at the speed of a
// filter, where that column holds numbers, dates or times. Belongs to one query; heaps of nested selections
// lie one above the other in the same room.
#pragma once

#include <cstdint>
#include <vector>

#include "plan.h"
#include "store.h"

namespace reflex {

class TopRows {
 public:
  struct Entry {
    uint64_t key;
    uint32_t row;
  };
  using Room = std::vector<Entry>;

  // Requires: the selection has an `order`.
  TopRows(const Table& table, const PlanSelection& selection, Room* room);
  ~TopRows() { room_.resize(base_); }
  TopRows(const TopRows&) = delete;
  TopRows& operator=(const TopRows&) = delete;

  void add(uint32_t row);
  // Clears the bits of rows that `add` would turn away by their first value, of the `count` rows from `first`
  // on; those it leaves may be turned away still. Requires: they lie in one aligned run of kPageRows rows.
  void screen(uint32_t first, uint32_t count, uint64_t* mask) const;
  // Puts what was kept in order. Call once, after the last row.
  void finish();
  size_t size() const { return room_.size() - base_; }
  uint32_t row(size_t i) const { return room_[base_ + i].row; }

 private:
  uint64_t key_of(uint32_t row) const;
  bool before(const Entry& a, const Entry& b) const;

  const Table& table_;
  const std::vector<OrderKey>& order_;
  const Column& first_;
  const bool descending_;
  const bool nulls_first_;
  const uint64_t wanted_;
  Room& room_;
  const size_t base_;
};

}  // namespace reflex
