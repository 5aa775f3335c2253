// Changing single rows of one table: where a new row goes, which number it gets, and the index and order that
// follow. Links are not looked at (changes.cc does).
//
// Works in place on a Table that nobody else sees yet. Belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "column_edit.h"
#include "store.h"

namespace reflex {

// Values for one row: from a frame, and for the columns that the frame leaves out from a row of the table.
struct NewRow {
  std::span<const ColumnBatch> batches;       // by column
  std::span<const uint8_t* const> unchanged;  // by column: bits of values left out, or null; may be empty
  uint32_t i = 0;                             // in the batches
  uint32_t former = kNoRow;                   // where left out values are taken from

  bool is_left_out(size_t column) const {
    if (unchanged.empty() || unchanged[column] == nullptr) return false;
    return ((unchanged[column][i >> 3] >> (i & 7)) & 1) != 0;
  }
};

class TableEdit {
 public:
  TableEdit(Table* table, Edit* edit) : table_(*table), edit_(*edit) {}

  // Gives the row a number and a place in order and index. Requires: no live row has its key, and none of its
  // parts is null.
  uint32_t insert(const NewRow& row);
  // The values stay readable until another row gets the number.
  void erase(uint32_t row);
  void set(uint32_t row, const NewRow& from, size_t column);

 private:
  uint32_t place(const NewRow& from);
  uint32_t add_number();
  uint32_t take_number(uint32_t row);
  bool find_dead(uint32_t* row);
  void order_all();

  Table& table_;
  Edit& edit_;
};

}  // namespace reflex
