#include "table_edit.h"

#include <bit>
#include <cassert>

namespace reflex {

namespace {

// Numbers given up are taken again once there are that many, be it that the table then needs a list of its
// order.
bool is_wasteful(const Table& table) { return table.dead > 1024 + table.rows / 4; }

}  // namespace

void TableEdit::set(uint32_t row, const NewRow& from, size_t column) {
  if (!from.is_left_out(column)) {
    set_value(&table_.columns[column], row, from.batches[column], from.i, &edit_);
  } else if (from.former != row) {
    copy_value(&table_.columns[column], row, from.former, &edit_);
  }
}

uint32_t TableEdit::insert(const NewRow& from) {
  const uint32_t row = place(from);
  for (size_t column = 0; column < table_.columns.size(); ++column) set(row, from, column);
  if (table_.key.empty()) return row;
  table_.primary_key.insert(table_.columns, table_.key, row, &edit_);
  if (table_.ordered)
    table_.order.insert(row, [this](uint32_t a, uint32_t b) { return table_.before(a, b); }, &edit_);
  return row;
}

void TableEdit::erase(uint32_t row) {
  assert(table_.is_live(row));
  if (!table_.key.empty()) table_.primary_key.erase(table_.columns, table_.key, row, &edit_);
  if (table_.ordered)
    table_.order.erase(row, [this](uint32_t a, uint32_t b) { return table_.before(a, b); }, &edit_);
  table_.dead_bits.grow((static_cast<size_t>(table_.rows) + 63) / 64);
  table_.dead_bits.at(row >> 6, &edit_) |= uint64_t{1} << (row & 63);
  ++table_.dead;
}

uint32_t TableEdit::add_number() { return table_.rows++; }

uint32_t TableEdit::take_number(uint32_t row) {
  assert(!table_.is_live(row));
  table_.dead_bits.at(row >> 6, &edit_) &= ~(uint64_t{1} << (row & 63));
  --table_.dead;
  return row;
}

// Any number given up. They are looked for in a circle, so that in the long run each word is looked at once a
// lap.
bool TableEdit::find_dead(uint32_t* row) {
  if (table_.dead == 0) return false;
  const size_t words = table_.dead_bits.size();
  for (size_t tried = 0; tried <= words; ++tried) {
    if (table_.hint >= words) table_.hint = 0;
    const uint64_t bits = table_.dead_bits.get(table_.hint);
    if (bits != 0) {
      *row = table_.hint * 64 + static_cast<uint32_t>(std::countr_zero(bits));
      return true;
    }
    ++table_.hint;
  }
  return false;
}

void TableEdit::order_all() {
  assert(!table_.ordered);
  RowList order;
  each_row(table_, [&](uint32_t row) { order.append(row, &edit_); });
  table_.order = std::move(order);
  table_.ordered = true;
}

// A number for the row. As long as rows are in order by their numbers, one that keeps them so is looked for:
// the next one for a key behind all others, or one given up between the right neighbours.
uint32_t TableEdit::place(const NewRow& from) {
  if (table_.key.empty()) return add_number();
  uint32_t dead = kNoRow;
  if (table_.ordered)
    return table_.dead > 64 + table_.rows / 16 && find_dead(&dead) ? take_number(dead) : add_number();
  // Its key is written where the next row would be, to be compared as rows are.
  const uint32_t probe = table_.rows;
  for (const uint16_t column : table_.key) set(probe, from, column);
  if (probe == 0 || table_.compare_keys(probe - 1, probe) < 0) {
    if (!is_wasteful(table_) || !find_dead(&dead)) return add_number();
    order_all();
    return take_number(dead);
  }
  uint32_t low = 0;
  uint32_t high = probe;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (table_.compare_keys(middle, probe) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  // `low` is the first row whose key is not before the new one; dead rows keep their keys, so they count.
  if (low < probe && !table_.is_live(low)) return take_number(low);
  if (low > 0 && !table_.is_live(low - 1)) return take_number(low - 1);
  order_all();
  return add_number();
}

}  // namespace reflex
