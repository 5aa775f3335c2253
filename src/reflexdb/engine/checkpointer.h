// Keeps what the instance serves on its disk: loads the checkpoint at the start, writes a new one after the
// first load, now and then while there are changes, and at the end (doc/checkpoint.md).
//
// Has a thread of its own. Queries and the stream of changes never wait for it: it writes an immutable
// snapshot, at a bounded rate.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "checkpoint_file.h"
#include "instance.h"

namespace reflex::net {

// The rows of every version before this one are known to be wrong: no checkpoint of them is left, and none
// that is being written comes to be one. Before the right rows are published. Any thread.
void reject_checkpoints(CheckpointNotes* notes, uint64_t before);

class Checkpointer {
 public:
  static constexpr int64_t kLookMs = 250;
  static constexpr int64_t kMoveMs = 2'000;        // between writes of a position that moved without changes
  static constexpr int64_t kRetryMs = 60'000;      // after one that failed
  static constexpr int64_t kRestTimes = 20;        // writing takes at most a twentieth of the time
  static constexpr int64_t kSlowTimes = 4;         // a disk may be slower than the pace, and counts in full;
  static constexpr int64_t kStallMs = 250;         // what it waits beyond that is for the writes of others
  static constexpr uint64_t kManySwaps = 100'000;  // do not wait for the interval
  static constexpr int64_t kMostHeldMs = 900'000;  // the source is not asked to keep its log for longer

  explicit Checkpointer(Instance& instance) : instance_(instance) {}
  ~Checkpointer() { finish(false); }

  // Requires: the working directory is the instance's. Loads in the background.
  void start();
  // Ends the thread; with `last` after a checkpoint of what serves now.
  void finish(bool last);

 private:
  void run() noexcept;
  void restore();
  bool load(int fd, std::string* why);
  void step(bool at_end);
  bool is_due(uint64_t version, int64_t now) const;
  void write(const SnapshotPtr& snapshot, bool at_end);
  bool write_file(const SnapshotPtr& snapshot, bool at_end, uint64_t* bytes, std::string* error);
  void write_position(const SnapshotInfo& of);
  void read_position(SnapshotPtr* snapshot) const;
  int64_t paced_ms(uint64_t bytes) const;
  bool pace(int64_t began_ms, uint64_t bytes, bool at_end);
  bool ending();

  Instance& instance_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool end_ = false;   // by mutex_
  bool last_ = false;  // by mutex_
  // Of the thread:
  uint64_t version_ = 0;  // of the file's snapshot; 0: there is no file
  CheckpointId id_{};
  std::string position_;  // that is on disk for it
  int64_t ended_ms_ = 0;  // of the last write
  int64_t took_ms_ = 0;   // of its own; see kStallMs
  int64_t moved_ms_ = 0;
  int64_t retry_at_ms_ = 0;
  uint64_t swaps_ = 0;
};

}  // namespace reflex::net
