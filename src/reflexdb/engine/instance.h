// The running server as all its parts see it: schema, options, what is published, what is known of its
// health, and the orders in force. One per process, made by main before any thread starts and outliving them
// all.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint_notes.h"
#include "options.h"
#include "publication.h"
#include "schema.h"
#include "share.h"
#include "stats.h"
#include "worker_pool.h"

namespace reflex::net {

// What sync and the loader last said. Any thread.
class HealthNotes {
 public:
  // Requires: `raw` is a JSON object.
  void set_sync(std::string raw, std::string state, std::string last_error);
  // Names of tables whose rows can't be brought up to date; a null pointer for none.
  using Frozen = std::shared_ptr<const std::vector<std::string_view>>;
  void set_frozen(Frozen frozen);
  Frozen frozen() const;
  void set_cap_exceeded(std::string message);
  void clear_cap_exceeded() { set_cap_exceeded(""); }

  struct Copy {
    std::string sync;  // JSON, or empty before the first
    std::string sync_state;
    std::string sync_error;
    std::string cap_exceeded;  // empty: it was not
  };
  Copy copy() const;

 private:
  mutable std::mutex mutex_;
  Copy notes_;     // by mutex_
  Frozen frozen_;  // by mutex_
  std::atomic<bool> any_frozen_{false};
};

struct Instance {
  Instance(const SchemaDef& schema_def, const Options& opts);

  const SchemaDef& schema;
  const Options& options;
  const int64_t started_ms;
  const std::string boot_id;  // the identity of this process
  const uint64_t
      first_version;  // of a snapshot that this process makes: its start in microseconds since 1970
  Publication publication;
  HealthNotes notes;
  CheckpointNotes checkpoints;
  std::vector<std::unique_ptr<LoopStats>> stats;  // one a loop
  std::atomic<int64_t> connections{0};
  std::atomic<int64_t> live_queries{0};
  std::atomic<int64_t> pending_bytes{0};  // of answers that clients have not taken yet
  std::atomic<bool> sync_connected{false};
  std::atomic<int64_t> waiting{0};  // requests that wait for a position
  std::atomic<int64_t> waiting_bytes{0};

  enum class Sandbox : uint8_t { kOff, kOn, kRefused };  // by an option; by the system
  std::atomic<Sandbox> sandbox{Sandbox::kOff};
  WorkerPool* workers = nullptr;  // of main's Lifecycle, from before the first loop runs

  // Orders, carried out by main's Lifecycle. Any thread. serve() is false without a listening socket or after
  // drain().
  std::function<bool()> serve;
  std::function<void(uint32_t within_ms)> drain;
  std::function<void(const Share& share)> share;
  std::function<int()> listener;  // its descriptor, or -1
};

}  // namespace reflex::net
