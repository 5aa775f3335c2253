// What a snapshot is made of: tables with their columns and key index, and beside them the links along every
// relation.
//
// Everything here is immutable once the Loader has handed it out; any thread may read it while it holds the
// SnapshotPtr. Tables and links are shared between snapshots where nothing changed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "column.h"
#include "hash_index.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

struct Table {
  uint32_t rows = 0;
  std::vector<Column> columns;
  HashIndex primary_key;  // built where the table has one
  uint64_t bytes = 0;
};

// One foreign key, both ways.
struct Link {
  std::vector<uint32_t> to;     // by child row: the parent's row, or kNoRow
  std::vector<uint32_t> start;  // by parent row, plus one at the end: where its children start in `from`
  std::vector<uint32_t> from;   // child rows, ascending for each parent
  bool dangling = false;        // some child has a key that no parent has
  uint64_t bytes = 0;

  std::span<const uint32_t> children(uint32_t parent) const {
    assert(parent + 1 < start.size());
    return {from.data() + start[parent], start[parent + 1] - start[parent]};
  }
};

// Joins `child` to `parent` along `forward`; `forward.target`'s definition is `parent_def`.
std::shared_ptr<const Link> make_link(const Table& child, const ForwardDef& forward, const Table& parent,
                                      const TableDef& parent_def);

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
