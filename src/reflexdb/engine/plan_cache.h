// The plans of the query texts seen last, so that a hot query is not parsed again. Belongs to one event loop.
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
  // The plan for exactly this text, or null. Valid until the next `add`.
  const Plan* find(std::string_view text);
  // Takes the plan in, throwing out those unused longest. Returns it; a text too long to be kept is held
  // until the next call.
  const Plan* add(std::string_view text, Plan plan);

 private:
  static constexpr size_t kMaxPlans = 1024;
  static constexpr size_t kMaxTextBytes =
      8 << 20;  // of all texts together; a plan is a small multiple of its text
  static constexpr size_t kMaxOneText = 64 << 10;
  struct Entry {
    std::string text;
    Plan plan;
  };

  void drop_last();

  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_text_;
  size_t text_bytes_ = 0;
  std::unique_ptr<Plan> unkept_;
};

}  // namespace reflex
