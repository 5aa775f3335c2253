// The process from its first thread to its last: opens the listening socket, runs the event loops, waits for
// orders and signals, drains. Made and used by main's thread; the orders it puts into the Instance may come
// from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "event_loop.h"
#include "instance.h"

namespace reflex::net {

// Before any thread: no SIGPIPE, SIGTERM and SIGINT as descriptors, as many descriptors as the system allows.
int prepare_process();

class Lifecycle {
 public:
  static constexpr uint32_t kSignalDrainMs = 10'000;

  Lifecycle(Instance& instance, int signal_fd);
  ~Lifecycle();
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  // Binds or checks the listening socket. False, and a sentence in `*error`, where it can't be used.
  bool open_listener(std::string* error);
  void start_loops();
  // Until drained. Requires: start_loops().
  void wait();

 private:
  bool serve();
  void drain(uint32_t within_ms);
  void share(const Share& share);
  void leave_counts(uint64_t cut) const;
  int duplicate_listener();
  bool bind_listener(std::string* error);
  void on_signal();
  void give_up_listener();
  bool loops_ended() const;

  Instance& instance_;
  const int signal_fd_;
  int wake_fd_ = -1;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::thread> threads_;
  WorkerPool workers_;  // uses what loops_ have
  std::atomic<size_t> running_{0};
  std::mutex mutex_;
  int listen_fd_ = -1;         // by mutex_
  bool serving_ = false;       // by mutex_
  int64_t drain_end_ms_ = -1;  // by mutex_
};

}  // namespace reflex::net
