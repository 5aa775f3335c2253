// The event loop's requests that wait, each kept with its connection: for a source position, looked at after
// each publication, ended by time, by draining, or by their client's going away; or for a worker's answer,
// ended by that or by their client.
#include <sys/epoll.h>

#include <cassert>
#include <cstdint>

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

// Requires: c->longer is on its way, and c->in begins with its request.
void EventLoop::begin_longer(Connection* c) {
  assert(c->longer != nullptr && !c->in.empty() && !c->writable);
  if (c->longer->arrived) return answer_kept(c);
  set_phase(c, Phase::kLonger);
  watch(c, EPOLLRDHUP);
}

void EventLoop::take_arrived() {
  mailbox_.take(&arrived_);
  for (const LongQueryPtr& query : arrived_) {
    Connection* const c = static_cast<Connection*>(query->owner);
    query->arrived = true;
    try {
      arrived(c, query.get());
    } catch (...) {
      close_now(c);
    }
  }
  arrived_.clear();
}

// Its connection may be another client's by now.
void EventLoop::arrived(Connection* c, LongQuery* query) {
  if (c->longer.get() == query && c->phase == Phase::kLonger) {
    set_phase(c, Phase::kIdle);
    watch(c, EPOLLIN);
    return answer_kept(c);
  }
  if (c->live != nullptr && c->live->longer.get() == query) live_due_.push_back(c);
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
