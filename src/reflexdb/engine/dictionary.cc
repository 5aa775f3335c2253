#include "dictionary.h"

#include <algorithm>
#include <cstdint>
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

// The different values in the order they come, behind those that a dictionary has already, by an
// open-addressed table of their numbers.
class Entries {
 public:
  // `known` may be null.
  Entries(const Chunk& chunk, const Chunk* known)
      : chunk_(chunk),
        known_(known),
        uses_(known != nullptr ? known->entries() : 0),
        slots_(size_t{kMostEntries} * 2, kNone) {
    for (uint32_t number = 0; number < uses_.size(); ++number) slots_[slot_of(known->entry(number))] = number;
  }

  // The number of row `i`'s value; kNone where there are too many.
  uint32_t code(uint32_t i) {
    const std::string_view text = chunk_.entry(i);
    const size_t slot = slot_of(text);
    if (slots_[slot] == kNone) {
      if (count() == kMostEntries) return kNone;
      slots_[slot] = count();
      firsts_.push_back(i);
      bytes_ += text.size();
    } else if (slots_[slot] < uses_.size() && !uses_[slots_[slot]]) {
      uses_[slots_[slot]] = true;
      ++used_;
    }
    return slots_[slot];
  }
  uint32_t count() const { return static_cast<uint32_t>(uses_.size() + firsts_.size()); }
  uint32_t added() const { return static_cast<uint32_t>(firsts_.size()); }
  // Have rows most of what was known?
  bool uses_most() const { return used_ >= uses_.size() - uses_.size() / 4; }
  size_t bytes() const { return bytes_ + (known_ != nullptr ? known_->bytes.size() : 0); }
  std::string_view entry(uint32_t number) const {
    return number < uses_.size() ? known_->entry(number) : chunk_.entry(firsts_[number - uses_.size()]);
  }

 private:
  static_assert((kMostEntries & (kMostEntries - 1)) == 0);

  // Where the text's number is, or belongs.
  size_t slot_of(std::string_view text) const {
    size_t slot = std::hash<std::string_view>{}(text) & (slots_.size() - 1);
    while (slots_[slot] != kNone && entry(slots_[slot]) != text) slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }

  const Chunk& chunk_;
  const Chunk* known_;
  std::vector<bool> uses_;  // of what was known
  size_t used_ = 0;
  std::vector<uint32_t> slots_;
  std::vector<uint32_t> firsts_;  // a row of each that was added
  size_t bytes_ = 0;              // of these
};

void use_dictionary(Chunk* chunk, std::shared_ptr<const Chunk> of) {
  chunk->offsets.borrow(of->offsets.data(), of->offsets.size());
  chunk->bytes.borrow(of->bytes.data(), of->bytes.size());
  chunk->dictionary = std::move(of);
}

std::shared_ptr<const Chunk> dictionary_of(const std::shared_ptr<const Chunk>& chunk) {
  if (chunk == nullptr || !chunk->has_codes()) return nullptr;
  return chunk->dictionary != nullptr ? chunk->dictionary : chunk;
}

// Keeps the entries as JSON too, where some need escaping and they take little beside the rows.
void make_ready(Chunk* chunk) {
  if (chunk->dictionary != nullptr) {
    chunk->ready = chunk->dictionary->ready;
    return;
  }
  if (!chunk->has_codes() || chunk->escape.empty() || chunk->bytes.size() > chunk->rows * kMostReadyBytes)
    return;
  auto ready = std::make_shared<ReadyTexts>();
  ready->offsets.reserve(chunk->offsets.size());
  ready->offsets.push_back(0);
  for (uint32_t code = 0; code < chunk->entries(); ++code) {
    append_json_string(&ready->bytes, chunk->entry(code));
    ready->offsets.push_back(static_cast<uint32_t>(ready->bytes.size()));
  }
  ready->bytes.shrink_to_fit();
  chunk->ready = std::move(ready);
}

// False: it is not smaller by a quarter, or `known` (may be null) is of little use.
bool share(Chunk* chunk, const std::shared_ptr<const Chunk>& known) {
  Entries entries(*chunk, known.get());
  std::vector<uint16_t> wide(chunk->rows);
  for (uint32_t i = 0; i < chunk->rows; ++i) {
    const uint32_t code = entries.code(i);
    if (code == kNone || (i == kLookedAt && entries.added() > kLookedAt / 2)) return false;
    wide[i] = static_cast<uint16_t>(code);
  }
  if (!entries.uses_most()) return false;
  const bool has_all = known != nullptr && entries.added() == 0;
  const size_t count = entries.count();
  const size_t width = count <= 256 ? 1 : 2;
  const size_t before = chunk->bytes.size() + chunk->offsets.size() * 4;
  const size_t after = (has_all ? 0 : entries.bytes() + (count + 1) * 4) + chunk->rows * width;
  if (after > before - before / 4) return false;
  if (has_all) {
    use_dictionary(chunk, known);
  } else {
    std::vector<uint32_t> offsets(1, 0);
    std::vector<char> bytes;
    offsets.reserve(count + 1);
    bytes.reserve(entries.bytes());
    for (uint32_t number = 0; number < count; ++number) {
      const std::string_view text = entries.entry(number);
      bytes.insert(bytes.end(), text.begin(), text.end());
      offsets.push_back(static_cast<uint32_t>(bytes.size()));
    }
    chunk->offsets = std::move(offsets);
    chunk->bytes = std::move(bytes);
  }
  if (width == 2) {
    chunk->wide_codes = std::move(wide);
  } else {
    chunk->codes = std::vector<uint8_t>(wide.begin(), wide.end());
  }
  return true;
}

}  // namespace

void share_values(Chunk* chunk, const std::shared_ptr<const Chunk>& former) {
  if (chunk->rows < kFewestRows || !chunk->wide_offsets.empty()) return;
  const std::shared_ptr<const Chunk> known = dictionary_of(former);
  if (known == nullptr || !share(chunk, known)) share(chunk, nullptr);
  make_ready(chunk);
}

void find_shared(Chunk* chunk, const std::shared_ptr<const Chunk>& former) {
  std::shared_ptr<const Chunk> known = chunk->has_codes() ? dictionary_of(former) : nullptr;
  if (known != nullptr && std::ranges::equal(chunk->offsets, known->offsets) &&
      std::ranges::equal(chunk->bytes, known->bytes)) {
    use_dictionary(chunk, std::move(known));
  }
  make_ready(chunk);
}

}  // namespace reflex
