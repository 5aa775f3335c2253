// How long a query may run: its time limit, the patience of the thread that runs it, and a client that has
// gone. Belongs to one query in one thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace reflex {

// What a thread with other work to do allows a query. One that needs more is stopped, to be run from its
// start where it disturbs nobody.
struct Patience {
  int64_t ns = 0;                                // 0: as long as the limits allow
  const std::atomic<bool>* cancelled = nullptr;  // set by another thread: nobody wants the answer
};

// Counts work and looks at the clock now and then; the query stops soon after its time is over.
class Ticker {
 public:
  static constexpr uint64_t kBetweenLooks = 4096;
  static constexpr uint64_t kAtOnce =
      4 * kBetweenLooks;  // rows that may be sorted before others are answered

  // The time begins with the first look: what little comes before it costs less than the look.
  explicit Ticker(uint32_t milliseconds, Patience patience = {})
      : allowed_(milliseconds), patience_(patience) {}

  // True while there is time. `work` is about how many rows were looked at.
  bool spend(uint64_t work) {
    if (left_ > work) [[likely]] {
      left_ -= work;
      return true;
    }
    return look();
  }
  // Before work on so many rows that can't be stopped once it is begun.
  bool spend_at_once(uint64_t rows) {
    if (patience_.ns != 0 && rows > kAtOnce) impatient_ = expired_ = true;
    return spend(rows);
  }
  // The query is to stop; where impatient() is true, only here.
  bool expired() const { return expired_; }
  bool impatient() const { return impatient_; }

 private:
  using Clock = std::chrono::steady_clock;

  bool look() {
    const Clock::time_point now = Clock::now();
    if (begin_ == Clock::time_point()) begin_ = now;
    if (now >= begin_ + allowed_) expired_ = true;
    if (patience_.ns != 0 && now >= begin_ + std::chrono::nanoseconds(patience_.ns)) {
      impatient_ = expired_ = true;
    }
    if (patience_.cancelled != nullptr && patience_.cancelled->load(std::memory_order_relaxed)) {
      expired_ = true;
    }
    left_ = expired_ ? 0 : kBetweenLooks;
    return !expired_;
  }

  std::chrono::milliseconds allowed_;
  Patience patience_;
  Clock::time_point begin_;
  uint64_t left_ = kBetweenLooks;
  bool expired_ = false;
  bool impatient_ = false;
};

}  // namespace reflex
