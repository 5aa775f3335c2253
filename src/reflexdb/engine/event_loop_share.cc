// The event loop's part of a listening socket that another process holds too: accepting in its turn, and
// standing by while it has none.
#include <sys/epoll.h>

#include <algorithm>

#include "event_loop.h"

namespace reflex::net {

void EventLoop::take_share(const Share& share) {
  ordered_.set(share);
  wake();
}

// Once in every turn of the loop. Out of its turn a loop does not watch the socket: it would spin.
void EventLoop::take_turns() {
  const Share share = ordered_.get();
  if (share.none() != share_.none()) stand_by(share.none());
  share_ = share;
  const int fd = listen_fd_.load(std::memory_order_acquire);
  if (draining_ || fd < 0 || !accepting()) return;
  const bool turn = share_.whole() || share_.has_turn(monotonic_ms());
  if (turn == watching_.load(std::memory_order_relaxed)) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  event.data.ptr = &listen_fd_;
  if (epoll_ctl(epoll_, turn ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) == 0) {
    watching_.store(turn, std::memory_order_relaxed);
  }
}

// Without a share clients are to go elsewhere, gently; what is asked on the connections that stay is
// answered.
void EventLoop::stand_by(bool begins) {
  standing_by_ = begins;
  if (!begins) return;
  now_ms_ = std::max(now_ms_, monotonic_ms());
  quiet_at_ms_ = now_ms_ + kQuietAfterMs;
  end_all_live();
}

void EventLoop::end_all_live() {
  // Those who follow a live query come back with what they had last.
  while (Connection* const c = queues_[static_cast<size_t>(Phase::kLive)].front()) {
    try {
      end_live(c, {});
    } catch (...) {
      close_now(c);
    }
  }
}

// Those whose clients are owed something: a process that ends now fails them.
void EventLoop::count_cut() {
  for (const auto& c : all_) {
    if (c->fd < 0) continue;
    const bool owed = c->phase == Phase::kBody || c->phase == Phase::kWrite || c->phase == Phase::kWait;
    if (owed || !c->in.empty()) stats_.cut.add(1);
  }
}

}  // namespace reflex::net
