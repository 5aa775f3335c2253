// The plans of the queries seen last, by shape or by text, so that a hot query is not parsed again. Belongs
// to one event loop.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "plan.h"

namespace reflex {

class PlanCache {
 public:
  // The plan under exactly this key, or null. Valid until the next `add` or `hold`.
  Plan* find(std::string_view key);
  // Takes the plan in, throwing out those unused longest. Returns it; one whose key is too long to be kept is
  // only held.
  Plan* add(std::string_view key, Plan plan);
  // Holds the plan until the next call.
  Plan* hold(Plan plan);

 private:
  static constexpr size_t kMaxPlans = 1024;
  static constexpr size_t kMaxKeyBytes =
      8 << 20;  // of all keys together; a plan is a small multiple of its text
  static constexpr size_t kMaxOneKey = 64 << 10;
  struct Entry {
    std::string key;
    Plan plan;
  };

  void drop_last();

  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
  size_t key_bytes_ = 0;
  std::unique_ptr<Plan> unkept_;
};

}  // namespace reflex
