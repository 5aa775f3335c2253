// The private socket: rows from sync, orders from the deployer (doc/feed.md). Listens in the instance's
// directory and gives each connection a thread and a Session; the query path knows nothing of it but what it
// publishes.
//
// Belongs to main. start() before anything is published; stop() ends every connection and joins every thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "instance.h"

namespace reflex::net {

class PrivateSocket {
 public:
  static constexpr int kMaxConnections = 16;
  static constexpr char kName[] = "server.sock";  // in the working directory

  explicit PrivateSocket(Instance& instance) : instance_(instance) {}
  ~PrivateSocket() { stop(); }
  PrivateSocket(const PrivateSocket&) = delete;
  PrivateSocket& operator=(const PrivateSocket&) = delete;

  // False, and a sentence in `*error`, where the socket can't be made.
  bool start(std::string* error);
  void stop();

 private:
  struct Peer {
    int fd = -1;
    std::atomic<bool> done{false};
    std::thread thread;
  };

  void accept_peers();
  void admit(int fd);
  void collect(bool all);
  void run_peer(Peer* peer) noexcept;
  // A newer sync connection replaces the older.
  void take_sync(int fd);
  void leave_sync(int fd);

  Instance& instance_;
  int listen_fd_ = -1;
  int stop_fd_ = -1;
  std::thread acceptor_;
  std::mutex mutex_;
  std::list<std::unique_ptr<Peer>> peers_;  // by mutex_
  int sync_fd_ = -1;                        // by mutex_
};

}  // namespace reflex::net
