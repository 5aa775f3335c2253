// A snapshot as a file, and back: columns, indexes and links as they are in memory, so that loading is
// reading (doc/checkpoint.md).
//
// Writing takes an immutable snapshot and needs, beside it, two blocks and one chunk of a column. Loading
// gives a complete snapshot or none. One thread each; no state.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "checkpoint_file.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

// What a file is for: the plan, the format, this machine and this build. Its id is empty.
CheckpointHead checkpoint_head(const SchemaDef& schema);

// Writes everything. Requires: the head's id is set.
void write_snapshot(const SchemaDef& schema, const Snapshot& snapshot, CheckpointWriter* out);

// Empty code: `*out` is set. Else why not: `cap_exceeded`, or `damaged`.
Status read_snapshot(const SchemaDef& schema, uint64_t cap_bytes, CheckpointReader* in, SnapshotPtr* out);

}  // namespace reflex
