// What queries are answered from, and how a newer one reaches every event loop: the only state that threads
// share on the query path.
//
// A loop keeps a View of its own and compares one atomic number before each query; only after a publication
// does it take the mutex. Publishers wake all loops, so that an idle one does not hold an old snapshot. Old
// snapshots are freed by reap(), on the main thread, never by a loop that has queries to answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>
#include <vector>

#include "api_keys.h"
#include "snapshot.h"

namespace reflex::net {

int64_t wall_ms();         // since 1970 UTC; may jump
int64_t coarse_wall_ms();  // the same, up to a clock tick ago, at a fraction of the cost
int64_t monotonic_ms();    // never jumps
int64_t monotonic_ns();

struct View {
  SnapshotPtr snapshot;  // null before the first
  KeyTablePtr keys;      // null before the first
  uint64_t epoch = 0;
  int64_t age_ms = 0;  // at `published_ms`
  int64_t published_ms = 0;

  // How far the source may be ahead. Measured by the wall clock once, then by the steady one: a jump of
  // clocks is not seen.
  int64_t age_at(int64_t now_monotonic_ms) const { return age_ms + (now_monotonic_ms - published_ms); }
};

class Publication {
 public:
  // A waker is called after each publication, from the publisher's thread. Requires: all are added before the
  // first publication.
  void add_waker(std::function<void()> waker) { wakers_.push_back(std::move(waker)); }

  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }
  View view() const;

  // A new state of the source (counts as a swap) or, with `swap` false, the same rows confirmed at a later
  // time.
  void publish_snapshot(SnapshotPtr snapshot, bool swap);
  void publish_keys(KeyTablePtr keys);
  uint64_t swaps() const { return swaps_.load(std::memory_order_relaxed); }

  // Frees replaced snapshots that no loop holds any more. Answers how many are still held.
  size_t reap();

 private:
  void announce();

  std::vector<std::function<void()>> wakers_;
  std::atomic<uint64_t> epoch_{1};
  std::atomic<uint64_t> swaps_{0};
  mutable std::mutex mutex_;
  View current_;                      // by mutex_
  std::vector<SnapshotPtr> retired_;  // by mutex_
};

}  // namespace reflex::net
