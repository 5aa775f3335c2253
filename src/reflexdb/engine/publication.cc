#include "publication.h"

#include <time.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace reflex::net {
namespace {

int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

int64_t wall_ms() { return clock_ns(CLOCK_REALTIME) / 1'000'000; }
int64_t coarse_wall_ms() { return clock_ns(CLOCK_REALTIME_COARSE) / 1'000'000; }
int64_t monotonic_ms() { return clock_ns(CLOCK_MONOTONIC) / 1'000'000; }
int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }

View Publication::view() const {
  std::lock_guard lock(mutex_);
  View view = current_;
  // Read within the mutex: a publication after this is seen as a newer epoch.
  view.epoch = epoch_.load(std::memory_order_relaxed);
  return view;
}

void Publication::publish_snapshot(SnapshotPtr snapshot, bool swap) {
  assert(snapshot != nullptr);
  {
    std::lock_guard lock(mutex_);
    if (current_.snapshot != nullptr) retired_.push_back(std::move(current_.snapshot));
    current_.age_ms = std::max<int64_t>(0, wall_ms() - info(*snapshot).source_time_ms);
    current_.published_ms = monotonic_ms();
    current_.snapshot = std::move(snapshot);
    if (swap) swaps_.fetch_add(1, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
  }
  announce();
}

void Publication::publish_keys(KeyTablePtr keys) {
  {
    std::lock_guard lock(mutex_);
    current_.keys = std::move(keys);
    epoch_.fetch_add(1, std::memory_order_release);
  }
  announce();
}

void Publication::announce() {
  for (const auto& waker : wakers_) waker();
}

size_t Publication::reap() {
  std::vector<SnapshotPtr> unused;
  size_t held = 0;
  {
    std::lock_guard lock(mutex_);
    // Nobody can take a new reference to a retired snapshot, so a count of one stays one.
    auto free_from = std::partition(retired_.begin(), retired_.end(),
                                    [](const SnapshotPtr& s) { return s.use_count() > 1; });
    unused.assign(std::make_move_iterator(free_from), std::make_move_iterator(retired_.end()));
    retired_.erase(free_from, retired_.end());
    held = retired_.size();
  }
  return held;  // `unused` is freed here, outside the mutex
}

}  // namespace reflex::net
