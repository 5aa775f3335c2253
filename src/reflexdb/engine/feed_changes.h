// Decodes the body of a CHANGES frame (doc/feed.md, "Changes"), trusting nothing in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "column.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

enum class ChangeOp : uint8_t { kInsert = 1, kUpdate = 2, kDelete = 3 };

// Changes of one table in the order they were made. Borrows the frame.
struct ChangeBatch {
  std::vector<ChangeOp> ops;
  std::vector<ColumnBatch> keys;          // by column of the primary key: one value an update or delete
  std::vector<ColumnBatch> rows;          // by column: one value an insert or update
  std::vector<const uint8_t*> unchanged;  // by column: bits of the rows whose value stays; null for none
};

Status decode_changes(std::span<const uint8_t> body, const SchemaDef& schema, uint32_t* table,
                      ChangeBatch* out);

}  // namespace reflex
