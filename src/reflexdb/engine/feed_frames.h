// The frames of the private socket (doc/feed.md) as bytes: taking them apart and putting them together. Knows
// no sockets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace reflex::net {

enum class FrameKind : uint8_t {
  kHello = 0x01,
  kSnapshotBegin = 0x10,
  kTable = 0x11,
  kTableKeep = 0x12,
  kRows = 0x13,
  kSnapshotCommit = 0x14,
  kSnapshotAbort = 0x15,
  kConfirm = 0x16,
  kChangesBegin = 0x20,
  kChanges = 0x21,
  kChangesCommit = 0x22,
  kChangesAbort = 0x23,
  kTablePart = 0x24,
  kTableKeys = 0x25,
  kTableFind = 0x26,
  kSyncStatus = 0x30,
  kKeys = 0x40,
  kServe = 0x41,
  kDrain = 0x42,
  kListener = 0x43,
  kQuery = 0x44,
  kStatus = 0x45,
  kConfigure = 0x46,
  kShapes = 0x47,
  kOk = 0x80,
  kError = 0x81,
};

inline constexpr uint32_t kMaxFrameBytes = 64u << 20;  // kind and body
inline constexpr size_t kFrameHeadBytes = 4;

using Bytes = std::span<const uint8_t>;

// The length in a frame's first four bytes; none where it is 0 or over the limit.
std::optional<uint32_t> frame_length(std::span<const uint8_t, kFrameHeadBytes> head);
bool is_request(uint8_t kind);
// Requests that are answered nothing, and whose errors wait for SNAPSHOT_COMMIT or CHANGES_COMMIT.
bool is_silent(FrameKind kind);

// Requires: body.size() < kMaxFrameBytes.
std::string make_frame(FrameKind kind, std::string_view body);

struct Hello {
  uint16_t protocol = 0;
  uint8_t role = 0;
  Bytes fingerprint;
  std::string_view mode;  // of a sync; empty: it says none
};
struct ChangesBegin {
  uint64_t version = 0;   // that the changes follow
  bool compares = false;  // all rows should be so already
};
struct Moment {
  int64_t source_time_ms = 0;
  std::string_view position;
};

// None where the body does not parse to its last byte.
std::optional<Hello> parse_hello(Bytes body);
std::optional<Moment> parse_moment(Bytes body);
std::optional<uint32_t> parse_u32(Bytes body);
std::optional<ChangesBegin> parse_changes_begin(Bytes body);

}  // namespace reflex::net
