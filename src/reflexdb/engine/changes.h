// The next snapshot from the one that serves and the rows that changed since: what CHANGES frames do.
//
// A Changes belongs to one thread and touches nothing that serves; commit() hands out a complete new snapshot
// that shares with the former one whatever did not change. What it costs goes with the number of changes, not
// with the size of the tables.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "schema.h"
#include "snapshot.h"

namespace reflex {

class Changes {
 public:
  // Requires: `previous` is not null. `cap_bytes` as for Loader.
  Changes(const SchemaDef& schema, SnapshotPtr previous, uint64_t cap_bytes);
  ~Changes();
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;

  // After a failure every call answers that failure.
  //
  // `body` is a CHANGES frame's body; nothing in it is trusted. Not kept. An update or delete of a row that
  // is not there, or an insert of one that is, is out_of_step.
  Status rows(std::span<const uint8_t> body);
  // Begins a table anew; `replacement` rows may follow and are all it has.
  Status replace(uint32_t table);
  // `body` is a TABLE_PART frame's body: `replacement` rows may follow and are all that the table has in
  // these ranges of its key. What is so already is left alone, and no second copy is made.
  Status part(std::span<const uint8_t> body);
  // `body` is a TABLE_KEYS frame's body: `replacement` rows may follow and are all that the table has of
  // these keys.
  Status keys(std::span<const uint8_t> body);
  // `body` is a TABLE_FIND frame's body. Appends what it asks for to `*found`, as JSON: of the rows as they
  // are with all that came before.
  Status search(std::span<const uint8_t> body, std::string* found);
  // `body` is a ROWS frame's body, of the table that was named last.
  Status replacement(std::span<const uint8_t> body);
  // On success `*out` is the new snapshot with a later version. The object is spent.
  Status commit(int64_t source_time_ms, std::string_view position, const Origin& origin, SnapshotPtr* out);

  const SnapshotPtr& previous() const;
  // After commit: rows of replaced tables and parts that the former snapshot did not have, or not so, or had
  // too many.
  uint64_t differences() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace reflex
