// The unix socket `server.sock`: a thread for each of at most 16 connections, which reads frames and writes
// what their session answers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "feed_session.h"
#include "instance.h"

namespace reflex::net {

class PrivateSocket {
 public:
  static constexpr size_t kMaxConnections = 16;

  explicit PrivateSocket(Instance& instance) : instance_(instance) {}
  // Ends all connections, once the answers they are owed are sent (at most half a second), and waits for
  // their threads.
  ~PrivateSocket();
  PrivateSocket(const PrivateSocket&) = delete;
  PrivateSocket& operator=(const PrivateSocket&) = delete;

  // Binds `server.sock` in the working directory, mode 0600, in place of a stale one, and begins to accept.
  // False, and a sentence in `*error`, where that can't be done.
  bool start(std::string* error);
  // Removes the name, so that nobody new connects; called when draining is over.
  void remove_name();

 private:
  struct Client {
    int fd = -1;
    bool ended = false;
    std::thread thread;
  };

  void accept_all() noexcept;
  void admit(int fd);
  void serve(uint64_t id, int fd) noexcept;
  void disconnect(uint64_t id);
  void forget_ended();
  void shut_down(int how);

  Instance& instance_;
  SyncRole role_;
  int listen_fd_ = -1;
  int stop_fd_ = -1;
  uint64_t inode_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::condition_variable all_ended_;
  uint64_t next_id_ = 1;                // by mutex_
  std::map<uint64_t, Client> clients_;  // by mutex_
};

}  // namespace reflex::net
