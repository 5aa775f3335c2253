// One column's values in memory: chunks of 65,536 rows of typed or variable-length values, each with its own
// validity bits.
//
// Values of varying length that repeat are kept once a chunk: the chunk then has a dictionary, and each row a
// code of one or two bytes (dictionary.h).
//
// A Column is immutable once built and may be read by any thread. Chunks are shared, so that a later version
// of a column can replace some of them and keep the rest; a chunk of which a few rows changed is one with
// pages of 1,024 rows in place of those of its base (column_edit.h makes them). A ColumnBuilder belongs to
// one thread; what it is given has been checked (feed_rows.h).
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "array.h"
#include "schema.h"

namespace reflex {

inline constexpr uint32_t kChunkShift = 16;
inline constexpr uint32_t kChunkRows = 1u << kChunkShift;
inline constexpr uint32_t kChunkMask = kChunkRows - 1;
inline constexpr uint32_t kPageShift = 10;
inline constexpr uint32_t kPageRows = 1u << kPageShift;
inline constexpr uint32_t kPageMask = kPageRows - 1;
inline constexpr uint32_t kChunkPages = kChunkRows / kPageRows;

// Bytes of one value; 0 where values vary in length.
constexpr uint32_t fixed_width(Storage storage) {
  switch (storage) {
    case Storage::kBool:
      return 1;
    case Storage::kI16:
      return 2;
    case Storage::kI32:
    case Storage::kF32:
    case Storage::kDate:
      return 4;
    case Storage::kI64:
    case Storage::kU64:
    case Storage::kF64:
    case Storage::kDatetime:
    case Storage::kTimestamp:
      return 8;
    case Storage::kUuid:
      return 16;
    default:
      return 0;
  }
}

// Answered between quotes and escaped: the storages whose values carry the "needs escaping" bit.
constexpr bool is_text(Storage storage) {
  return storage == Storage::kText || storage == Storage::kEnum || storage == Storage::kTime ||
         storage == Storage::kInterval;
}

// Whether JSON needs escapes to carry `text`.
bool needs_escape(std::string_view text);

using Bits = std::vector<uint64_t>;
inline bool bit(const Bits& bits, uint32_t i) { return (bits[i >> 6] >> (i & 63)) & 1; }

// A dictionary's entries as JSON has them, quotes and escapes included.
struct ReadyTexts {
  std::vector<uint32_t> offsets;  // entries + 1 into `bytes`
  std::string bytes;

  std::string_view entry(uint32_t code) const {
    assert(code + 1 < offsets.size());
    return {bytes.data() + offsets[code], offsets[code + 1] - offsets[code]};
  }
};

struct Chunk {
  using Pages = std::array<std::shared_ptr<Chunk>, kChunkPages>;

  uint32_t rows = 0;
  std::unique_ptr<Pages> pages;  // null: the values are here; else in a row's page or, without one, in `base`
  Array<uint8_t> fixed;          // rows * width; zero where null
  Array<uint32_t> offsets;       // rows + 1 into `bytes`; with codes, entries + 1
  Array<uint64_t> wide_offsets;  // instead of `offsets`, from 4 GiB of bytes on
  Array<char> bytes;
  Array<uint8_t> codes;                     // a dictionary's: each row's entry, where there are at most 256
  Array<uint16_t> wide_codes;               // instead of `codes`, where there are more
  std::shared_ptr<const Chunk> dictionary;  // whose `offsets`, `bytes` and `ready` these are; null: its own
  std::shared_ptr<const ReadyTexts> ready;  // of a small dictionary with entries that need escaping
  Bits valid;                               // empty: every row has a value
  Bits escape;                              // empty: no value needs escaping
  std::vector<std::string_view> views;      // instead of `offsets` and `bytes` in a page: into `owners`
  std::vector<std::shared_ptr<const void>> owners;
  uint64_t held = 0;  // bytes that `owners` keep, besides those of the chunk that the page is part of
  std::shared_ptr<const Chunk> base;
  std::shared_ptr<const void> lender;  // of arrays that are borrowed
  // While it is being written:
  uint64_t edit = 0;     // that made it
  char* room = nullptr;  // in the last owner
  size_t room_bytes = 0;
  size_t room_next = 0;  // size of the last owner

  bool has(uint32_t i) const { return valid.empty() || bit(valid, i); }
  // Of the 64 rows from row `i` on, a multiple of 64, those that have a value.
  uint64_t valid_word(uint32_t i) const { return valid.empty() ? ~uint64_t{0} : valid[i / 64]; }
  bool escaped(uint32_t i) const { return !escape.empty() && bit(escape, i); }

  template <typename T>
  T get(uint32_t i) const {
    T value;
    assert((i + 1) * sizeof(T) <= fixed.size());
    std::memcpy(&value, fixed.data() + i * sizeof(T), sizeof(T));
    return value;
  }

