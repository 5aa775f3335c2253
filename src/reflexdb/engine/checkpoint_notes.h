// What is known of the instance's checkpoint: how far it is, whether the snapshot that serves came from it,
// and whether the source has been heard of since. Any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace reflex::net {

class CheckpointNotes {
 public:
  struct Copy {
    bool kept = false;      // checkpoints are written at all
    bool restored = false;  // this process began with one
    uint64_t written = 0;   // by this process
    uint64_t failures = 0;
    uint64_t usable_from = 0;   // of an earlier version none may be kept: its rows are known to be wrong
    std::string error;          // of the last try, if it failed
    std::string durable;        // the source's position that a restart would go on from; empty: none
    int64_t durable_at_ms = 0;  // by the steady clock, when it last moved
    int64_t written_at_ms = 0;  // by the wall clock
    uint64_t bytes = 0;
    int64_t took_ms = 0;
  };
  Copy copy() const {
    std::lock_guard lock(mutex_);
    return notes_;
  }
  template <typename Change>
  void change(Change how) {
    std::lock_guard lock(mutex_);
    how(notes_);
  }

  // Whoever must not act before it is known whether there is a checkpoint waits here.
  void await_loaded() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return loaded_; });
  }
  void set_loaded() {
    std::lock_guard lock(mutex_);
    loaded_ = true;
    changed_.notify_all();
  }

  // The snapshot that serves is a checkpoint's, and may be older than what an earlier process answered.
  void begin_stale(int64_t now_wall_ms) {
    stale_since_ms_.store(now_wall_ms, std::memory_order_relaxed);
    stale_.store(true, std::memory_order_release);
  }
  bool stale() const { return stale_.load(std::memory_order_acquire); }
  // What serves now is the source as it was at this time: at least as new as when this process began?
  void heard(int64_t source_time_ms) {
    if (stale() && source_time_ms >= stale_since_ms_.load(std::memory_order_relaxed))
      stale_.store(false, std::memory_order_release);
  }
  void heard_all() { stale_.store(false, std::memory_order_release); }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool loaded_ = false;  // by mutex_
  Copy notes_;           // by mutex_
  std::atomic<bool> stale_{false};
  std::atomic<int64_t> stale_since_ms_{0};
};

}  // namespace reflex::net
