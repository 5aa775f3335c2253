// What queries ask for, without their values: which tables, columns and relations, and how often. The control
// plane judges by it whom a change of the schema would hurt.
//
// A shape is JSON, made of names of the schema alone, each list sorted:
// {"tables":["posts"],"columns":[["posts","id"]],"filters":[["posts","author_id"]],"relations":[["posts","author"]]}
// Columns are answered; filters are tested, ordered or grouped by. How many shapes are kept, and how long
// they are, is bounded: what goes beyond is counted as `other`.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "plan.h"
#include "schema.h"

namespace reflex {

std::string shape_of(const SchemaDef& schema, const Plan& plan);

// Names of the tables that an answer is made of, those that join others included.
std::set<std::string_view> tables_of(const SchemaDef& schema, const Plan& plan);

// Of one event loop.
class ShapeCounts {
 public:
  static constexpr uint32_t kMaxShapes = 256;
  static constexpr size_t kMaxShapeBytes = 8192;

  // The place of a shape, from now on. Only the loop's thread.
  uint32_t place_of(std::string shape);
  // Only the loop's thread. Requires: `place` was answered by place_of.
  void count(uint32_t place) {
    counts_[place].store(counts_[place].load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  // Adds what was counted since the last call. Any thread.
  void take(std::map<std::string, uint64_t>* shapes, uint64_t* other);

 private:
  std::mutex mutex_;
  std::map<std::string, uint32_t> places_;                      // by mutex_
  std::array<uint64_t, kMaxShapes + 1> taken_{};                // by mutex_
  std::array<std::atomic<uint64_t>, kMaxShapes + 1> counts_{};  // the last: all others
};

}  // namespace reflex
