// Decodes the body of a ROWS frame (doc/feed.md, "Columns of a ROWS frame"), trusting nothing in it.
//
// Every length is checked against the frame before anything is read; text, JSON and decimals are checked
// value by value before they are stored, so that no later part of the engine has to.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "column.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

// Reads the table's index, the first four bytes of a body. False where there are fewer.
bool rows_table(std::span<const uint8_t> body, uint32_t* table);

// Splits a body into one batch per column of `table`; the batches borrow `body`. `rows_before` only counts
// rows for messages.
Status decode_rows(std::span<const uint8_t> body, const TableDef& table, uint64_t rows_before,
                   std::vector<ColumnBatch>* batches);

}  // namespace reflex
