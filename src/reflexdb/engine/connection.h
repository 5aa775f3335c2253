// One client's connection as its event loop keeps it, and the lists that say whose time is up. No behaviour
// of its own.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "body.h"
#include "chain.h"
#include "http_parser.h"
#include "live_query.h"
#include "min_position.h"
#include "worker_pool.h"

namespace reflex::net {

// Received bytes that are not used up yet. Grows without filling what it gains.
class Inbox {
 public:
  Inbox() = default;
  ~Inbox() { free(data_); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  char* data() { return data_; }
  size_t size() const { return size_; }
  size_t room() const { return capacity_ - size_; }
  bool empty() const { return size_ == 0; }

  void reserve(size_t more) {
    if (room() >= more) return;
    const size_t wanted = std::max(size_ + more, capacity_ * 2);
    void* grown = realloc(data_, wanted);
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<char*>(grown);
    capacity_ = wanted;
  }
  void append(const char* bytes, size_t count) {
    if (count == 0) return;
    reserve(count);
    memcpy(data_ + size_, bytes, count);
    size_ += count;
  }
  void grow(size_t count) {
    assert(count <= room());
    size_ += count;
  }
  // Keeps the bytes [from, to).
  void keep(size_t from, size_t to) {
    assert(from <= to && to <= size_);
    if (from > 0 && from < to) memmove(data_, data_ + from, to - from);
    size_ = to - from;
    if (size_ == 0 && capacity_ > kKeptBytes) clear();
  }
  void clear() {
    free(data_);
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

 private:
  static constexpr size_t kKeptBytes = 64 * 1024;

  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// What a connection waits for; each has its own limit of time.
enum class Phase : uint8_t { kIdle, kHead, kBody, kWrite, kLinger, kWait, kLive, kLonger };
inline constexpr size_t kPhases = 8;

struct Connection {
  explicit Connection(const HttpLimits& limits) : parser(limits) {}

  int fd = -1;
  Phase phase = Phase::kIdle;
  bool closing = false;   // its last answer is written or being written
  bool answered = false;  // a request, since its phase was chosen
  bool writable = false;  // waits for room to write, not for bytes to read
  int64_t since_ms = 0;   // accepted
  int64_t deadline_ms = 0;
  size_t out_at = 0;  // of `out`, sent
  int64_t sent = 0;   // of `out` and `rest`
  int64_t taken = 0;  // by the client, of those, when the deadline was set
  HttpParser parser;
  std::unique_ptr<PositionWait> wait;  // set: `in` begins with a request that the parser has understood
  int64_t waiting_bytes = 0;           // that the instance counts for it
  LongQueryPtr longer;                 // set: `in` begins with its request, in the same way
  Inbox in;
  std::string out;                  // what the client has not taken yet
  bool chunked = false;             // so `body` and `live` are sent
  std::unique_ptr<Body> body;       // what of an answer comes after `out`
  std::unique_ptr<LiveQuery> live;  // the answer goes on for good
  Chain rest;                       // and what follows it
  bool keeps_request() const { return wait != nullptr || longer != nullptr; }
  // Bytes of answers that the client has not taken yet.
  uint64_t waiting() const { return out.size() - out_at + rest.size(); }

  Connection* before = nullptr;
  Connection* after = nullptr;
};

// Connections of one phase, the earliest deadline in front: the phase's limit is the same for all, or their
// places are looked for.
class Queue {
 public:
  Connection* front() const { return first_; }

  void push(Connection* c) {
    c->before = last_;
    c->after = nullptr;
    (last_ != nullptr ? last_->after : first_) = c;
    last_ = c;
  }
  // Looks from the back: most wait for the same time.
  void push_by_deadline(Connection* c) {
    Connection* before = last_;
    while (before != nullptr && before->deadline_ms > c->deadline_ms) before = before->before;
    if (before == last_) return push(c);
    c->before = before;
    c->after = before != nullptr ? before->after : first_;
    c->after->before = c;
    (before != nullptr ? before->after : first_) = c;
  }
  void remove(Connection* c) {
    (c->before != nullptr ? c->before->after : first_) = c->after;
    (c->after != nullptr ? c->after->before : last_) = c->before;
    c->before = c->after = nullptr;
  }

 private:
  Connection* first_ = nullptr;
  Connection* last_ = nullptr;
};

}  // namespace reflex::net
