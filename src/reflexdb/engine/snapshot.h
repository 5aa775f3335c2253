// One committed state of the source in memory, and how the next one is made from feed frames.
//
// A Snapshot is immutable: any number of threads read it without locks and keep it alive through a
// shared_ptr; the last one frees it. A Loader belongs to one thread. It never touches the snapshot that
// serves; commit() hands out a complete new one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schema.h"

namespace reflex {

// Empty code: fine. Otherwise a stable code of doc/feed.md and one sentence for a person.
struct Status {
  std::string code;
  std::string message;
  bool ok() const { return code.empty(); }
};

class Snapshot;
using SnapshotPtr = std::shared_ptr<const Snapshot>;

struct SnapshotInfo {
  uint64_t version = 0;              // of no other state of this plan's rows, also of earlier processes
  int64_t source_time_ms = 0;        // when the source's view was fixed
  std::string position;              // in the source's history
  std::string mode;                  // of the sync that said so; see is_streamed()
  uint64_t bytes = 0;                // memory held by rows and indexes
  std::vector<uint64_t> row_counts;  // by table index
};

// Who makes new states.
struct Origin {
  uint64_t first_version = 1;  // the least that a new state may have; beyond what earlier processes gave out
  std::string mode;            // of the sync that sends the rows
};

// Whether the position is exact: the source's stream can go on from it.
bool is_streamed(const SnapshotInfo& of);

// Valid as long as `snapshot` is.
const SnapshotInfo& info(const Snapshot& snapshot);

// A snapshot of the same rows with a later source time and position, by a sync of this mode (CONFIRM). Shares
// all data.
SnapshotPtr with_position(const SnapshotPtr& snapshot, int64_t source_time_ms, std::string_view position,
                          std::string_view mode);

// A new state of the whole source, table by table.
class Loader {
 public:
  // `previous` may be null. `cap_bytes` bounds previous and new together less what they share; 0 is
  // unbounded.
  Loader(const SchemaDef& schema, SnapshotPtr previous, uint64_t cap_bytes, int64_t source_time_ms,
         std::string_view position, const Origin& origin = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  Status table(uint32_t index);
  Status keep(uint32_t index);
  // `body` is a ROWS frame's body; nothing in it is trusted. Not kept.
  Status rows(std::span<const uint8_t> body);
  // Builds indexes and adjacency; on success `*out` is the new snapshot with a later version. The loader
  // is spent.
  Status commit(SnapshotPtr* out);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reflex
