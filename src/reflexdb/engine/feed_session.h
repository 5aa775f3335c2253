// What one connection of the private socket may ask, and what it is answered (doc/feed.md). Knows frames, not
// sockets.
//
// Belongs to its connection's thread. A load in progress is dropped with the session; the snapshot that
// serves stays.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "changes.h"
#include "feed_frames.h"
#include "instance.h"
#include "query.h"
#include "snapshot.h"

namespace reflex::net {

// Which session has the role sync: the newest. Any thread.
class SyncRole {
 public:
  // Makes `session` the holder; `replaced` is called for the former one, before anyone else can change the
  // holder.
  template <typename Replaced>
  void take(uint64_t session, Replaced replaced) {
    std::lock_guard lock(mutex_);
    if (holder_ != 0 && holder_ != session) replaced(holder_);
    holder_ = session;
  }
  // True where `session` was the holder.
  bool leave(uint64_t session) {
    std::lock_guard lock(mutex_);
    if (holder_ != session) return false;
    holder_ = 0;
    return true;
  }
  // Runs `action` if `session` is the holder, and keeps it the holder for so long.
  template <typename Action>
  bool while_held(uint64_t session, Action action) {
    std::lock_guard lock(mutex_);
    if (holder_ != session) return false;
    action();
    return true;
  }

 private:
  std::mutex mutex_;
  uint64_t holder_ = 0;
};

struct FeedReply {
  std::string frame;  // empty: none is owed
  int attach = -1;    // a descriptor to send along
  bool close = false;
};

class FeedSession {
 public:
  FeedSession(Instance& instance, SyncRole& role, uint64_t id, std::function<void(uint64_t)> disconnect);
  ~FeedSession();

  // One frame's kind and body. Throws only std::bad_alloc.
  FeedReply receive(uint8_t kind, Bytes body);
  // The last word before a connection is closed for a fault of its client.
  static FeedReply fatal(std::string_view code, std::string_view message);
  // A frame could not be held in memory.
  FeedReply out_of_memory(uint8_t kind);

 private:
  FeedReply hello(Bytes body);
  FeedReply begin(Bytes body);
  FeedReply load(FrameKind kind, Bytes body);
  FeedReply commit(Bytes body);
  FeedReply begin_changes(Bytes body);
  FeedReply change(FrameKind kind, Bytes body);
  FeedReply find(Bytes body);
  FeedReply commit_changes(Bytes body);
  FeedReply confirm(Bytes body);
  FeedReply sync_status(std::string_view text);
  FeedReply keys(std::string_view text);
  FeedReply drain(Bytes body);
  FeedReply listener();
  FeedReply query(std::string_view text);
  FeedReply configure(std::string_view text);
  FeedReply shapes();
  FeedReply order(FrameKind kind, Bytes body);
  FeedReply refused(const Status& status);
  std::string durable(bool first = false) const;

  Instance& instance_;
  SyncRole& role_;
  const uint64_t id_;
  std::function<void(uint64_t)> disconnect_;
  bool greeted_ = false;
  bool is_sync_ = false;
  Origin origin_;                     // of what this session commits
  std::unique_ptr<Loader> loader_;    // between SNAPSHOT_BEGIN and its end
  std::unique_ptr<Changes> changes_;  // between CHANGES_BEGIN and its end
  bool dropping_ = false;             // the group's frames, up to its COMMIT
  bool compares_ = false;             // the group's rows should be so already
  int64_t load_began_ms_ = 0;
  Status fault_;  // the first of this load or group of changes, for its COMMIT
  std::unique_ptr<QueryEngine> engine_;
};

}  // namespace reflex::net
