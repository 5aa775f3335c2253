#include "column_edit.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace reflex {

namespace {

constexpr size_t kMostOwners = 48;           // of a page, before it is packed
constexpr uint64_t kUnusedBytes = 64 << 10;  // of a page that are not worth packing
constexpr uint32_t kManyPages = 48;          // of a chunk, before it becomes one piece again
constexpr uint64_t kLargeChunk = 8 << 20;    // too much to copy for that

std::string_view to_view(const Column& column, const ColumnBatch& batch, uint32_t i) {
  const uint32_t width = fixed_width(column.storage);
  if (width == 0) return batch.text(i);
  return {reinterpret_cast<const char*>(batch.fixed) + static_cast<size_t>(i) * width, width};
}

std::string_view to_view(const Column& column, const Cell& cell) {
  const uint32_t width = fixed_width(column.storage);
  if (width == 0) return cell.chunk.text(cell.i);
  return {reinterpret_cast<const char*>(cell.chunk.fixed.data()) + static_cast<size_t>(cell.i) * width,
          width};
}

void write_bit(Bits* bits, uint32_t i, bool value, bool rest) {
  if (bits->empty()) {
    if (value == rest) return;
    bits->assign(kPageRows / 64, rest ? ~uint64_t{0} : 0);
  }
  const uint64_t mask = uint64_t{1} << (i & 63);
  (*bits)[i >> 6] = value ? (*bits)[i >> 6] | mask : (*bits)[i >> 6] & ~mask;
}

// The part of a chunk's bits that a page has.
Bits page_bits(const Bits& bits, uint32_t first, bool rest) {
  if (bits.empty()) return {};
  Bits out(kPageRows / 64, rest ? ~uint64_t{0} : 0);
  for (size_t w = 0; w < out.size() && first / 64 + w < bits.size(); ++w) out[w] = bits[first / 64 + w];
  return out;
}

std::shared_ptr<Chunk> page_of(const Chunk* base, uint32_t number, uint32_t width) {
  auto page = std::make_shared<Chunk>();
  page->rows = kPageRows;
  const uint32_t first = number * kPageRows;
  const uint32_t have = base != nullptr && base->rows > first ? std::min(kPageRows, base->rows - first) : 0;
  if (width != 0) {
    page->fixed.resize(static_cast<size_t>(kPageRows) * width);
    if (have != 0)
      std::memcpy(page->fixed.edit(), base->fixed.data() + static_cast<size_t>(first) * width,
                  static_cast<size_t>(have) * width);
  } else {
    page->views.resize(kPageRows);
    for (uint32_t i = 0; i < have; ++i) page->views[i] = base->text(first + i);
  }
  if (have != 0) {
    page->valid = page_bits(base->valid, first, true);
    page->escape = page_bits(base->escape, first, false);
  }
  return page;
}

// Everything the page shows in one block.
void pack(Chunk* page, uint64_t live) {
  auto block = std::make_shared<std::vector<char>>();
  block->reserve(live);
  for (std::string_view& view : page->views) {
    const size_t at = block->size();
    block->insert(block->end(), view.begin(), view.end());
    view = {block->data() + at, view.size()};
  }
  page->owners.assign(1, std::move(block));
  page->held = live;
}

std::shared_ptr<Chunk> copy_page(const Chunk& from) {
  auto page = std::make_shared<Chunk>();
  page->rows = from.rows;
  page->fixed = from.fixed;
  page->valid = from.valid;
  page->escape = from.escape;
  page->views = from.views;
  page->owners = from.owners;
  page->held = from.held;
  if (page->owners.empty()) return page;
  uint64_t live = 0;
  for (const std::string_view view : page->views) live += view.size();
  if (page->owners.size() > kMostOwners || page->held > 2 * live + kUnusedBytes) pack(page.get(), live);
  return page;
}

// `chunk` in one piece, or nothing where that is too much.
std::shared_ptr<Chunk> in_one_piece(const Column& column, uint32_t number, uint32_t rows) {
  const std::shared_ptr<Chunk>& chunk = column.chunks[number];
  uint64_t bytes = chunk->base != nullptr ? chunk->base->memory() : 0;
  for (const auto& page : *chunk->pages) bytes += page != nullptr ? page->held : 0;
  if (bytes > kLargeChunk) return nullptr;
  ColumnBuilder builder(column.storage);
  for (uint32_t i = 0; i < rows; ++i) builder.append_row(column, (number << kChunkShift) + i);
  return builder.finish().chunks[0];
}

uint64_t memory_of(const Chunk& chunk) {
  uint64_t total = chunk.memory() + (chunk.base != nullptr ? chunk.base->memory() : 0);
  if (chunk.pages == nullptr) return total;
  for (const auto& page : *chunk.pages) total += page != nullptr ? page->memory() : 0;
  return total;
}

void join_pages(Column* column, uint32_t number, uint32_t rows, Edit* edit) {
  if (column->chunks[number]->pages == nullptr) return;
  std::shared_ptr<Chunk> whole = in_one_piece(*column, number, rows);
  if (whole == nullptr) return;
  whole->edit = edit->id;
  edit->replaced(memory_of(*column->chunks[number]), whole->memory());
  column->chunks[number] = std::move(whole);
}

uint32_t rows_in(const Chunk& chunk) {
  if (chunk.pages == nullptr) return chunk.rows;
  uint32_t rows = chunk.base != nullptr ? chunk.base->rows : 0;
  for (uint32_t p = kChunkPages; p > 0; --p) {
    if ((*chunk.pages)[p - 1] != nullptr) return std::max(rows, p * kPageRows);
  }
  return rows;
}

std::shared_ptr<Chunk> with_pages(std::shared_ptr<Chunk> from) {
  auto chunk = std::make_shared<Chunk>();
  chunk->rows = kChunkRows;
  if (from->pages == nullptr) {
    chunk->pages = std::make_unique<Chunk::Pages>();
    chunk->base = std::move(from);
  } else {
    chunk->pages = std::make_unique<Chunk::Pages>(*from->pages);
    chunk->base = from->base;
  }
  return chunk;
}

// A chunk whose pages may be replaced.
Chunk& own_chunk(Column* column, uint32_t number, Edit* edit) {
  if (number == column->chunks.size()) {
    if (number > 0) join_pages(column, number - 1, kChunkRows, edit);
    auto chunk = std::make_shared<Chunk>();
    chunk->rows = kChunkRows;
    chunk->pages = std::make_unique<Chunk::Pages>();
    chunk->edit = edit->id;
    edit->replaced(0, chunk->memory());
    column->chunks.push_back(std::move(chunk));
  }
  assert(number < column->chunks.size());
  const Chunk* present = column->chunks[number].get();
  if (present->pages != nullptr && present->edit == edit->id) return *column->chunks[number];
  if (present->pages != nullptr) {
    const auto paged = std::count_if(present->pages->begin(), present->pages->end(),
                                     [](const auto& page) { return page != nullptr; });
    // The last chunk is still being filled: its pages are not in place of anything.
    if (paged >= kManyPages && present->base != nullptr && rows_in(*present) == kChunkRows)
      join_pages(column, number, kChunkRows, edit);
  }
  std::shared_ptr<Chunk>& chunk = column->chunks[number];
  chunk = with_pages(std::move(chunk));
  chunk->edit = edit->id;
  edit->replaced(0, sizeof(Chunk::Pages));
  return *chunk;
}

Chunk& own_page(Column* column, uint32_t row, Edit* edit) {
  Chunk& chunk = own_chunk(column, row >> kChunkShift, edit);
  const uint32_t number = (row & kChunkMask) >> kPageShift;
  std::shared_ptr<Chunk>& page = (*chunk.pages)[number];
  if (page != nullptr && page->edit == edit->id) return *page;
  const size_t before = page != nullptr ? page->memory() : 0;
  page = page != nullptr ? copy_page(*page) : page_of(chunk.base.get(), number, fixed_width(column->storage));
  page->edit = edit->id;
  page->room = nullptr;
  page->room_bytes = 0;
  edit->replaced(before, page->memory());
  return *page;
}

std::string_view keep(Chunk* page, std::string_view text, Edit* edit) {
  constexpr size_t kFirstBlock = 256;
  constexpr size_t kLargestBlock = 64 << 10;
  if (text.empty()) return {"", 0};
  if (page->room_bytes < text.size()) {
    const size_t size = std::max(text.size(), std::clamp(page->room_next * 2, kFirstBlock, kLargestBlock));
    auto block = std::make_shared<std::vector<char>>(size);
    page->room = block->data();
    page->room_bytes = size;
    page->room_next = size;
    page->held += size;
    page->owners.push_back(std::move(block));
    edit->replaced(0, size);
  }
  std::memcpy(page->room, text.data(), text.size());
  const std::string_view kept(page->room, text.size());
  page->room += text.size();
  page->room_bytes -= text.size();
  return kept;
}

void write(Column* column, uint32_t row, bool has, std::string_view value, bool escaped, Edit* edit) {
  Chunk& page = own_page(column, row, edit);
  const uint32_t i = row & kPageMask;
  const uint32_t width = fixed_width(column->storage);
  write_bit(&page.valid, i, has, true);
  if (width == 0) {
    page.views[i] = has ? keep(&page, value, edit) : std::string_view("", 0);
    write_bit(&page.escape, i, has && escaped, false);
  } else if (has) {
    std::memcpy(page.fixed.edit() + static_cast<size_t>(i) * width, value.data(), width);
  } else {
    std::memset(page.fixed.edit() + static_cast<size_t>(i) * width, 0, width);
  }
}

}  // namespace

