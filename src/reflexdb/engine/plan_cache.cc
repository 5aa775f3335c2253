#include "plan_cache.h"

#include <cassert>

namespace reflex {

const Plan* PlanCache::find(std::string_view text) {
  const auto found = by_text_.find(text);
  if (found == by_text_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->plan;
}

void PlanCache::drop_last() {
  assert(!entries_.empty());
  text_bytes_ -= entries_.back().text.size();
  by_text_.erase(entries_.back().text);
  entries_.pop_back();
}

const Plan* PlanCache::add(std::string_view text, Plan plan) {
  assert(!by_text_.contains(text));
  if (text.size() > kMaxOneText) {
    unkept_ = std::make_unique<Plan>(std::move(plan));
    return unkept_.get();
  }
  unkept_.reset();
  entries_.push_front({std::string(text), std::move(plan)});
  by_text_.emplace(entries_.front().text, entries_.begin());
  text_bytes_ += text.size();
  while (entries_.size() > kMaxPlans || text_bytes_ > kMaxTextBytes) drop_last();
  return &entries_.front().plan;
}

}  // namespace reflex
