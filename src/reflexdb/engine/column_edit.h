// Writing single values of a column into a new version of it. What an older version sees stays.
//
// A chunk that is written to becomes pages of 1,024 rows over its former self; only the page is copied.
// Values that vary in length are kept where they were, new ones go to blocks of the page's own; a page whose
// blocks are many or mostly unused is packed when it is next copied, a chunk of mostly pages becomes one
// piece again.
#pragma once

#include <cstdint>

#include "column.h"
#include "key.h"
#include "paged.h"

namespace reflex {

// Requires: the batch is of the column's storage; `row` is in the column or the next behind it.
void set_value(Column* column, uint32_t row, const ColumnBatch& batch, uint32_t i, Edit* edit);
// Gives `row` the value of `from`, a row of the same column.
void copy_value(Column* column, uint32_t row, uint32_t from, Edit* edit);

// Whether the row has exactly this value, or exactly this null.
bool same_value(const Column& column, uint32_t row, const ColumnBatch& batch, uint32_t i);

// A batch's value as a key. Requires: batch.has(i). Borrows the frame.
KeyPart key_part(Storage storage, const ColumnBatch& batch, uint32_t i);

}  // namespace reflex