  // Requires, as the two below: has_codes().
  uint32_t code(uint32_t i) const { return codes.empty() ? wide_codes[i] : codes[i]; }
  bool has_codes() const { return !codes.empty() || !wide_codes.empty(); }
  uint32_t entries() const { return static_cast<uint32_t>(offsets.size() - 1); }
  std::string_view entry(uint32_t code) const {
    assert(code + 1 < offsets.size());
    return {bytes.data() + offsets[code], offsets[code + 1] - offsets[code]};
  }

  std::string_view text(uint32_t i) const {
    if (!codes.empty()) return entry(codes[i]);
    if (!wide_codes.empty()) return entry(wide_codes[i]);
    if (!offsets.empty()) [[likely]]
      return entry(i);
    if (!views.empty()) return views[i];
    return {bytes.data() + wide_offsets[i], wide_offsets[i + 1] - wide_offsets[i]};
  }

  std::string_view uuid(uint32_t i) const {
    return {reinterpret_cast<const char*>(fixed.data()) + i * 16, 16};
  }

  uint64_t memory() const;
};

// Where one value stands.
struct Cell {
  const Chunk& chunk;
  uint32_t i;
};

struct Column {
  Storage storage = Storage::kBool;
  const FoldingDef* folding = nullptr;  // by which keys compare; null: by their bytes
  std::vector<std::shared_ptr<Chunk>> chunks;

  // Rows of one page, and of one aligned run of them, are in one chunk.
  Cell cell(uint32_t row) const {
    const Chunk& chunk = *chunks[row >> kChunkShift];
    if (chunk.pages == nullptr) [[likely]]
      return {chunk, row & kChunkMask};
    const Chunk* page = (*chunk.pages)[(row & kChunkMask) >> kPageShift].get();
    if (page != nullptr) return {*page, row & kPageMask};
    return {*chunk.base, row & kChunkMask};
  }
  bool has(uint32_t row) const {
    const Cell at = cell(row);
    return at.chunk.has(at.i);
  }
  template <typename T>
  T get(uint32_t row) const {
    const Cell at = cell(row);
    return at.chunk.get<T>(at.i);
  }
  std::string_view text(uint32_t row) const {
    const Cell at = cell(row);
    return at.chunk.text(at.i);
  }
  // The bytes of any value that is compared as bytes: variable ones and uuids.
  std::string_view bytes(uint32_t row) const {
    const Cell at = cell(row);
    return storage == Storage::kUuid ? at.chunk.uuid(at.i) : at.chunk.text(at.i);
  }
  uint64_t memory() const;
};

// Ask the memory for values that will be read soon, many at once: fixed ones, and where texts stand; then the
// texts' first lines; or both, one after the other. Nothing but time changes.
void fetch_places(const Column& column, std::span<const uint32_t> rows);
void fetch_texts(const Column& column, std::span<const uint32_t> rows);
void fetch_values(const Column& column, std::span<const uint32_t> rows);

// Rows of one column inside a feed frame, already bounds-checked. Borrows the frame.
struct ColumnBatch {
  uint32_t rows = 0;
  const uint8_t* valid = nullptr;    // null: all have values
  const uint8_t* fixed = nullptr;    // fixed storages
  const uint8_t* offsets = nullptr;  // variable storages: (rows + 1) little-endian u32
  const char* bytes = nullptr;

  bool has(uint32_t i) const { return valid == nullptr || ((valid[i >> 3] >> (i & 7)) & 1) != 0; }
  uint32_t offset(uint32_t i) const {
    uint32_t value = 0;
    std::memcpy(&value, offsets + i * sizeof(value), sizeof(value));
    return value;
  }
  std::string_view text(uint32_t i) const { return {bytes + offset(i), offset(i + 1) - offset(i)}; }
};

class ColumnBuilder {
 public:
  explicit ColumnBuilder(Storage storage) : storage_(storage), width_(fixed_width(storage)) {}

  void append(const ColumnBatch& batch);
  void append_row(const Column& from, uint32_t row);
  // Ends the column; the builder is spent.
  Column finish();
  // About what it holds now.
  uint64_t memory() const { return done_bytes_ + open_bytes_; }

 private:
  Chunk& open();
  void close();
  void append_range(const ColumnBatch& batch, uint32_t from, uint32_t to);
  void mark(Chunk* chunk, uint32_t i, bool has);
  void put_text(Chunk* chunk, std::string_view text);
  void end_text(Chunk* chunk);

  Storage storage_;
  uint32_t width_;
  std::shared_ptr<Chunk> chunk_;
  std::vector<std::shared_ptr<Chunk>> done_;
  uint64_t done_bytes_ = 0;
  uint64_t open_bytes_ = 0;
};

}  // namespace reflex
