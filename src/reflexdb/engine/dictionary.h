// Keeping each value of a chunk once, where they repeat: an array of different values and, for every row, the
// number of its own.
//
// A chunk's dictionary is its own and immutable as the chunk is: what changes a row (column_edit.h) writes
// the value into a page, and a chunk that becomes one piece again gets a dictionary of what is there then.
#pragma once

#include "column.h"

namespace reflex {

// Gives the chunk a dictionary if it is smaller by a quarter then. Requires: values of varying length, all in
// `offsets` and `bytes`.
void share_values(Chunk* chunk);

// Keeps the entries as JSON too, where some need escaping and they take little beside the rows. Requires: the
// chunk is whole.
void make_ready(Chunk* chunk);

}  // namespace reflex
