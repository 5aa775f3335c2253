#include "checkpointer.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <new>

#include "checkpoint.h"
#include "json_doc.h"
#include "log.h"

namespace reflex::net {
namespace {

constexpr char kName[] = "checkpoint";
constexpr char kUnfinishedName[] = "checkpoint.new";
constexpr char kAsideName[] = "checkpoint.bad";
constexpr char kPositionName[] = "checkpoint.at";
constexpr char kUnfinishedPositionName[] = "checkpoint.at.new";
constexpr int kNice = 10;
constexpr size_t kMaxPositionFile = 128 * 1024;

class File {
 public:
  File(const char* name, int flags) : fd_(open(name, flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// Makes a rename outlive a power cut.
bool flush_directory() {
  const File here(".", O_RDONLY | O_DIRECTORY);
  return here.fd() >= 0 && fsync(here.fd()) == 0;
}

// As sync would have told it.
std::string as_status(const std::string& mode, bool streamed) {
  std::string text = "{\"state\":\"loading\",\"mode\":";
  append_quoted(&text, mode);
  return text + ",\"lastError\":null,\"streamed\":" + (streamed ? "true}" : "false}");
}

void append_number(std::string* out, uint64_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

void reject_checkpoints(CheckpointNotes* notes, uint64_t before) {
  notes->change([before](auto& known) {
    known.usable_from = before;
    known.durable.clear();
    unlink(kName);
    unlink(kPositionName);
  });
}

void Checkpointer::start() {
  const bool kept = instance_.options.checkpoint_s > 0;
  instance_.checkpoints.change([kept](auto& notes) { notes.kept = kept; });
  if (!kept) return instance_.checkpoints.set_loaded();
  thread_ = std::thread([this] { run(); });
}

void Checkpointer::finish(bool last) {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    end_ = true;
    last_ = last;
  }
  wake_.notify_all();
  thread_.join();
}

bool Checkpointer::ending() {
  std::lock_guard lock(mutex_);
  return end_;
}

void Checkpointer::run() noexcept {
  try {
    restore();
  } catch (const std::exception& problem) {
    log_event(LogLevel::kError, "checkpoint_not_loaded", {{"reason", problem.what()}});
  }
  instance_.checkpoints.set_loaded();
  // Nobody waits for what this thread does from now on. On Linux it is of the calling thread alone.
  setpriority(PRIO_PROCESS, 0, kNice);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, std::chrono::milliseconds(kLookMs), [this] { return end_; });
    const bool at_end = end_;
    if (at_end && !last_) return;
    lock.unlock();
    try {
      step(at_end);
    } catch (const std::exception& problem) {
      log_event(LogLevel::kError, "checkpoint_failed", {{"reason", problem.what()}});
      retry_at_ms_ = monotonic_ms() + kRetryMs;
    }
    if (at_end) return;
    lock.lock();
  }
}

// ---- at the start

void Checkpointer::restore() {
  unlink(kUnfinishedName);
  unlink(kUnfinishedPositionName);
  std::string why;
  {
    const File file(kName, O_RDONLY);
    if (file.fd() < 0 && errno == ENOENT) return;
    const int64_t began = monotonic_ms();
    if (file.fd() >= 0 && load(file.fd(), &why)) {
      log_event(LogLevel::kInfo, "checkpoint_loaded",
                {{"version", version_}, {"duration_ms", monotonic_ms() - began}});
      return;
    }
    if (file.fd() < 0) why = strerror(errno);
  }
  rename(kName, kAsideName);
  unlink(kPositionName);
  log_event(LogLevel::kWarning, "checkpoint_put_aside",
            {{"reason", "The checkpoint can't be used: " + why + "; the source is read instead."}});
}

bool Checkpointer::load(int fd, std::string* why) {
  posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  CheckpointReader reader(fd);
  if (!reader.open(checkpoint_head(instance_.schema), why)) return false;
  SnapshotPtr snapshot;
  Status status;
  try {
    status = read_snapshot(instance_.schema, instance_.options.memory_cap_mb << 20, &reader, &snapshot);
  } catch (const std::bad_alloc&) {
    status = {"cap_exceeded", "the machine has no memory left for it"};
  }
  *why = status.message;
  if (!status.ok()) return false;
  id_ = reader.head().id;
  read_position(&snapshot);
  const SnapshotInfo& of = info(*snapshot);
  version_ = of.version;
  position_ = of.position;
  ended_ms_ = moved_ms_ = monotonic_ms();
  swaps_ = instance_.publication.swaps() + 1;
  instance_.notes.set_sync(as_status(of.mode, is_streamed(of)), "loading", "");
  instance_.checkpoints.begin_stale(wall_ms());
  instance_.checkpoints.change([&](auto& notes) {
    notes.restored = true;
    notes.durable = of.position;
    notes.durable_at_ms = monotonic_ms();
  });
  instance_.publication.publish_snapshot(std::move(snapshot), true);
  return true;
}

// The rows of the file may have been true for longer than it says.
void Checkpointer::read_position(SnapshotPtr* snapshot) const {
  const File file(kPositionName, O_RDONLY);
  if (file.fd() < 0) return;
  std::string text(kMaxPositionFile, '\0');
  const ssize_t n = read(file.fd(), text.data(), text.size());
  const size_t fixed = id_.size() + 3 * sizeof(uint64_t);
  if (n < static_cast<ssize_t>(fixed)) return;
  text.resize(static_cast<size_t>(n));
  uint64_t sum = 0;
  memcpy(&sum, text.data() + text.size() - sizeof sum, sizeof sum);
  text.resize(text.size() - sizeof sum);
  if (sum != checksum(text.data(), text.size(), 0) || memcmp(text.data(), id_.data(), id_.size()) != 0)
    return;
  int64_t time = 0;
  uint64_t size = 0;
  memcpy(&time, text.data() + id_.size(), sizeof time);
  memcpy(&size, text.data() + id_.size() + sizeof time, sizeof size);
  if (size != text.size() - id_.size() - 2 * sizeof(uint64_t)) return;
  const std::string mode = info(**snapshot).mode;
  *snapshot = with_position(*snapshot, time, std::string_view(text).substr(text.size() - size), mode);
}

// ---- from then on

bool Checkpointer::is_due(uint64_t version, int64_t now) const {
  if (version == version_ || now < retry_at_ms_) return false;
  if (version_ == 0) return true;
  const int64_t rested = now - ended_ms_;
  if (rested < kRestTimes * took_ms_) return false;
  return rested >= int64_t{1000} * instance_.options.checkpoint_s ||
         instance_.publication.swaps() - swaps_ >= kManySwaps;
}

void Checkpointer::step(bool at_end) {
  const SnapshotPtr snapshot = instance_.publication.view().snapshot;
  const CheckpointNotes::Copy notes = instance_.checkpoints.copy();
  if (snapshot == nullptr || !notes.kept) return;
  if (version_ < notes.usable_from) version_ = 0;
  const SnapshotInfo& of = info(*snapshot);
  const int64_t now = monotonic_ms();
  if (of.version != version_) {
    if (at_end || is_due(of.version, now)) write(snapshot, at_end);
    return;
  }
  if (of.position != position_ && (at_end || now >= moved_ms_ + kMoveMs)) write_position(of);
}

int64_t Checkpointer::paced_ms(uint64_t bytes) const {
  return static_cast<int64_t>(bytes / 1000 / instance_.options.checkpoint_mb_s);
}

// True while there is more to write: false gives it up.
bool Checkpointer::pace(int64_t began_ms, uint64_t bytes, bool at_end) {
  if (!instance_.checkpoints.copy().kept) return false;
  const int64_t due = began_ms + paced_ms(bytes);
  std::unique_lock lock(mutex_);
  if (end_ && !last_) return false;
  const int64_t early = due - monotonic_ms();
  if (early > 0 && !at_end && !end_)
    wake_.wait_for(lock, std::chrono::milliseconds(early), [this] { return end_; });
  return !end_ || last_;
}

bool Checkpointer::write_file(const SnapshotPtr& snapshot, bool at_end, uint64_t* bytes, std::string* error) {
  const File file(kUnfinishedName, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.fd() < 0) {
    *error = std::string("The checkpoint's file can't be made: ") + strerror(errno) + ".";
    return false;
  }
  CheckpointHead head = checkpoint_head(instance_.schema);
  if (getrandom(head.id.data(), head.id.size(), 0) != static_cast<ssize_t>(head.id.size())) {
    *error = "The system gives no random numbers.";
    return false;
  }
  const int64_t began = monotonic_ms();
  uint64_t written = 0;
  CheckpointWriter out(file.fd(), head, [&](size_t more) {
    written += more;
    return pace(began, written, at_end);
  });
  write_snapshot(instance_.schema, *snapshot, &out);
  if (!out.finish(error)) return false;
  *bytes = out.bytes();
  id_ = head.id;
  bool is_named = false;
  bool is_usable = false;
  instance_.checkpoints.change([&](const auto& notes) {
    is_usable = info(*snapshot).version >= notes.usable_from;
    is_named = is_usable && rename(kUnfinishedName, kName) == 0;
  });
  if (!is_usable) return false;
  if (is_named && flush_directory()) return true;
  *error = std::string("The checkpoint can't take its name: ") + strerror(errno) + ".";
  return false;
}

void Checkpointer::write(const SnapshotPtr& snapshot, bool at_end) {
  const SnapshotInfo& of = info(*snapshot);
  const int64_t began = monotonic_ms();
  // Until it is on disk, the source is to keep what follows it.
  instance_.checkpoints.change([&](auto& notes) {
    if (!notes.durable.empty()) return;
    notes.durable = of.position;
    notes.durable_at_ms = began;
  });
  uint64_t bytes = 0;
  std::string error;
  if (!write_file(snapshot, at_end, &bytes, &error)) {
    unlink(kUnfinishedName);
    if (error.empty()) return;  // its rows were found to be wrong meanwhile: the next is begun at once
    retry_at_ms_ = monotonic_ms() + kRetryMs;
    if (!instance_.checkpoints.copy().kept) return;
    instance_.checkpoints.change([&](auto& notes) {
      ++notes.failures;
      notes.error = error;
    });
    log_event(LogLevel::kError, "checkpoint_failed", {{"reason", error}});
    return;
  }
  version_ = of.version;
  position_ = of.position;
  ended_ms_ = moved_ms_ = monotonic_ms();
  const int64_t took = ended_ms_ - began;
  took_ms_ = std::min(took, kSlowTimes * paced_ms(bytes) + kStallMs);
  swaps_ = instance_.publication.swaps();
  unlink(kAsideName);
  instance_.checkpoints.change([&](auto& notes) {
    ++notes.written;
    notes.error.clear();
    notes.durable = of.position;
    notes.durable_at_ms = ended_ms_;
    notes.written_at_ms = wall_ms();
    notes.bytes = bytes;
    notes.took_ms = took;
  });
  log_event(LogLevel::kInfo, "checkpoint_written",
            {{"version", version_}, {"bytes", bytes}, {"duration_ms", took}});
}

void Checkpointer::write_position(const SnapshotInfo& of) {
  moved_ms_ = monotonic_ms();
  std::string text(reinterpret_cast<const char*>(id_.data()), id_.size());
  append_number(&text, static_cast<uint64_t>(of.source_time_ms));
  append_number(&text, of.position.size());
  text += of.position;
  append_number(&text, checksum(text.data(), text.size(), 0));
  {
    const File file(kUnfinishedPositionName, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.fd() < 0 || ::write(file.fd(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        fsync(file.fd()) != 0)
      return;  // the older one stays good
  }
  if (rename(kUnfinishedPositionName, kPositionName) != 0 || !flush_directory()) return;
  position_ = of.position;
  instance_.checkpoints.change([&](auto& notes) {
    notes.durable = of.position;
    notes.durable_at_ms = moved_ms_;
  });
}

}  // namespace reflex::net
