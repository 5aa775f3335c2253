#include "dictionary.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "json_out.h"

namespace reflex {

namespace {

constexpr uint32_t kFewestRows = 64;
constexpr uint32_t kLookedAt = 2048;  // rows, before it is given up where most values are different
constexpr uint32_t kMostEntries = kChunkRows / 4;
constexpr uint32_t kNone = 0xFFFFFFFF;
constexpr size_t kMostReadyBytes = 4;  // of entries, a row of the chunk

// The different values in the order they come, by an open-addressed table of their numbers.
class Entries {
 public:
  explicit Entries(const Chunk& chunk) : chunk_(chunk), slots_(size_t{kMostEntries} * 2, kNone) {}

  // The number of row `i`'s value; kNone where there are too many.
  uint32_t code(uint32_t i) {
    const std::string_view text = chunk_.entry(i);
    size_t slot = std::hash<std::string_view>{}(text) & (slots_.size() - 1);
    for (; slots_[slot] != kNone; slot = (slot + 1) & (slots_.size() - 1)) {
      if (chunk_.entry(firsts_[slots_[slot]]) == text) return slots_[slot];
    }
    if (firsts_.size() == kMostEntries) return kNone;
    slots_[slot] = static_cast<uint32_t>(firsts_.size());
    firsts_.push_back(i);
    bytes_ += text.size();
    return slots_[slot];
  }
  const std::vector<uint32_t>& firsts() const { return firsts_; }  // a row of each
  size_t bytes() const { return bytes_; }

 private:
  static_assert((kMostEntries & (kMostEntries - 1)) == 0);

  const Chunk& chunk_;
  std::vector<uint32_t> slots_;
  std::vector<uint32_t> firsts_;
  size_t bytes_ = 0;
};

}  // namespace

void share_values(Chunk* chunk) {
  if (chunk->rows < kFewestRows || !chunk->wide_offsets.empty()) return;
  Entries entries(*chunk);
  std::vector<uint16_t> wide(chunk->rows);
  for (uint32_t i = 0; i < chunk->rows; ++i) {
    const uint32_t code = entries.code(i);
    if (code == kNone || (i == kLookedAt && entries.firsts().size() > kLookedAt / 2)) return;
    wide[i] = static_cast<uint16_t>(code);
  }
  const size_t count = entries.firsts().size();
  const size_t width = count <= 256 ? 1 : 2;
  const size_t before = chunk->bytes.size() + chunk->offsets.size() * 4;
  const size_t after = entries.bytes() + (count + 1) * 4 + chunk->rows * width;
  if (after > before - before / 4) return;
  std::vector<uint32_t> offsets(1, 0);
  std::vector<char> bytes;
  offsets.reserve(count + 1);
  bytes.reserve(entries.bytes());
  for (const uint32_t row : entries.firsts()) {
    const std::string_view text = chunk->entry(row);
    bytes.insert(bytes.end(), text.begin(), text.end());
    offsets.push_back(static_cast<uint32_t>(bytes.size()));
  }
  chunk->offsets = std::move(offsets);
  chunk->bytes = std::move(bytes);
  if (width == 2) {
    chunk->wide_codes = std::move(wide);
  } else {
    chunk->codes = std::vector<uint8_t>(wide.begin(), wide.end());
  }
}

void make_ready(Chunk* chunk) {
  if (!chunk->has_codes() || chunk->escape.empty() || chunk->bytes.size() > chunk->rows * kMostReadyBytes)
    return;
  auto ready = std::make_unique<ReadyTexts>();
  ready->offsets.reserve(chunk->offsets.size());
  ready->offsets.push_back(0);
  for (uint32_t code = 0; code < chunk->entries(); ++code) {
    append_json_string(&ready->bytes, chunk->entry(code));
    ready->offsets.push_back(static_cast<uint32_t>(ready->bytes.size()));
  }
  ready->bytes.shrink_to_fit();
  chunk->ready = std::move(ready);
}

}  // namespace reflex
