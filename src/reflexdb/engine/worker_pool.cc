#include "worker_pool.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "endpoints.h"
#include "publication.h"

namespace reflex::net {

std::vector<Parameter> LongQuery::parameters() const {
  std::vector<Parameter> pairs;
  for (size_t i = 0; i + 1 < texts.size(); i += 2) pairs.push_back({texts[i], texts[i + 1]});
  return pairs;
}

uint64_t LongQuery::memory() const {
  uint64_t bytes = sizeof(LongQuery) + text.size();
  for (const std::string& one : texts) bytes += sizeof(one) + one.size();
  return bytes;
}

void Mailbox::put(LongQueryPtr query) {
  {
    std::lock_guard lock(mutex_);
    ready_.push_back(std::move(query));
  }
  eventfd_write(wake_fd_, 1);
}

void Mailbox::take(std::vector<LongQueryPtr>* out) {
  out->clear();
  std::lock_guard lock(mutex_);
  out->swap(ready_);
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
    waiting_.clear();
    for (LongQuery* query : running_) query->cancel();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::start(uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return ready_ == count; });
}

bool WorkerPool::submit(LongQueryPtr query) {
  assert(query->snapshot != nullptr && query->mailbox != nullptr);
  const uint64_t bytes = query->memory();
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting || waiting_bytes_ + bytes > kMostWaitingBytes) return false;
    waiting_.push_back(std::move(query));
    waiting_bytes_ += bytes;
  }
  submitted_.fetch_add(1, std::memory_order_relaxed);
  in_hand_.fetch_add(1, std::memory_order_relaxed);
  changed_.notify_one();
  return true;
}

// Null once the pool ends.
LongQueryPtr WorkerPool::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
  if (ends_) return nullptr;
  LongQueryPtr query = std::move(waiting_.front());
  waiting_.pop_front();
  waiting_bytes_ -= query->memory();
  running_.push_back(query.get());
  return query;
}

void WorkerPool::run(QueryRunner* runner, LongQuery* query) {
  const int64_t begin = monotonic_ns();
  const std::vector<Parameter> parameters = query->parameters();
  const Asked asked = {query->text, parameters, query->formats, query->gzip};
  query->answer = runner->run(query->snapshot, asked, {0, &query->cancelled}, &query->out);
  query->next_page = runner->next_page();
  query->tables = runner->engine().tables();
  query->took_ns = monotonic_ns() - begin;
}

void WorkerPool::work() {
  // Loops come first where processors are few. Where that is not allowed they share alike.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNiceness);
  QueryRunner runner(schema_, limits_);
  {
    std::lock_guard lock(mutex_);
    ++ready_;
  }
  changed_.notify_all();
  while (LongQueryPtr query = take()) {
    try {
      if (!query->cancelled.load(std::memory_order_relaxed)) run(&runner, query.get());
    } catch (...) {  // no memory
      query->answer = {};
      query->out.clear();
      query->answer.status =
          Endpoints::error(503, "overloaded", "There was not enough memory to answer.", &query->out).status;
    }
    query->snapshot.reset();
    {
      std::lock_guard lock(mutex_);
      std::erase(running_, query.get());
    }
    in_hand_.fetch_sub(1, std::memory_order_relaxed);
    Mailbox* const mailbox = query->mailbox;
    mailbox->put(std::move(query));
  }
}

}  // namespace reflex::net
