// The event loop's requests that wait for a source position: kept with their connection, looked at after each
// publication, ended by time, by draining, or by their client's going away.
#include <sys/epoll.h>

#include <cassert>

#include "event_loop.h"

namespace reflex::net {

bool EventLoop::may_wait() const {
  return !draining_ && drain_within_ms_.load(std::memory_order_acquire) < 0 &&
         instance_.waiting_bytes.load(std::memory_order_relaxed) < ServedPosition::kMaxWaitingBytes;
}

// Requires: c->wait is set, and c->in begins with its request, which c->parser has understood.
void EventLoop::begin_wait(Connection* c) {
  assert(c->wait != nullptr && !c->in.empty() && !c->writable);
  queues_[static_cast<size_t>(c->phase)].remove(c);
  c->phase = Phase::kWait;
  c->deadline_ms = c->wait->end_ms;
  queues_[static_cast<size_t>(Phase::kWait)].push_by_deadline(c);
  c->waiting_bytes = static_cast<int64_t>(c->in.size() + c->wait->wanted.memory());
  instance_.waiting_bytes.fetch_add(c->waiting_bytes, std::memory_order_relaxed);
  instance_.waiting.fetch_add(1, std::memory_order_relaxed);
  watch(c, EPOLLRDHUP);  // nothing more is read, but a client that leaves is noticed
}

void EventLoop::forget_wait(Connection* c) {
  if (c->phase != Phase::kWait) return;
  instance_.waiting_bytes.fetch_sub(c->waiting_bytes, std::memory_order_relaxed);
  instance_.waiting.fetch_sub(1, std::memory_order_relaxed);
}

// Asks again what the connection's request is answered: it may have to go on waiting.
void EventLoop::resume(Connection* c) {
  assert(c->phase == Phase::kWait);
  forget_wait(c);
  set_phase(c, Phase::kIdle);
  watch(c, EPOLLIN);
  answer_kept(c);
}

void EventLoop::resume_reached() {
  Connection* c = queues_[static_cast<size_t>(Phase::kWait)].front();
  while (c != nullptr) {
    Connection* const after = c->after;
    if (endpoints_.has_reached(c->wait->wanted)) guarded_resume(c);
    c = after;
  }
}

void EventLoop::resume_all() {
  for (Connection* c = queues_[static_cast<size_t>(Phase::kWait)].front(); c != nullptr;) {
    Connection* const after = c->after;
    guarded_resume(c);
    c = after;
  }
}

void EventLoop::guarded_resume(Connection* c) {
  try {
    resume(c);
  } catch (...) {
    close_now(c);
  }
}

}  // namespace reflex::net
