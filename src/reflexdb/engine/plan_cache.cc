#include "plan_cache.h"

#include <cassert>

namespace reflex {

Plan* PlanCache::find(std::string_view key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->plan;
}

void PlanCache::drop_last() {
  assert(!entries_.empty());
  key_bytes_ -= entries_.back().key.size();
  by_key_.erase(entries_.back().key);
  entries_.pop_back();
}

Plan* PlanCache::hold(Plan plan) {
  unkept_ = std::make_unique<Plan>(std::move(plan));
  return unkept_.get();
}

Plan* PlanCache::add(std::string_view key, Plan plan) {
  assert(!by_key_.contains(key));
  if (key.size() > kMaxOneKey) return hold(std::move(plan));
  unkept_.reset();
  entries_.push_front({std::string(key), std::move(plan)});
  by_key_.emplace(entries_.front().key, entries_.begin());
  key_bytes_ += key.size();
  while (entries_.size() > kMaxPlans || key_bytes_ > kMaxKeyBytes) drop_last();
  return &entries_.front().plan;
}

}  // namespace reflex
