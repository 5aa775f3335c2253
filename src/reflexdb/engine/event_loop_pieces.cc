// The event loop's dealings with answers that come in pieces: made while the client takes them, or for as
// long as it listens.
#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <utility>

#include "event_loop.h"

namespace reflex::net {

namespace {

// A piece as a chunk (RFC 9112, 7.1). An empty one would be the last.
void append_chunk(std::string_view piece, std::string* out) {
  if (piece.empty()) return;
  char size[16];
  const char* end = std::to_chars(size, size + sizeof(size), piece.size(), 16).ptr;
  out->append(size, static_cast<size_t>(end - size)).append("\r\n").append(piece).append("\r\n");
}

constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace

// The first piece stands in out_ from `body_at` on.
void EventLoop::begin_pieces(Connection* c, const HttpRequest& request, size_t body_at, Reply* reply) {
  reply->chunked = !request.http_1_0;
  reply->unbounded = request.http_1_0;
  if (request.method == Method::kHead) return;  // its head is all
  c->chunked = reply->chunked;
  c->body = std::move(reply->body);
  c->live = std::move(reply->live);
  if (c->live != nullptr) instance_.live_queries.fetch_add(1, std::memory_order_relaxed);
  if (!c->chunked) return;
  const std::string piece = out_.substr(body_at);
  out_.resize(body_at);
  append_chunk(piece, &out_);
}

void EventLoop::drop_pieces(Connection* c) {
  if (c->live != nullptr) instance_.live_queries.fetch_sub(1, std::memory_order_relaxed);
  if (c->live != nullptr && c->live->longer != nullptr) c->live->longer->cancel();
  c->body.reset();
  c->live.reset();
}

// False: the client has not taken all of c->out, or is gone.
bool EventLoop::send_out(Connection* c) {
  for (size_t turn = 0; c->waiting() > 0;) {
    if (turn >= kSendTurn) return false;  // there will be another
    const size_t left = c->out.size() - c->out_at;
    const ssize_t n = send_both(c->fd, {c->out.data() + c->out_at, left}, c->rest);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return false;
    if (n < 0) {
      close_now(c);
      return false;
    }
    stats_.bytes_sent.add(static_cast<uint64_t>(n));
    instance_.pending_bytes.fetch_sub(n, std::memory_order_relaxed);
    const size_t of_out = std::min(left, static_cast<size_t>(n));
    c->out_at += of_out;
    c->rest.drop(static_cast<size_t>(n) - of_out);
    c->sent += n;
    turn += static_cast<size_t>(n);
  }
  c->out.clear();
  c->out_at = 0;
  return true;
}

// Puts a piece where the client will take it from.
void EventLoop::put_piece(Connection* c, std::string_view piece, bool last) {
  assert(c->out.empty());
  if (c->chunked) {
    append_chunk(piece, &c->out);
    if (last) c->out += kLastChunk;
  } else {
    c->out = piece;
  }
  instance_.pending_bytes.fetch_add(static_cast<int64_t>(c->out.size()), std::memory_order_relaxed);
}

// All that there was is taken: what is waited for now?
void EventLoop::go_on(Connection* c) {
  c->taken = taken(c);
  if (c->body != nullptr) {
    set_phase(c, Phase::kWrite);
    set_writable(c, true);
    return;
  }
  std::string().swap(c->out);
  set_writable(c, false);
  set_phase(c, Phase::kLive);
  if (draining_) return end_live(c, {});
  if (c->live->version != endpoints_.version()) live_due_.push_back(c);
}

// One piece a turn, so that other connections have theirs.
void EventLoop::next_piece(Connection* c) {
  std::string piece;
  const Body::State state = c->body->next(&piece);
  // What was sent is not the whole answer: without the last chunk the client sees that.
  if (state == Body::State::kFailed) return close_now(c);
  const bool last = state == Body::State::kDone;
  put_piece(c, piece, last);
  if (last) c->body.reset();
  if (last && !c->chunked) c->closing = true;
  c->taken = taken(c);
  set_phase(c, Phase::kWrite);
  if (!last) {
    send_out(c);
    return;
  }
  on_writable(c);
}

bool EventLoop::live_waits() const {
  return queues_[static_cast<size_t>(Phase::kLive)].front() != nullptr && live_epoch_ != endpoints_.epoch();
}

void EventLoop::run_live() {
  if (live_due_.empty()) {
    if (!live_waits() || now_ms_ < live_at_ms_) return;
    live_at_ms_ = now_ms_ + LiveQuery::kEveryMs;
    try {
      for (Connection* c = queues_[static_cast<size_t>(Phase::kLive)].front(); c != nullptr; c = c->after) {
        live_due_.push_back(c);
      }
    } catch (...) {  // no memory now; those left out are looked at with the next publication or heartbeat
    }
    live_epoch_ = endpoints_.epoch();
    if (live_due_.empty()) return;
  }
  const int64_t end = monotonic_ns() + Body::kSliceNs;
  do {
    Connection* c = live_due_.back();
    live_due_.pop_back();
    if (c->phase != Phase::kLive || c->fd < 0) continue;
    try {
      std::string piece;
      const LiveQuery::Outcome outcome = endpoints_.answer_again(c->live.get(), &piece);
      put_event(c, outcome, piece);
    } catch (...) {
      close_now(c);
    }
  } while (!live_due_.empty() && monotonic_ns() < end);
}

// Nothing was told for a while: a comment keeps the connection, and shows where it is gone.
void EventLoop::tell(Connection* c) {
  std::string piece;
  const LiveQuery::Outcome outcome = endpoints_.answer_again(c->live.get(), &piece);
  if (outcome == LiveQuery::Outcome::kEnd) return end_live(c, piece);
  if (piece.empty()) piece = ": still here\n\n";
  put_event(c, LiveQuery::Outcome::kEvent, piece);
}

// What has become of a live query that was answered again.
void EventLoop::put_event(Connection* c, LiveQuery::Outcome outcome, std::string_view piece) {
  if (c->live->longer != nullptr) c->live->longer->owner = c;
  if (outcome == LiveQuery::Outcome::kEnd) return end_live(c, piece);
  if (outcome != LiveQuery::Outcome::kEvent) return;
  put_piece(c, piece, false);
  set_phase(c, Phase::kWrite);
  set_writable(c, true);
  c->taken = taken(c);
  if (send_out(c)) go_on(c);
}

void EventLoop::end_live(Connection* c, std::string_view piece) {
  put_piece(c, piece, true);
  drop_pieces(c);
  c->closing = true;
  set_phase(c, Phase::kWrite);
  set_writable(c, true);
  c->taken = taken(c);
  on_writable(c);
}

}  // namespace reflex::net
