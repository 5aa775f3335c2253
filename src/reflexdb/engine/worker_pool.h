// Threads for the queries that take longer than a loop has patience for, so that those behind them on the
// loop are answered meanwhile.
//
// A loop runs each query itself, up to kPatienceNs. What is not done by then is given to the pool as a
// LongQuery, which holds the snapshot it was asked of and runs from its start on a worker; the loop takes the
// answer out of its Mailbox. There are more workers than processors, so that the system shares those out
// among long queries too, and they give way to loops. Why so: docs/decisions/0034.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "query_runner.h"

namespace reflex::net {

class Mailbox;

// One query on its way. Up to its submission and from its arrival in the mailbox on it belongs to its loop;
// in between to the pool, but for cancel().
struct LongQuery {
  // What is asked:
  std::string text;
  std::vector<std::string> texts;  // names and values of parameters, in turn
  Preference formats;
  bool gzip = false;
  SnapshotPtr snapshot;  // let go when the query has run
  Mailbox* mailbox = nullptr;

  // What the loop tells the client of the snapshot, and for whom it is:
  uint64_t version = 0;
  int64_t age_ms = 0;
  std::string position;
  void* owner = nullptr;
  bool arrived = false;  // it is answered

  // The answer, as QueryRunner gives it.
  Answered answer;
  std::string out;
  std::string next_page;
  std::set<std::string_view> tables;  // that it was made of
  int64_t took_ns = 0;

  // Any thread: nobody wants the answer any more.
  void cancel() { cancelled.store(true, std::memory_order_relaxed); }
  std::atomic<bool> cancelled{false};

  std::vector<Parameter> parameters() const;
  uint64_t memory() const;
};

using LongQueryPtr = std::shared_ptr<LongQuery>;

// Where a loop finds what is done. Any thread puts; the loop takes.
class Mailbox {
 public:
  explicit Mailbox(int wake_fd) : wake_fd_(wake_fd) {}

  void put(LongQueryPtr query);
  // Puts what has arrived in place of what is in `*out`.
  void take(std::vector<LongQueryPtr>* out);

 private:
  const int wake_fd_;  // an eventfd of the loop's
  std::mutex mutex_;
  std::vector<LongQueryPtr> ready_;  // by mutex_
};

class WorkerPool {
 public:
  static constexpr int64_t kPatienceNs = 1'000'000;
  static constexpr uint32_t kPerLoop = 4;
  static constexpr int kNiceness = 5;
  static constexpr size_t kMostWaiting = 4096;
  static constexpr uint64_t kMostWaitingBytes = 64 << 20;  // of their texts

  WorkerPool(const SchemaDef& schema, const Limits& limits) : schema_(schema), limits_(limits) {}
  // Cancels what is left and waits for the workers.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Returns once `count` workers are ready.
  void start(uint32_t count);
  // False: too many wait already.
  bool submit(LongQueryPtr query);

  uint64_t submitted() const { return submitted_.load(std::memory_order_relaxed); }
  uint64_t in_hand() const { return in_hand_.load(std::memory_order_relaxed); }  // waiting or running

 private:
  void work();
  void run(QueryRunner* runner, LongQuery* query);
  LongQueryPtr take();

  const SchemaDef& schema_;
  const Limits& limits_;
  std::vector<std::thread> threads_;
  std::atomic<uint64_t> submitted_{0};
  std::atomic<uint64_t> in_hand_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<LongQueryPtr> waiting_;  // by mutex_
  uint64_t waiting_bytes_ = 0;        // by mutex_
  std::vector<LongQuery*> running_;   // by mutex_
  uint32_t ready_ = 0;                // by mutex_
  bool ends_ = false;                 // by mutex_
};

}  // namespace reflex::net
