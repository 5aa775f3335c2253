#include "column.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "dictionary.h"

namespace reflex {

static_assert(kChunkRows % 64 == 0, "a chunk's bits fill whole words");

namespace {

// Bits exist only once they say something: the first null, the first value to escape.
void set_bit(Bits* bits, uint32_t i, bool value, bool before) {
  if (bits->empty()) {
    if (value == before) return;
    bits->assign(kChunkRows / 64, before ? ~uint64_t{0} : 0);
  }
  const uint64_t mask = uint64_t{1} << (i & 63);
  (*bits)[i >> 6] = value ? (*bits)[i >> 6] | mask : (*bits)[i >> 6] & ~mask;
}

// A chunk that ends early needs no bits for rows it does not have.
void trim_bits(Bits* bits, uint32_t rows) {
  if (!bits->empty()) bits->resize((rows + 63) / 64);
  bits->shrink_to_fit();
}

}  // namespace

bool needs_escape(std::string_view text) {
  bool found = false;  // without an early exit the loop is vectorised
  for (const char c : text) found |= static_cast<uint8_t>(c) < 0x20 || c == '"' || c == '\\';
  return found;
}

uint64_t Chunk::memory() const {
  uint64_t total = sizeof(Chunk) + fixed.capacity() + wide_offsets.capacity() * 8 + codes.capacity() +
                   wide_codes.capacity() * 2 + (valid.capacity() + escape.capacity()) * 8 +
                   views.capacity() * sizeof(views[0]) + owners.capacity() * sizeof(owners[0]) + held +
                   (pages != nullptr ? sizeof(Pages) : 0);
  if (dictionary != nullptr) return total + offsets.own_capacity() * 4 + bytes.own_capacity();
  total += offsets.capacity() * 4 + bytes.capacity();
  if (ready != nullptr) total += sizeof(ReadyTexts) + ready->bytes.capacity() + ready->offsets.capacity() * 4;
  return total;
}

uint64_t Column::memory() const {
  uint64_t total = chunks.capacity() * sizeof(chunks[0]);
  for (const auto& chunk : chunks) {
    total += chunk->memory();
    if (chunk->base != nullptr) total += chunk->base->memory();
    if (chunk->pages == nullptr) continue;
    for (const auto& page : *chunk->pages) total += page != nullptr ? page->memory() : 0;
  }
  return total;
}

void fetch_places(const Column& column, std::span<const uint32_t> rows) {
  const uint32_t width = fixed_width(column.storage);
  for (const uint32_t row : rows) {
    const auto [chunk, i] = column.cell(row);
    if (width != 0) {
      __builtin_prefetch(chunk.fixed.data() + size_t{i} * width);
    } else if (!chunk.codes.empty()) {
      __builtin_prefetch(chunk.codes.data() + i);
    } else if (!chunk.wide_codes.empty()) {
      __builtin_prefetch(chunk.wide_codes.data() + i);
    } else if (!chunk.offsets.empty()) {
      __builtin_prefetch(chunk.offsets.data() + i);
    }
  }
}

void fetch_texts(const Column& column, std::span<const uint32_t> rows) {
  constexpr size_t kLine = 64;
  for (const uint32_t row : rows) {
    const auto [chunk, i] = column.cell(row);
    const std::string_view text = chunk.ready != nullptr ? chunk.ready->entry(chunk.code(i)) : chunk.text(i);
    __builtin_prefetch(text.data());
    if (text.size() > 1) __builtin_prefetch(text.data() + std::min(text.size() - 1, kLine));
  }
}

void fetch_values(const Column& column, std::span<const uint32_t> rows) {
  fetch_places(column, rows);
  if (fixed_width(column.storage) == 0) fetch_texts(column, rows);
}

Chunk& ColumnBuilder::open() {
  if (chunk_ != nullptr && chunk_->rows == kChunkRows) close();
  if (chunk_ == nullptr) {
    chunk_ = std::make_shared<Chunk>();
    if (width_ == 0) chunk_->offsets.push_back(0);
  }
  return *chunk_;
}

void ColumnBuilder::close() {
  Chunk& chunk = *chunk_;
  if (width_ == 0) share_values(&chunk, done_.empty() ? nullptr : done_.back());
  chunk.fixed.shrink_to_fit();
  chunk.wide_offsets.shrink_to_fit();
  if (chunk.dictionary == nullptr) {
    chunk.offsets.shrink_to_fit();
    chunk.bytes.shrink_to_fit();
  }
  trim_bits(&chunk.valid, chunk.rows);
  trim_bits(&chunk.escape, chunk.rows);
  assert(width_ == 0 || chunk.fixed.size() == static_cast<size_t>(chunk.rows) * width_);
  done_bytes_ += chunk.memory();
  open_bytes_ = 0;
  done_.push_back(std::move(chunk_));
  chunk_ = nullptr;
}

void ColumnBuilder::append(const ColumnBatch& batch) {
  uint32_t from = 0;
  while (from < batch.rows) {
    const Chunk& chunk = open();
    const uint32_t to = std::min(batch.rows, from + (kChunkRows - chunk.rows));
    append_range(batch, from, to);
    from = to;
  }
}

void ColumnBuilder::mark(Chunk* chunk, uint32_t i, bool has) { set_bit(&chunk->valid, i, has, true); }

void ColumnBuilder::put_text(Chunk* chunk, std::string_view text) {
  chunk->bytes.append(text.begin(), text.end());
  if (is_text(storage_)) set_bit(&chunk->escape, chunk->rows, needs_escape(text), false);
}

void ColumnBuilder::end_text(Chunk* chunk) {
  const uint64_t end = chunk->bytes.size();
  if (chunk->wide_offsets.empty() && end > std::numeric_limits<uint32_t>::max()) {
    chunk->wide_offsets = std::vector<uint64_t>(chunk->offsets.begin(), chunk->offsets.end());
    chunk->offsets.clear();
  }
  if (chunk->wide_offsets.empty()) {
    chunk->offsets.push_back(static_cast<uint32_t>(end));
  } else {
    chunk->wide_offsets.push_back(end);
  }
}

void ColumnBuilder::append_range(const ColumnBatch& batch, uint32_t from, uint32_t to) {
  Chunk& chunk = *chunk_;
  assert(chunk.rows + (to - from) <= kChunkRows);
  if (width_ != 0) {
    const size_t at = chunk.fixed.size();
    const size_t count = static_cast<size_t>(to - from) * width_;
    const uint8_t* values = batch.fixed + static_cast<size_t>(from) * width_;
    chunk.fixed.append(values, values + count);
    for (uint32_t i = from; i < to && batch.valid != nullptr; ++i) {
      if (!batch.has(i))
        std::memset(chunk.fixed.edit() + at + static_cast<size_t>(i - from) * width_, 0, width_);
      mark(&chunk, chunk.rows + (i - from), batch.has(i));
    }
    chunk.rows += to - from;
    open_bytes_ = chunk.fixed.size() + chunk.valid.size() * 8;
    return;
  }
  for (uint32_t i = from; i < to; ++i) {
    mark(&chunk, chunk.rows, batch.has(i));
    if (batch.has(i)) put_text(&chunk, batch.text(i));
    end_text(&chunk);
    ++chunk.rows;
  }
  open_bytes_ = chunk.bytes.size() + (chunk.offsets.size() + chunk.valid.size() * 2) * 4;
}

void ColumnBuilder::append_row(const Column& from, uint32_t row) {
  Chunk& chunk = open();
  const auto [source, i] = from.cell(row);
  mark(&chunk, chunk.rows, source.has(i));
  if (width_ != 0) {
    const uint8_t* value = source.fixed.data() + static_cast<size_t>(i) * width_;
    chunk.fixed.append(value, value + width_);
  } else {
    const std::string_view text = source.text(i);
    chunk.bytes.append(text.begin(), text.end());
    set_bit(&chunk.escape, chunk.rows, source.escaped(i), false);
    end_text(&chunk);
  }
  ++chunk.rows;
}

Column ColumnBuilder::finish() {
  if (chunk_ != nullptr) close();
  return Column{storage_, nullptr, std::move(done_)};
}

}  // namespace reflex