void set_value(Column* column, uint32_t row, const ColumnBatch& batch, uint32_t i, Edit* edit) {
  const bool has = batch.has(i);
  const std::string_view value = has ? to_view(*column, batch, i) : std::string_view();
  write(column, row, has, value, is_text(column->storage) && needs_escape(value), edit);
}

void copy_value(Column* column, uint32_t row, uint32_t from, Edit* edit) {
  const std::shared_ptr<const Chunk> kept = column->chunks[from >> kChunkShift];  // writing may replace it
  const Cell cell = column->cell(from);
  const bool has = cell.chunk.has(cell.i);
  const std::string value(has ? to_view(*column, cell) : std::string_view());
  write(column, row, has, value, cell.chunk.escaped(cell.i), edit);
}

bool same_value(const Column& column, uint32_t row, const ColumnBatch& batch, uint32_t i) {
  const Cell cell = column.cell(row);
  if (!cell.chunk.has(cell.i) || !batch.has(i)) return cell.chunk.has(cell.i) == batch.has(i);
  return to_view(column, cell) == to_view(column, batch, i);
}

KeyPart key_part(Storage storage, const ColumnBatch& batch, uint32_t i) {
  assert(batch.has(i));
  KeyPart part{key_class(storage), 0, {}};
  const uint32_t width = fixed_width(storage);
  if (width == 0) {
    part.bytes = batch.text(i);
    return part;
  }
  const uint8_t* at = batch.fixed + static_cast<size_t>(i) * width;
  const auto load = [at]<typename T>(T value) {
    std::memcpy(&value, at, sizeof(T));
    return value;
  };
  switch (storage) {
    case Storage::kBool:
      part.integer = *at;
      break;
    case Storage::kI16:
      part.integer = load(int16_t{});
      break;
    case Storage::kI32:
    case Storage::kDate:
      part.integer = load(int32_t{});
      break;
    case Storage::kU64:
      part.integer = load(uint64_t{});
      break;
    case Storage::kF32:
      part.integer = std::bit_cast<int64_t>(static_cast<double>(load(float{})) + 0.0);
      break;
    case Storage::kF64:
      part.integer = std::bit_cast<int64_t>(load(double{}) + 0.0);
      break;
    case Storage::kUuid:
      part.bytes = {reinterpret_cast<const char*>(at), width};
      break;
    default:
      part.integer = load(int64_t{});
  }
  return part;
}

}  // namespace reflex
