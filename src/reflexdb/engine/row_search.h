// Rows that are named by values: those of some primary keys, and those that have some values in some columns
// (doc/feed.md, TABLE_KEYS and TABLE_FIND).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "column.h"
#include "key.h"
#include "schema.h"
#include "store.h"

namespace reflex {

// Tuples of values, one for each of some columns. Borrows the frame.
struct KeyBatch {
  uint32_t table = 0;
  uint32_t count = 0;
  std::vector<Storage> storages;
  std::vector<ColumnBatch> columns;

  // The tuple's values, none of which is null.
  void read(uint32_t i, std::vector<KeyPart>* parts) const;
};

// Takes a TABLE_KEYS frame's body apart, trusting nothing in it.
Status decode_keys(std::span<const uint8_t> body, const SchemaDef& schema, KeyBatch* out);

// What a TABLE_FIND frame asks for.
struct RowSearch {
  uint32_t table = 0;
  uint32_t most = 0;  // rows that are answered
  std::vector<uint16_t> columns;
  std::vector<uint16_t> wanted;
  KeyBatch values;

  // Appends the JSON answer. Walks over all rows, so that what it costs goes with the size of the table.
  void run(const Table& rows, std::string* out) const;
};

// Takes a TABLE_FIND frame's body apart, trusting nothing in it.
Status decode_search(std::span<const uint8_t> body, const SchemaDef& schema, RowSearch* out);

}  // namespace reflex
