// The event loop's dealings with time: limits that run out, and going away.
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "event_loop.h"

namespace reflex::net {

int EventLoop::timeout_ms() const {
  int64_t next = INT64_MAX;
  for (const Queue& queue : queues_) {
    if (queue.front() != nullptr) next = std::min(next, queue.front()->deadline_ms);
  }
  if (!live_due_.empty()) return 0;
  if (live_waits()) next = std::min(next, live_at_ms_);
  if (draining_) next = std::min(next, drain_end_ms_);
  if (draining_ || (standing_by_ && open_ > 0)) next = std::min(next, std::max(quiet_at_ms_, now_ms_ + 50));
  if (!share_.whole() && accepting() && !share_.none()) {
    next = std::min(next, now_ms_ + share_.next_change_ms(monotonic_ms()) - 1);
  }
  if (next == INT64_MAX) return -1;
  // One more than needed: the clock is coarse, and waking early would spin.
  return static_cast<int>(std::clamp<int64_t>(next - now_ms_ + 1, 0, 60'000));
}

void EventLoop::expire() {
  for (Queue& queue : queues_) {
    while (queue.front() != nullptr && queue.front()->deadline_ms <= now_ms_) {
      Connection* c = queue.front();
      try {
        expired(c);
      } catch (...) {
        close_now(c);
      }
    }
  }
  if ((draining_ || standing_by_) && now_ms_ >= quiet_at_ms_) close_silent();
}

// Leaves the connection closed, or with a later deadline.
void EventLoop::expired(Connection* c) {
  const bool began = !c->in.empty();
  switch (c->phase) {
    case Phase::kHead:
    case Phase::kBody:
      if (!began) return close_now(c);
      begin_batch();
      append_error(c, 408, "request_timeout", "The request did not arrive in time.");
      flush(c);
      return;
    case Phase::kWrite:
      // A slow client may take its time, but not for nothing.
      if (taken(c) - c->taken < kWriteStep) return close_now(c);
      c->taken = taken(c);
      return set_phase(c, Phase::kWrite);
    case Phase::kWait:
      return resume(c);
    case Phase::kLive:
      return tell(c);
    case Phase::kLonger:
      return set_phase(c, Phase::kLonger);
    case Phase::kIdle:
    case Phase::kLinger:
      return close_now(c);
  }
}

// What lies in the system's buffer is sent by us, but not taken by the client.
int64_t EventLoop::taken(const Connection* c) {
  int queued = 0;
  if (ioctl(c->fd, TIOCOUTQ, &queued) != 0) queued = 0;
  return c->sent - queued;
}

void EventLoop::begin_drain() {
  draining_ = true;
  now_ms_ = std::max(now_ms_, monotonic_ms());
  const int64_t within = drain_within_ms_.load(std::memory_order_acquire);
  drain_end_ms_ = now_ms_ + within;
  quiet_at_ms_ = now_ms_ + std::min(within / 2, kQuietAfterMs);
  const int fd = listen_fd_.load(std::memory_order_acquire);
  if (fd >= 0 && accepting()) {
    if (watching_.exchange(false)) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    // Where no successor holds the socket too, those who wait in its queue would be reset.
    if (!share_.none()) accept_rest();
  }
  accepting_.store(false, std::memory_order_release);
  resume_all();
  end_all_live();
}

// Closes connections on which nothing has been asked for a while and nothing has arrived just now.
void EventLoop::close_silent() {
  const int64_t silent_ms =
      draining_ ? std::min<int64_t>(kQuietAfterMs, (drain_end_ms_ - quiet_at_ms_) / 2) : kQuietAfterMs;
  const Phase waiting[] = {Phase::kIdle, Phase::kHead};
  for (Phase phase : waiting) {
    Connection* c = queues_[static_cast<size_t>(phase)].front();
    while (c != nullptr) {
      Connection* const after = c->after;
      const int64_t since = c->deadline_ms - limits_ms_[static_cast<size_t>(phase)];
      int unread = 0;
      const bool quiet = c->in.empty() && now_ms_ - since >= silent_ms;
      if (quiet && ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0) close_gently(c);
      c = after;
    }
  }
}

bool EventLoop::finished() const { return draining_ && (open_ == 0 || now_ms_ >= drain_end_ms_); }

}  // namespace reflex::net
