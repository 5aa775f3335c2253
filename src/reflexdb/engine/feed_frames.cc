#include "feed_frames.h"

#include <cassert>
#include <cstring>

namespace reflex::net {
namespace {

// Little-endian, whatever the machine.
template <typename T>
T load(const uint8_t* p) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{p[i]} << (8 * i);
  return static_cast<T>(value);
}

}  // namespace

std::optional<uint32_t> frame_length(std::span<const uint8_t, kFrameHeadBytes> head) {
  const uint32_t length = load<uint32_t>(head.data());
  if (length == 0 || length > kMaxFrameBytes) return std::nullopt;
  return length;
}

bool is_request(uint8_t kind) {
  return kind == 0x01 || (kind >= 0x10 && kind <= 0x16) || (kind >= 0x20 && kind <= 0x26) || kind == 0x30 ||
         (kind >= 0x40 && kind <= 0x47);
}

bool is_silent(FrameKind kind) {
  return kind == FrameKind::kTable || kind == FrameKind::kTableKeep || kind == FrameKind::kRows ||
         kind == FrameKind::kChangesBegin || kind == FrameKind::kChanges || kind == FrameKind::kTablePart ||
         kind == FrameKind::kTableKeys;
}

std::string make_frame(FrameKind kind, std::string_view body) {
  assert(body.size() < kMaxFrameBytes);
  const uint32_t length = static_cast<uint32_t>(body.size() + 1);
  std::string frame;
  frame.reserve(kFrameHeadBytes + length);
  for (int i = 0; i < 4; ++i) frame += static_cast<char>(length >> (8 * i));
  frame += static_cast<char>(kind);
  frame += body;
  return frame;
}

std::optional<Hello> parse_hello(Bytes body) {
  constexpr size_t kFixed = 2 + 1 + 32 + 1;
  constexpr size_t kMaxMode = 32;
  if (body.size() < kFixed || body.size() > kFixed + kMaxMode) return std::nullopt;
  const size_t length = body[kFixed - 1];
  if (body.size() != kFixed + length) return std::nullopt;
  const char* mode = reinterpret_cast<const char*>(body.data() + kFixed);
  return Hello{load<uint16_t>(body.data()), body[2], body.subspan(3, 32), {mode, length}};
}

std::optional<Moment> parse_moment(Bytes body) {
  constexpr size_t kFixed = 8 + 2;
  if (body.size() < kFixed) return std::nullopt;
  const uint16_t length = load<uint16_t>(body.data() + 8);
  if (body.size() != kFixed + length) return std::nullopt;
  const char* text = reinterpret_cast<const char*>(body.data() + kFixed);
  return Moment{load<int64_t>(body.data()), {text, length}};
}

std::optional<uint32_t> parse_u32(Bytes body) {
  if (body.size() != 4) return std::nullopt;
  return load<uint32_t>(body.data());
}

std::optional<ChangesBegin> parse_changes_begin(Bytes body) {
  if (body.size() != 8 + 1 || body[8] > 1) return std::nullopt;
  return ChangesBegin{load<uint64_t>(body.data()), body[8] == 1};
}

}  // namespace reflex::net
