// What a snapshot is made of: tables with their columns and key index, and beside them the links along every
// relation.
//
// Everything here is immutable once the Loader or Changes has handed it out; any thread may read it while it
// holds the SnapshotPtr. Tables and links are shared between snapshots where nothing changed, and in parts
// where little did.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "column.h"
#include "hash_index.h"
#include "paged.h"
#include "row_list.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

// A row keeps its number for life; a number given up may go to another row. Rows are in the order of their
// primary key, by number as long as `order` is empty.
struct Table {
  uint32_t rows = 0;  // numbers in use and given up: all below this
  uint32_t dead = 0;  // given up
  std::vector<Column> columns;
  HashIndex primary_key;  // built where the table has one
  std::span<const uint16_t> key;
  Paged<uint64_t, 10> dead_bits;
  bool ordered = false;  // by `order`, which then has every row
  RowList order;
  uint32_t hint = 0;  // where to look for a number given up
  uint64_t bytes = 0;

  uint32_t live() const { return rows - dead; }
  bool is_live(uint32_t row) const {
    return row >> 6 >= dead_bits.size() || ((dead_bits.get(row >> 6) >> (row & 63)) & 1) == 0;
  }
  // Bits of 64 rows from `first`, a multiple of 64, on: those below `rows` that are live.
  uint64_t live_word(uint32_t first) const {
    const uint32_t have = rows - first;
    const uint64_t all = have >= 64 ? ~uint64_t{0} : (uint64_t{1} << have) - 1;
    return first >> 6 >= dead_bits.size() ? all : all & ~dead_bits.get(first >> 6);
  }
  // Does row `a` come before row `b`?
  bool before(uint32_t a, uint32_t b) const { return ordered ? compare_keys(a, b) < 0 : a < b; }
  int compare_keys(uint32_t a, uint32_t b) const;
};

// Calls `visit` for each row in the table's order.
template <typename Visit>
void each_row(const Table& table, Visit visit) {
  if (table.ordered) {
    for (const uint32_t row : RowRange(table.order)) visit(row);
    return;
  }
  for (uint32_t row = 0; row < table.rows; ++row) {
    if (table.is_live(row)) visit(row);
  }
}

// The children of each parent, all in one array.
struct Children {
  std::vector<uint32_t> start;  // by parent row, plus one at the end: where its children start in `rows`
  std::vector<uint32_t> rows;   // in the child table's order for each parent
};

// One foreign key, both ways.
struct Link {
  // What is looked up where: the child's columns and, in the same order, the parent's.
  std::vector<uint16_t> child_key;
  std::vector<uint16_t> parent_key;
  bool by_primary_key = false;

  Paged<uint32_t, 12> to{kNoRow};                    // by child row: the parent's row, or kNoRow
  std::shared_ptr<const Children> children_of;       // as loaded
  Paged<std::shared_ptr<const RowList>, 8> changed;  // by parent row: its children since, where not null
  uint32_t changes = 0;                              // entries of `changed`
  KeyGroups orphans;                                 // children with a whole key that no parent has, by it
  KeyGroups targets;  // parents by their key, where that is not the primary one
  uint64_t bytes = 0;

  // Does some child have a key that no parent has?
  bool dangling() const { return orphans.size() != 0; }

  RowRange children(uint32_t parent) const {
    if (changes != 0 && parent < changed.size()) {
      const auto& now = changed.get(parent);
      if (now != nullptr) return *now;
    }
    return loaded_children(parent);
  }
  // Where `loaded_children` looks first, to be fetched beforehand; not to be read.
  const uint32_t* loaded_start(uint32_t parent) const {
    return parent < children_of->start.size() ? children_of->start.data() + parent : nullptr;
  }
  std::span<const uint32_t> loaded_children(uint32_t parent) const {
    const std::vector<uint32_t>& start = children_of->start;
    if (static_cast<size_t>(parent) + 1 >= start.size()) return {};
    return {children_of->rows.data() + start[parent], start[parent + 1] - start[parent]};
  }

  // The parent that a child's key leads to, or kNoRow; `*whole` is whether no part of it is null.
  uint32_t find_parent(const Table& child, uint32_t row, const Table& parent, bool* whole) const;
};

// Joins `child` to `parent` along `forward`; `forward.target`'s definition is `parent_def`.
std::shared_ptr<Link> make_link(const Table& child, const ForwardDef& forward, const Table& parent,
                                const TableDef& parent_def);

// A link with its keys chosen and nothing joined.
std::shared_ptr<Link> new_link(const ForwardDef& forward, const TableDef& parent_def);

// What the table and the link hold, for counting.
uint64_t memory_of(const Table& table);
uint64_t memory_of(const Link& link);

// Gathers every parent's children in one array again.
void gather_children(Link* link, const Table& child, uint32_t parents);

// Tells the columns how their keys compare; before anything is looked up.
void set_foldings(Table* table, const TableDef& def);

// Puts the rows in primary-key order, builds the index and counts memory. Requires: columns and rows are set.
// `*duplicate` is set to a row whose key another row has, else to kNoRow.
void finish_table(Table* table, const TableDef& def, uint32_t* duplicate);

class Snapshot {
 public:
  SnapshotInfo info;
  std::vector<std::shared_ptr<const Table>> tables;             // by table index
  std::vector<std::vector<std::shared_ptr<const Link>>> links;  // by child table and forward relation

  const Table& table(uint32_t index) const { return *tables[index]; }
  const Link& link(uint32_t child, uint32_t forward) const { return *links[child][forward]; }
};

}  // namespace reflex
