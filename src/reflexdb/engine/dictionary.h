// Keeping each value of a chunk once, where they repeat: an array of different values and, for every row, the
// number of its own.
//
// Where a chunk's values are those of the one before it, both have one dictionary, which belongs to the first
// of them; with further values it has one of its own that begins alike. A dictionary is immutable: what
// changes a row (column_edit.h) writes the value into a page, and a chunk that becomes one piece again gets a
// dictionary of what is there then.
#pragma once

#include "column.h"

namespace reflex {

// Gives the chunk a dictionary if it is smaller by a quarter then. `former` (may be null) is the one before
// it. Requires: the chunk is whole, its values vary in length and are all in `offsets` and `bytes`.
void share_values(Chunk* chunk, const std::shared_ptr<const Chunk>& former);

// The same for a chunk that had its dictionary when it was written down: what it has in common with the
// former one is found again.
void find_shared(Chunk* chunk, const std::shared_ptr<const Chunk>& former);

}  // namespace reflex
