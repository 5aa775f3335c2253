#include "event_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>

namespace reflex::net {
namespace {

constexpr int kEventsPerWait = 128;

int64_t coarse_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

bool has_unread(int fd) {
  int bytes = 0;
  return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

HttpLimits http_limits(const Options& options) {
  HttpLimits limits;
  limits.body_bytes = options.limits.max_query_bytes;
  return limits;
}

}  // namespace

EventLoop::EventLoop(Instance& instance, LoopStats& stats)
    : instance_(instance),
      stats_(stats),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      mailbox_(wake_fd_),
      endpoints_(instance, stats, &mailbox_),
      head_(instance.boot_id),
      http_limits_(http_limits(instance.options)),
      limits_ms_{instance.options.idle_timeout_ms,
                 instance.options.header_timeout_ms,
                 instance.options.idle_timeout_ms,
                 instance.options.write_timeout_ms,
                 kLingerMs,
                 0,
                 LiveQuery::kHeartbeatMs,
                 kLongerMs},
      now_ms_(coarse_ms()),
      scratch_(new char[kReadBytes]) {
  unsent_.reserve(kMostUnsent);
  sending_.reserve(kMostUnsent);
  if (epoll_ < 0 || wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &wake_fd_;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_fd_, &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
}

EventLoop::~EventLoop() {
  for (const auto& c : all_) {
    if (c->fd >= 0) close(c->fd);
  }
  close(wake_fd_);
  close(epoll_);
}

void EventLoop::wake() {
  const uint64_t one = 1;
  // Full means that a wake is pending already.
  [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof one);
}

bool EventLoop::listen_on(int fd) {
  if (accepting_.exchange(true, std::memory_order_acq_rel)) return true;
  listen_fd_.store(fd, std::memory_order_release);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.ptr = &listen_fd_;
  watching_.store(true, std::memory_order_release);
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0) return true;
  accepting_.store(false, std::memory_order_release);
  return false;
}

void EventLoop::drain(uint32_t within_ms) {
  drain_within_ms_.store(within_ms, std::memory_order_release);
  wake();
}

void EventLoop::run() noexcept {
  epoll_event events[kEventsPerWait];
  while (!finished()) {
    const int n = epoll_wait(epoll_, events, kEventsPerWait, timeout_ms());
    now_ms_ = coarse_ms();
    gathers_ = n > 1;
    for (int i = 0; i < n; ++i) {
      handle(events[i].data.ptr, events[i].events);
      if (!unsent_.empty()) send_left_in_time();
    }
    send_left();
    gathers_ = false;
    // Old snapshots must not outlive their replacement in a loop that has nothing to do.
    endpoints_.refresh();
    take_arrived();
    if (std::exchange(looked_at_, endpoints_.epoch()) != endpoints_.epoch()) resume_reached();
    run_live();
    take_turns();
    if (drain_within_ms_.load(std::memory_order_acquire) >= 0 && !draining_) begin_drain();
    expire();
  }
  count_cut();
}

void EventLoop::handle(void* source, uint32_t events) {
  if (source == &wake_fd_) {
    uint64_t count = 0;
    [[maybe_unused]] ssize_t n = read(wake_fd_, &count, sizeof count);
    return;
  }
  if (source == &listen_fd_) {
    if (!draining_ && ordered_.get().has_turn(monotonic_ms())) accept_one();
    return;
  }
  Connection* c = static_cast<Connection*>(source);
  try {
    if (c->phase == Phase::kLinger || c->phase == Phase::kLive) {
      linger(c);
    } else if (c->phase == Phase::kWait || c->phase == Phase::kLonger) {
      close_now(c);  // its client has gone
    } else if (c->writable) {
      (events & (EPOLLERR | EPOLLHUP)) != 0 ? close_now(c) : on_writable(c);
    } else {
      on_readable(c);
    }
  } catch (...) {
    // No memory even for the refusal: this connection is the one that pays.
    close_now(c);
  }
}

// One at a time: where connections arrive in a burst, loops take turns instead of the first one taking all.
void EventLoop::accept_one() {
  const int fd =
      accept4(listen_fd_.load(std::memory_order_acquire), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) adopt(fd);
}

void EventLoop::accept_rest() {
  for (;;) {
    const int fd =
        accept4(listen_fd_.load(std::memory_order_acquire), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EINTR && errno != ECONNABORTED) return;
    if (fd >= 0) adopt(fd);
  }
}

bool EventLoop::adopt(int fd) {
  stats_.accepted.add(1);
  if (instance_.connections.fetch_add(1, std::memory_order_relaxed) >= instance_.options.max_connections) {
    instance_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(fd);
    return false;
  }
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  Connection* c = nullptr;
  try {
    if (spare_.empty()) {
      spare_.reserve(all_.size() + 1);
      all_.push_back(std::make_unique<Connection>(http_limits_));
      spare_.push_back(all_.back().get());
    }
    c = spare_.back();
  } catch (...) {
    instance_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(fd);
    return false;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = c;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
    instance_.connections.fetch_sub(1, std::memory_order_relaxed);
    refuse(fd);
    return false;
  }
  spare_.pop_back();
  ++open_;
  c->fd = fd;
  c->since_ms = now_ms_;
  c->closing = c->writable = c->answered = false;
  c->parser.reset();
  c->phase = Phase::kHead;  // a new connection owes its first request
  c->deadline_ms = now_ms_ + limits_ms_[static_cast<size_t>(Phase::kHead)];
  queues_[static_cast<size_t>(Phase::kHead)].push(c);
  return true;
}

// Best effort: the client may see a reset instead, if its request is on the way.
void EventLoop::refuse(int fd) {
  std::string answer(ReplyHead::kMaxBytes, '\0');
  Reply reply = Endpoints::error(503, "overloaded", "This instance has too many connections.", &answer);
  reply.close = true;
  const size_t head_size = head_.write(reply, answer.size() - ReplyHead::kMaxBytes, answer.data());
  answer.erase(head_size, ReplyHead::kMaxBytes - head_size);
  [[maybe_unused]] ssize_t n = recv(fd, scratch_.get(), kReadBytes, MSG_DONTWAIT);
  n = send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
  stats_.count_request(503);
}

void EventLoop::set_phase(Connection* c, Phase phase) {
  queues_[static_cast<size_t>(c->phase)].remove(c);
  c->phase = phase;
  c->deadline_ms = now_ms_ + limits_ms_[static_cast<size_t>(phase)];
  queues_[static_cast<size_t>(phase)].push(c);
}

void EventLoop::set_writable(Connection* c, bool writable) {
  if (c->writable == writable) return;
  watch(c, writable ? EPOLLOUT : EPOLLIN);
  c->writable = writable;
}

void EventLoop::watch(Connection* c, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = c;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd, &event);
}

void EventLoop::on_readable(Connection* c) {
  const bool direct = c->in.empty();
  char* into = scratch_.get();
  size_t room = kReadBytes;
  if (!direct) {
    c->in.reserve(kReadBytes / 4);
    into = c->in.data() + c->in.size();
    room = c->in.room();
  }
  const ssize_t n = recv(c->fd, into, room, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return close_now(c);
  size_t size = static_cast<size_t>(n);
  size_t used = 0;
  if (direct) {
    process(c, scratch_.get(), &size, &used);
    if (c->fd < 0 || c->phase == Phase::kLinger) return;
    c->in.append(scratch_.get() + used, size - used);
  } else {
    c->in.grow(size);
    size = c->in.size();
    process(c, c->in.data(), &size, &used);
    if (c->fd < 0 || c->phase == Phase::kLinger) return;
    c->in.keep(used, size);
  }
  settle(c);
}

void EventLoop::begin_batch() {
  if (unsent_.empty()) out_.clear();
  out_begin_ = out_.size();
  rest_.clear();
}

void EventLoop::process(Connection* c, char* data, size_t* size, size_t* used) {
  begin_batch();
  while (*used < *size && !c->closing) {
    if (out_.size() - out_begin_ >= kBatchBytes || !rest_.empty()) {
      if (!flush(c)) return;
      if (c->writable) return;
    }
    HttpParser::Result result = HttpParser::Result::kRequest;
    if (!c->keeps_request()) {
      size_t available = *size - *used;
      result = c->parser.feed(data + *used, &available);
      *size = *used + available;
    }
    if (result == HttpParser::Result::kNeedMore) break;
    if (result == HttpParser::Result::kError) {
      const HttpError& error = c->parser.error();
      append_error(c, error.status, error.code, error.message);
      break;
    }
    const HttpRequest request = c->parser.request(data + *used);
    if (result == HttpParser::Result::kContinue) {
      const size_t body_at = out_.size() + ReplyHead::kMaxBytes;
      const size_t before = out_.size();
      out_.resize(body_at);
      Reply reply;
      if (endpoints_.refuse_early(request, &reply, &out_)) {
        reply.close = c->closing = true;
        append_reply(std::move(reply), body_at, request.method == Method::kHead);
        break;
      }
      out_.resize(before);
      out_ += "HTTP/1.1 100 Continue\r\n\r\n";
      continue;
    }
    const size_t end = *used + c->parser.consumed();
    if (!answer(c, request, end < *size)) break;
    *used = end;
    c->parser.reset();
    if (c->body != nullptr || c->live != nullptr) break;
  }
  flush(c);
}

bool EventLoop::answer(Connection* c, const HttpRequest& request, bool more) {
  const size_t before = out_.size();
  const size_t body_at = out_.size() + ReplyHead::kMaxBytes;
  Reply reply;
  try {
    out_.resize(body_at);
    if (instance_.pending_bytes.load(std::memory_order_relaxed) > kMaxPendingBytes) {
      reply = Endpoints::error(503, "overloaded", "Too many bytes of answers wait for their clients.", &out_);
      reply.close = true;
    } else {
      reply = endpoints_.answer(request, &out_, may_wait() ? &c->wait : nullptr, &c->longer, now_ms_);
    }
    if (reply.waits) {
      hurries_ = true;
      if (c->longer != nullptr) c->longer->owner = c;
      out_.resize(before);
      return false;
    }
  } catch (...) {
    out_.resize(body_at);
    reply = Endpoints::error(503, "overloaded", "There was not enough memory to answer.", &out_);
    reply.close = true;
  }
  c->wait.reset();
  reply.close = reply.close || !keeps(c, request, more);
  c->closing = reply.close;
  c->answered = true;
  if (reply.body != nullptr || reply.live != nullptr) begin_pieces(c, request, body_at, &reply);
  append_reply(std::move(reply), body_at, request.method == Method::kHead);
  if (c->longer != nullptr) c->longer->cancel();
  c->longer.reset();  // only now: it has what the reply borrowed
  return true;
}

// While draining, a connection's last answer says close; it is the last where no further request has arrived.
bool EventLoop::keeps(const Connection* c, const HttpRequest& request, bool more) const {
  if (!request.keep_alive) return false;
  // The order itself counts, not when this loop came to obey it.
  const bool going_away = draining_ || drain_within_ms_.load(std::memory_order_acquire) >= 0;
  const bool old = share_.connection_ms > 0 && now_ms_ - c->since_ms >= int64_t{share_.connection_ms};
  return !(going_away || standing_by_ || old) || more || has_unread(c->fd);
}

void EventLoop::append_error(Connection* c, int status, const char* code, const char* message) {
  const size_t body_at = out_.size() + ReplyHead::kMaxBytes;
  out_.resize(body_at);
  Reply reply = Endpoints::error(status, code, message, &out_);
  reply.close = c->closing = true;
  append_reply(std::move(reply), body_at, false);
}

// The body stands at `body_at` with room for a head before it; the head is put in front and the gap closed.
void EventLoop::append_reply(Reply reply, size_t body_at, bool head_only) {
  assert(body_at >= ReplyHead::kMaxBytes && body_at <= out_.size());
  stats_.count_request(reply.status);
  char head[ReplyHead::kMaxBytes];
  const size_t head_size = head_.write(reply, out_.size() - body_at + reply.rest.size(), head);
  if (head_only || reply.status == 304) {
    out_.resize(body_at);
    reply.rest.clear();
  }
  assert(rest_.empty());
  rest_ = std::move(reply.rest);
  const size_t gap = ReplyHead::kMaxBytes - head_size;
  const size_t start = body_at - ReplyHead::kMaxBytes;
  if (start == out_begin_) {
    out_begin_ += gap;
    memcpy(out_.data() + out_begin_, head, head_size);
  } else {
    memmove(out_.data() + start + head_size, out_.data() + body_at, out_.size() - body_at);
    memcpy(out_.data() + start, head, head_size);
    out_.resize(out_.size() - gap);
  }
}

ssize_t EventLoop::send_both(int fd, std::string_view head, const Chain& rest) {
  if (rest.empty()) return send(fd, head.data(), head.size(), MSG_NOSIGNAL);
  constexpr size_t kMostPieces = 17;
  Chain::Piece pieces[kMostPieces];
  iovec parts[kMostPieces + 1];
  parts[0] = {const_cast<char*>(head.data()), head.size()};
  const size_t count = rest.front(pieces, kMostPieces);
  for (size_t i = 0; i < count; ++i) parts[i + 1] = {const_cast<char*>(pieces[i].bytes), pieces[i].size};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count + 1;
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

// What the client does not take moves to the connection, which then waits to write.
bool EventLoop::send_or_keep(Connection* c, size_t begin, size_t end) {
  size_t left = end - begin;
  bool full = false;
  while (left + rest_.size() > 0 && !full) {
    const ssize_t n = send_both(c->fd, {out_.data() + begin, left}, rest_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) {
      close_now(c);
      return false;
    }
    if (n < 0) break;
    stats_.bytes_sent.add(static_cast<uint64_t>(n));
    const size_t of_out = std::min(left, static_cast<size_t>(n));
    begin += of_out;
    left -= of_out;
    rest_.drop(static_cast<size_t>(n) - of_out);
    full = static_cast<size_t>(n) >= kSendTurn;
  }
  const uint64_t waiting = left + rest_.size();
  if (waiting > 0) {
    assert(c->out.empty() && c->rest.empty());
    if (left >= kBatchBytes && unsent_.empty() && sending_.empty()) {
      c->out.swap(out_);
      c->out_at = begin;
    } else {
      c->out.assign(out_, begin, left);
      c->out_at = 0;
    }
    c->rest = std::move(rest_);
    c->sent = 0;
    c->taken = taken(c);
    instance_.pending_bytes.fetch_add(static_cast<int64_t>(waiting), std::memory_order_relaxed);
    set_phase(c, Phase::kWrite);
    set_writable(c, true);
  }
  return true;
}

// Sends the batch in out_ and rest_, or leaves it for later. False: the connection is closed.
bool EventLoop::flush(Connection* c) {
  if (try_to_leave(c)) return true;
  const bool is_open = send_or_keep(c, out_begin_, out_.size());
  begin_batch();
  if (!is_open) return false;
  if (out_.capacity() > kKeptOutBytes) out_.shrink_to_fit();
  if (!c->writable && (c->body != nullptr || c->live != nullptr)) {
    go_on(c);
    return c->fd >= 0;
  }
  if (!c->writable && c->closing) {
    close_gently(c);
    return false;
  }
  return true;
}

bool EventLoop::try_to_leave(Connection* c) {
  const size_t size = out_.size() - out_begin_;
  const bool is_whole = !c->closing && c->body == nullptr && c->live == nullptr && c->wait == nullptr &&
                        c->longer == nullptr && rest_.empty();
  if (!gathers_ || !is_whole || size == 0 || size > kBatchBytes) return false;
  if (unsent_.empty()) unsent_since_ns_ = stats_.query_ns.get();
  unsent_.push_back({c, out_begin_, out_.size()});
  begin_batch();
  return true;
}

void EventLoop::send_left_in_time() {
  const uint64_t took = stats_.query_ns.get() - unsent_since_ns_;
  if (hurries_ || unsent_.size() == kMostUnsent || took > kMostUnsentNs || out_.size() > kBatchBytes)
    send_left();
}

void EventLoop::send_left() {
  hurries_ = false;
  sending_.swap(unsent_);
  for (const Unsent& one : sending_) send_or_keep(one.c, one.begin, one.end);
  sending_.clear();
  begin_batch();
}

void EventLoop::on_writable(Connection* c) {
  if (!send_out(c)) return;
  if (c->body != nullptr) return next_piece(c);
  if (c->live != nullptr) return go_on(c);
  std::string().swap(c->out);
  if (c->closing) return close_gently(c);
  set_writable(c, false);
  answer_kept(c);  // requests that were pipelined behind the large answer
}

void EventLoop::answer_kept(Connection* c) {
  size_t size = c->in.size();
  size_t used = 0;
  if (size > 0) {
    process(c, c->in.data(), &size, &used);
    if (c->fd < 0 || c->phase == Phase::kLinger) return;
    c->in.keep(used, size);
  }
  settle(c);
}

// Chooses what a connection waits for now that its bytes are dealt with.
void EventLoop::settle(Connection* c) {
  if (c->writable || c->phase == Phase::kLive) return;
  if (c->longer != nullptr) return begin_longer(c);
  if (c->wait != nullptr) return begin_wait(c);
  if (c->in.empty()) return set_phase(c, Phase::kIdle);
  const Phase phase = c->parser.in_body() ? Phase::kBody : Phase::kHead;
  // A head that trickles in does not get more time with each byte.
  if (c->phase != phase || c->answered) set_phase(c, phase);
  c->answered = false;
}

// Lets the client read the last answer: a close with unread bytes would reset the connection and lose it.
void EventLoop::close_gently(Connection* c) {
  c->in.clear();
  drop_pieces(c);
  if (shutdown(c->fd, SHUT_WR) != 0) return close_now(c);
  set_writable(c, false);
  set_phase(c, Phase::kLinger);
}

void EventLoop::linger(Connection* c) {
  const ssize_t n = recv(c->fd, scratch_.get(), kReadBytes, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) close_now(c);
}

void EventLoop::close_now(Connection* c) {
  if (c->fd < 0) return;
  std::erase_if(unsent_, [c](const Unsent& one) { return one.c == c; });
  instance_.pending_bytes.fetch_sub(static_cast<int64_t>(c->waiting()), std::memory_order_relaxed);
  close(c->fd);
  c->fd = -1;
  forget_wait(c);
  c->wait.reset();
  if (c->longer != nullptr) c->longer->cancel();
  c->longer.reset();
  queues_[static_cast<size_t>(c->phase)].remove(c);
  c->in.clear();
  std::string().swap(c->out);
  c->rest.clear();
  c->out_at = 0;
  drop_pieces(c);
  spare_.push_back(c);
  --open_;
  instance_.connections.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace reflex::net
