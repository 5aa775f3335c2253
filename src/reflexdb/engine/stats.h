// Counters of one event loop. Only its loop writes; anyone may read: relaxed atomics without
// read-modify-write.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "query_shapes.h"

namespace reflex::net {

inline constexpr int kStatuses[] = {200, 304, 400, 401, 404, 405, 406, 408, 411,
                                    413, 414, 417, 422, 431, 500, 501, 503, 505};
inline constexpr size_t kStatusCount = sizeof(kStatuses) / sizeof(kStatuses[0]);

// Upper bounds of the histogram of query times, in nanoseconds; one more bucket holds the rest.
inline constexpr int64_t kBucketNs[] = {
    5'000,     10'000,     25'000,     50'000,      100'000,       250'000,       500'000,       1'000'000,
    2'500'000, 10'000'000, 50'000'000, 250'000'000, 1'000'000'000, 5'000'000'000, 30'000'000'000};
inline constexpr size_t kBucketCount = sizeof(kBucketNs) / sizeof(kBucketNs[0]) + 1;

// Whether requests that were answered so (by kStatuses; the last is any other) count as failed: it was this
// server that could not, not the client that asked for what there is not.
inline constexpr bool is_failure(size_t i) {
  return i < kStatusCount && (kStatuses[i] == 500 || kStatuses[i] == 503);
}

class Counter {
 public:
  void add(uint64_t n) { set(get() + n); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct alignas(64) LoopStats {
  std::array<Counter, kStatusCount + 1> requests;  // by kStatuses; the last is any other
  std::array<Counter, kBucketCount> query_times;
  Counter query_ns;
  Counter bytes_sent;
  Counter accepted;
  Counter cut;  // connections that ended with the process while an answer was owed
  Counter plan_hits;
  Counter plan_misses;
  ShapeCounts shapes;

  void count_request(int status) {
    size_t i = 0;
    while (i < kStatusCount && kStatuses[i] != status) ++i;
    requests[i].add(1);
  }
  void count_query(int64_t ns) {
    size_t i = 0;
    while (i + 1 < kBucketCount && ns > kBucketNs[i]) ++i;
    query_times[i].add(1);
    query_ns.add(static_cast<uint64_t>(ns));
  }
};

}  // namespace reflex::net
