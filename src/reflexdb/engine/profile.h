// What EXPLAIN tells of a query that has run: work counted selection by selection, and the account of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "plan.h"
#include "schema.h"
#include "store.h"

namespace reflex {

// Filled while a plan runs; only where somebody asked.
struct Profile {
  struct Part {
    uint64_t calls = 0;
    uint64_t looked = 0;    // rows
    uint64_t out = 0;       // rows or groups
    bool by_index = false;  // the access path that was planned was also taken
    std::chrono::nanoseconds time{0};
  };
  std::unordered_map<const PlanSelection*, Part> parts;

  Part& of(const PlanSelection& selection) { return parts[&selection]; }
};

// Adds the time from its making to its end to a selection's; does nothing without a profile.
class Stopwatch {
 public:
  Stopwatch(Profile* profile, const PlanSelection& selection) : profile_(profile), selection_(selection) {
    if (profile_ != nullptr) [[unlikely]]
      begin_ = std::chrono::steady_clock::now();
  }
  ~Stopwatch() {
    if (profile_ == nullptr) [[likely]]
      return;
    Profile::Part& part = profile_->of(selection_);
    ++part.calls;
    part.time += std::chrono::steady_clock::now() - begin_;
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Profile* profile_;
  const PlanSelection& selection_;
  std::chrono::steady_clock::time_point begin_;
};

// The account as a JSON object. `answer_bytes` is the length of the answer that was made and thrown away.
std::string explanation(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan,
                        const Profile& profile, uint64_t answer_bytes, bool cached);

}  // namespace reflex
