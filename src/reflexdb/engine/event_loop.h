// One thread's share of the HTTP clients: accepts, reads, answers and writes, with a limit on everything
// (doc/http.md).
//
// Loops share nothing but the Instance. Its owner makes it, runs run() on a thread of its own, and may from
// other threads call only wake(), listen_on(), take_share() and drain().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "endpoints.h"
#include "instance.h"
#include "reply_head.h"
#include "share.h"

namespace reflex::net {

class EventLoop {
 public:
  static constexpr size_t kReadBytes = 64 * 1024;
  static constexpr size_t kBatchBytes = 64 * 1024;   // answers to pipelined requests joined into one write
  static constexpr size_t kMostUnsent = 16;          // answers made in a row before they are sent
  static constexpr int64_t kMostUnsentNs = 100'000;  // that they may have taken
  static constexpr size_t kKeptOutBytes = 16 * 1024 * 1024;  // of the answer buffer between requests
  static constexpr size_t kSendTurn = 4 * 1024 * 1024;       // to one client before others have their turn
  static constexpr int64_t kWriteStep = 64 * 1024;           // to be taken within each write timeout
  static constexpr int64_t kMaxPendingBytes = int64_t{2} << 30;
  static constexpr int64_t kLongerMs = int64_t{1} << 40;  // a long query has limits of its own
  static constexpr int64_t kLingerMs = 2'000;
  static constexpr int64_t kQuietAfterMs = 1'000;  // of a drain: from then on silent connections are closed

  EventLoop(Instance& instance, LoopStats& stats);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Serves until drained. Nothing is thrown.
  void run() noexcept;

  void wake();
  // From now on accepts on `fd`, which stays the caller's and open until accepting() is false.
  bool listen_on(int fd);
  // From now on accepts in its turns alone (share.h).
  void take_share(const Share& share);
  // Stops accepting, answers what is in flight and closes; returns at once. See doc/http.md, "Going away".
  void drain(uint32_t within_ms);
  bool accepting() const { return accepting_.load(std::memory_order_acquire); }

 private:
  void handle(void* source, uint32_t events);
  void accept_one();
  void accept_rest();
  bool adopt(int fd);
  void refuse(int fd);

  void on_readable(Connection* c);
  void on_writable(Connection* c);
  void linger(Connection* c);
  // Answers the requests in [data, data + *size) as far as they are complete; `*used` bytes of them are done
  // with.
  void process(Connection* c, char* data, size_t* size, size_t* used);
  // False: the request has to wait, and is to be kept.
  bool answer(Connection* c, const HttpRequest& request, bool more);
  // Deals with the bytes that the connection has kept.
  void answer_kept(Connection* c);
  void append_error(Connection* c, int status, const char* code, const char* message);
  void append_reply(Reply reply, size_t body_at, bool head_only);
  // Sends what it can of `head` and the chain behind it. As send() answers.
  static ssize_t send_both(int fd, std::string_view head, const Chain& rest);
  void begin_batch();
  bool flush(Connection* c);
  // Leaves the batch for the end of the turn, where it is short and nothing follows from its being sent.
  bool try_to_leave(Connection* c);
  void send_left();
  void send_left_in_time();
  // Sends the bytes [begin, end) of out_, and rest_. False: the connection is closed.
  bool send_or_keep(Connection* c, size_t begin, size_t end);

  // Answers that come in pieces (event_loop_pieces.cc).
  void begin_pieces(Connection* c, const HttpRequest& request, size_t body_at, Reply* reply);
  void next_piece(Connection* c);
  bool send_out(Connection* c);
  void put_piece(Connection* c, std::string_view piece, bool last);
  void go_on(Connection* c);
  void run_live();
  void tell(Connection* c);
  void put_event(Connection* c, LiveQuery::Outcome outcome, std::string_view piece);
  void end_live(Connection* c, std::string_view piece);
  void drop_pieces(Connection* c);
  bool live_waits() const;
  void settle(Connection* c);
  void close_gently(Connection* c);
  void close_now(Connection* c);
  void set_phase(Connection* c, Phase phase);
  void set_writable(Connection* c, bool writable);
  void watch(Connection* c, uint32_t events);
  bool keeps(const Connection* c, const HttpRequest& request, bool more) const;

  // event_loop_wait.cc
  bool may_wait() const;
  void begin_longer(Connection* c);
  void take_arrived();
  void arrived(Connection* c, LongQuery* query);
  void begin_wait(Connection* c);
  void forget_wait(Connection* c);
  void resume(Connection* c);
  void guarded_resume(Connection* c);
  void resume_reached();
  void resume_all();

  // event_loop_share.cc
  void take_turns();
  void stand_by(bool begins);
  void end_all_live();
  void count_cut();

  void begin_drain();
  void expire();
  void expired(Connection* c);
  void close_silent();
  static int64_t taken(const Connection* c);
  int timeout_ms() const;
  bool finished() const;

  Instance& instance_;
  LoopStats& stats_;
  int epoll_;
  int wake_fd_;
  Mailbox mailbox_;
  std::vector<LongQueryPtr> arrived_;
  Endpoints endpoints_;
  ReplyHead head_;
  const HttpLimits http_limits_;
  std::array<int64_t, kPhases> limits_ms_;
  std::array<Queue, kPhases> queues_;
  int64_t now_ms_ = 0;
  size_t open_ = 0;
  std::vector<std::unique_ptr<Connection>> all_;
  std::vector<Connection*> spare_;
  std::unique_ptr<char[]> scratch_;

  std::string out_;  // answers of the connection at work; the bytes from out_begin_ on count
  size_t out_begin_ = 0;
  Chain rest_;  // the end of the last of them, where it is long

  // Answers that wait in out_ for those of the other connections that were readable at the same time: they
  // are then sent one after the other, while the kernel's part and the client are awake.
  struct Unsent {
    Connection* c;
    size_t begin;
    size_t end;
  };
  std::vector<Unsent> unsent_;
  std::vector<Unsent> sending_;
  uint64_t unsent_since_ns_ = 0;  // of all time spent in queries, when the first of them was left
  bool gathers_ = false;
  bool hurries_ = false;  // one of the queries took all the time that a loop has for one

  uint64_t looked_at_ = 0;             // the publication that waiting requests were last compared with
  std::vector<Connection*> live_due_;  // to be answered again
  uint64_t live_epoch_ = 0;            // that they were last looked at for
  int64_t live_at_ms_ = 0;             // not before

  bool draining_ = false;
  bool standing_by_ = false;
  int64_t quiet_at_ms_ = 0;  // from then on silent connections are closed, where either holds
  int64_t drain_end_ms_ = 0;

  Share share_;
  SharedShare ordered_;  // that `share_` becomes

  std::atomic<int> listen_fd_{-1};
  std::atomic<bool> watching_{false};  // the socket that it accepts on
  std::atomic<bool> accepting_{false};
  std::atomic<int64_t> drain_within_ms_{-1};  // an order to drain, not yet begun
};

}  // namespace reflex::net
