// The process from start to end: its event loops, its listening socket, the orders to serve and to drain, and
// the signals.
//
// Belongs to main. Orders may come from any thread; they only set a mark, and main's thread carries them out
// in run().
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

// Blocks SIGTERM and SIGINT for this and all later threads, ignores SIGPIPE. Answers a descriptor that
// reports them, or -1.
int claim_signals();

// Binds HOST:PORT (numeric) and listens. -1 and a sentence in `*error` where that fails.
int listen_at(const std::string& host_port, std::string* error);

class Lifecycle {
 public:
  static constexpr uint32_t kSignalDrainMs = 10'000;
  static constexpr int kReapEveryMs = 100;

  // `listen_fd` is -1 where there is none. Wires itself into the instance's orders and publications.
  Lifecycle(Instance& instance, int signal_fd, int listen_fd);
  ~Lifecycle();
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  bool serve();
  // Starts the loops, carries out orders and returns when all loops have drained.
  void run();

 private:
  void drain(uint32_t within_ms);
  void take_signal();
  void release_listener();
  void wake();

  Instance& instance_;
  const int signal_fd_;
  int wake_fd_ = -1;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::thread> threads_;
  std::atomic<size_t> ended_{0};
  std::mutex mutex_;
  int listen_fd_;          // by mutex_
  bool serving_ = false;   // by mutex_
  bool draining_ = false;  // by mutex_
};

}  // namespace reflex::net
