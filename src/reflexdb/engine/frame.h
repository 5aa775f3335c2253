// Frames of the private socket (doc/feed.md): kinds, limits, and reading and writing whole ones on a blocking
// socket.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace reflex::net {

inline constexpr uint32_t kMaxFrameBytes = 64u << 20;  // kind and body
inline constexpr uint16_t kProtocolVersion = 1;

enum class Kind : uint8_t {
  kHello = 0x01,
  kSnapshotBegin = 0x10,
  kTable = 0x11,
  kTableKeep = 0x12,
  kRows = 0x13,
  kSnapshotCommit = 0x14,
  kSnapshotAbort = 0x15,
  kConfirm = 0x16,
  kSyncStatus = 0x30,
  kKeys = 0x40,
  kServe = 0x41,
  kDrain = 0x42,
  kListener = 0x43,
  kQuery = 0x44,
  kStatus = 0x45,
  kConfigure = 0x46,
  kOk = 0x80,
  kError = 0x81,
};

// A frame as received; `body` borrows the reader's buffer until the next read.
struct Frame {
  uint8_t kind = 0;
  std::span<const uint8_t> body;
};

// Reads little-endian fields off a body; once something was missing, ok() stays false and every value is
// zero.
class Fields {
 public:
  explicit Fields(std::span<const uint8_t> body) : rest_(body) {}

  template <typename T>
  T number() {
    T value{};
    const std::span<const uint8_t> bytes = take(sizeof(T));
    if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  std::span<const uint8_t> take(size_t count) {
    if (count > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::span<const uint8_t> taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  // All was there, and nothing is left.
  bool complete() const { return ok_ && rest_.empty(); }

 private:
  std::span<const uint8_t> rest_;
  bool ok_ = true;
};

inline std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class FrameReader {
 public:
  enum class Outcome : uint8_t { kFrame, kEnd, kTooLarge, kEmpty };

  explicit FrameReader(int fd) : fd_(fd) {}
  // Waits for a whole frame. kEnd where the peer is gone, in mid-frame or not. Throws only std::bad_alloc.
  Outcome next(Frame* frame);

 private:
  bool fill(uint8_t* to, size_t count);

  int fd_;
  std::vector<uint8_t> buffer_;
};

// Sends a whole reply; with `attached` >= 0 that descriptor goes with its first byte. False: the peer is
// gone.
bool send_frame(int fd, Kind kind, std::string_view body, int attached = -1);

}  // namespace reflex::net
