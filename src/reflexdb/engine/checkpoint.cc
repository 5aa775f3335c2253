#include "checkpoint.h"

#include "checkpoint_parts.h"
#include "dictionary.h"
#include "key.h"
#include "store.h"

namespace reflex {
namespace {

using checkpoint::In;
using checkpoint::Out;

constexpr uint64_t kMiB = 1 << 20;

// The rows of a chunk of a table with so many.
uint32_t rows_in_chunk(uint32_t rows, size_t chunk) {
  return std::min<uint32_t>(kChunkRows, rows - (static_cast<uint32_t>(chunk) << kChunkShift));
}

size_t chunks_of(uint32_t rows) { return (static_cast<size_t>(rows) + kChunkMask) >> kChunkShift; }

// One interface for both directions: writing takes const parts.
template <typename Archive, typename ChunkType>
void chunk_parts(Archive& archive, ChunkType& chunk) {
  archive.part(chunk.rows);
  archive.part(chunk.fixed);
  archive.part(chunk.offsets);
  archive.part(chunk.wide_offsets);
  archive.part(chunk.bytes);
  archive.part(chunk.codes);
  archive.part(chunk.wide_codes);
  archive.part(chunk.valid);
  archive.part(chunk.escape);
}

template <typename Archive, typename Index>
void index_parts(Archive& archive, Index& index) {
  HashIndex::each_part(index, [&archive](auto&... parts) { (archive.part(parts), ...); });
}

template <typename Archive, typename Groups>
void group_parts(Archive& archive, Groups& groups) {
  KeyGroups::each_part(groups, [&archive](auto& heads, auto& next, auto& previous, auto& size) {
    index_parts(archive, heads);
    archive.part(next);
    archive.part(previous);
    archive.part(size);
  });
}

// ---- out

void write_text(Out* out, std::string_view text) {
  out->part(static_cast<uint64_t>(text.size()));
  out->raw(text.data(), text.size());
}

// A chunk that was changed is put into one piece.
void write_column(Out* out, const Column& column, uint32_t rows) {
  for (size_t c = 0; c < chunks_of(rows) && !out->failed(); ++c) {
    const Chunk& chunk = *column.chunks[c];
    const uint32_t count = rows_in_chunk(rows, c);
    if (chunk.pages == nullptr && chunk.views.empty() && chunk.rows == count) {
      chunk_parts(*out, chunk);
      continue;
    }
    ColumnBuilder builder(column.storage);
    for (uint32_t i = 0; i < count; ++i)
      builder.append_row(column, (static_cast<uint32_t>(c) << kChunkShift) + i);
    const Column whole = builder.finish();
    chunk_parts(*out, static_cast<const Chunk&>(*whole.chunks[0]));
  }
}

void write_order(Out* out, const Table& table) {
  out->part(static_cast<uint8_t>(table.ordered));
  if (!table.ordered) return;
  out->part(static_cast<uint64_t>(table.order.size()));
  for (const auto& block : table.order.blocks())
    out->raw(block->rows.data(), block->rows.size() * sizeof(uint32_t));
}

void write_table(Out* out, const Table& table) {
  out->part(table.rows);
  out->part(table.dead);
  out->part(table.hint);
  for (const Column& column : table.columns) write_column(out, column, table.rows);
  index_parts(*out, table.primary_key);
  out->part(table.dead_bits);
  write_order(out, table);
}

// Every parent's children in one array again, as after a load.
void write_link(Out* out, const Link& link, const Table& parent) {
  out->part(link.to);
  uint64_t total = 0;
  out->part(static_cast<uint64_t>(parent.rows) + 1);
  for (uint32_t row = 0; row <= parent.rows; ++row) {
    out->part(static_cast<uint32_t>(total));
    if (row < parent.rows) total += link.children(row).size();
  }
  out->part(total);
  for (uint32_t row = 0; row < parent.rows && !out->failed(); ++row) {
    for (const uint32_t child : link.children(row)) out->part(child);
  }
  group_parts(*out, link.orphans);
  group_parts(*out, link.targets);
}

// ---- in

bool ascends(std::span<const uint32_t> values) {
  bool fine = true;
  for (size_t i = 1; i < values.size(); ++i) fine &= values[i - 1] <= values[i];
  return fine;
}

bool are_rows(std::span<const uint32_t> values, uint32_t rows) {
  bool fine = true;
  for (const uint32_t value : values) fine &= value < rows;
  return fine;
}

bool are_rows_or_none(const Paged<uint32_t, 12>& values, uint32_t rows) {
  bool fine = true;
  for (size_t i = 0; i < values.size(); ++i) fine &= values.get(i) < rows || values.get(i) == kNoRow;
  return fine;
}

bool bits_fit(const Bits& bits, uint32_t rows) { return bits.empty() || bits.size() == (rows + 63) / 64; }

// All rows have a code, and every code an entry; or there are none of this width.
template <typename Code>
bool codes_fit(const Array<Code>& codes, const Chunk& chunk, uint32_t rows) {
  uint32_t largest = 0;
  for (const Code code : codes) largest = std::max<uint32_t>(largest, code);
  return codes.empty() || (codes.size() == rows && largest < chunk.entries());
}

bool is_sound(const Chunk& chunk, uint32_t width, uint32_t rows) {
  if (chunk.rows != rows || !bits_fit(chunk.valid, rows) || !bits_fit(chunk.escape, rows)) return false;
  if (width != 0) {
    return chunk.fixed.size() == static_cast<size_t>(rows) * width && chunk.offsets.empty() &&
           !chunk.has_codes();
  }
  if (!chunk.codes.empty() && !chunk.wide_codes.empty()) return false;
  if (!chunk.wide_offsets.empty()) {
    if (chunk.has_codes()) return false;
    const auto& ends = chunk.wide_offsets;
    return chunk.offsets.empty() && ends.size() == rows + uint64_t{1} && ends[0] == 0 &&
           std::is_sorted(ends.begin(), ends.end()) && ends.back() == chunk.bytes.size();
  }
  if (chunk.offsets.empty() || chunk.offsets[0] != 0 || !ascends(chunk.offsets)) return false;
  if (chunk.offsets.back() != chunk.bytes.size()) return false;
  if (!chunk.has_codes()) return chunk.offsets.size() == rows + uint64_t{1};
  return codes_fit(chunk.codes, chunk, rows) && codes_fit(chunk.wide_codes, chunk, rows);
}

// Every row that a lookup may come to is there, and every lookup ends.
bool is_sound(const HashIndex& index, uint32_t rows) {
  bool fine = true;
  HashIndex::each_part(
      index, [&](const auto& slots, uint64_t mask, uint64_t used, uint32_t dense, const auto&, const auto&) {
        const uint64_t size = slots.size();
        fine = dense <= rows && (size == 0 ? used == 0 && mask == 0 : mask + 1 == size && (size & mask) == 0);
        fine = fine && (size == 0 || used < size) && are_rows_or_none(slots, rows);
        uint64_t filled = 0;
        for (uint64_t i = 0; fine && i < size; ++i) filled += slots.get(i) != kNoRow;
        fine = fine && filled == used;
      });
  return fine;
}

bool is_sound(const KeyGroups& groups, uint32_t rows) {
  bool fine = true;
  KeyGroups::each_part(groups, [&](const auto& heads, const auto& next, const auto& previous, uint32_t size) {
    fine = is_sound(heads, rows) && size <= rows && next.size() == previous.size() && next.size() <= rows;
    for (size_t i = 0; fine && i < next.size(); ++i) {
      fine = (next.get(i) == kNoRow || next.get(i) < next.size()) &&
             (previous.get(i) == kNoRow || previous.get(i) < next.size());
    }
  });
  return fine;
}

bool read_text(In* in, std::string* out) {
  std::vector<char> text;
  in->part(text);
  out->assign(text.begin(), text.end());
  return in->good();
}

void read_column(In* in, Storage storage, uint32_t rows, Column* column) {
  column->storage = storage;
  for (size_t c = 0; c < chunks_of(rows) && in->good(); ++c) {
    auto chunk = std::make_shared<Chunk>();
    chunk_parts(*in, *chunk);
    chunk->lender = in->lender();
    in->require(is_sound(*chunk, fixed_width(storage), rows_in_chunk(rows, c)));
    if (in->good()) find_shared(chunk.get(), c == 0 ? nullptr : column->chunks.back());
    column->chunks.push_back(std::move(chunk));
  }
}

void read_order(In* in, Table* table) {
  uint8_t ordered = 0;
  in->part(ordered);
  table->ordered = ordered != 0;
  if (!table->ordered) return;
  std::vector<uint32_t> order;
  in->part(order);
  in->require(order.size() == table->live() && are_rows(order, table->rows));
  for (size_t i = 0; in->good() && i < order.size(); ++i) table->order.append(order[i], in->edit());
}

std::shared_ptr<const Table> read_table(In* in, const TableDef& def) {
  auto table = std::make_shared<Table>();
  table->key = def.primary_key;
  in->part(table->rows);
  in->part(table->dead);
  in->part(table->hint);
  in->require(table->rows < kNoRow && table->rows <= in->left() && table->dead <= table->rows);
  in->set_most(uint64_t{4} * table->rows + 64);
  table->columns.resize(def.columns.size());
  for (size_t c = 0; c < def.columns.size() && in->good(); ++c)
    read_column(in, def.columns[c].storage, table->rows, &table->columns[c]);
  set_foldings(table.get(), def);
  index_parts(*in, table->primary_key);
  in->part(table->dead_bits);
  read_order(in, table.get());
  in->require(is_sound(table->primary_key, table->rows));
  table->bytes = memory_of(*table);
  return table;
}

std::shared_ptr<const Link> read_link(In* in, const ForwardDef& forward, const Table& child,
                                      const TableDef& parent_def, const Table& parent) {
  const std::shared_ptr<Link> link = new_link(forward, parent_def);
  auto children = std::make_shared<Children>();
  in->set_most(uint64_t{4} * std::max(child.rows, parent.rows) + 64);
  in->part(link->to);
  in->part(children->start);
  in->part(children->rows);
  group_parts(*in, link->orphans);
  group_parts(*in, link->targets);
  in->require(link->to.size() >= child.rows && are_rows_or_none(link->to, parent.rows));
  const std::vector<uint32_t>& start = children->start;
  in->require(start.size() == parent.rows + uint64_t{1} && start[0] == 0 && ascends(start) &&
              start.back() == children->rows.size() && are_rows(children->rows, child.rows));
  in->require(is_sound(link->orphans, child.rows) && is_sound(link->targets, parent.rows));
  link->children_of = std::move(children);
  if (in->good()) link->bytes = memory_of(*link);
  return link;
}

Status over_cap(uint64_t bytes, uint64_t cap_bytes) {
  return {"cap_exceeded", "The checkpoint needs more memory than the instance may use: " +
                              std::to_string((bytes + kMiB - 1) / kMiB) + " MiB so far, of at most " +
                              std::to_string(cap_bytes / kMiB) + " MiB."};
}

}  // namespace

CheckpointHead checkpoint_head(const SchemaDef& schema) {
  CheckpointHead head;
  head.fingerprint = schema.fingerprint;
  KeyPart probe{KeyClass::kBytes, 0, "a key"};
  head.hashes = hash_key(probe);
  probe = {KeyClass::kInteger, 4711, {}};
  head.hashes = head.hashes * 3 + hash_key(probe);
  probe = {KeyClass::kDecimal, 0, "-12.50"};
  head.hashes = head.hashes * 3 + hash_key(probe);
  probe = {KeyClass::kTime, 0, "12:00:00+02"};
  head.hashes = head.hashes * 3 + hash_key(probe);
  probe = {KeyClass::kInterval, 0, "1 mon"};
  head.hashes = head.hashes * 3 + hash_key(probe);
  return head;
}

void write_snapshot(const SchemaDef& schema, const Snapshot& snapshot, CheckpointWriter* to) {
  Out out(to);
  write_text(&out, snapshot.info.mode);
  out.part(snapshot.info.version);
  out.part(snapshot.info.source_time_ms);
  write_text(&out, snapshot.info.position);
  for (size_t t = 0; t < schema.tables.size() && !out.failed(); ++t) write_table(&out, *snapshot.tables[t]);
  for (size_t t = 0; t < schema.tables.size(); ++t) {
    for (size_t f = 0; f < schema.tables[t].forward.size() && !out.failed(); ++f)
      write_link(&out, *snapshot.links[t][f], *snapshot.tables[schema.tables[t].forward[f].target]);
  }
}

Status read_snapshot(const SchemaDef& schema, uint64_t cap_bytes, CheckpointReader* from, SnapshotPtr* out) {
  Edit edit{Edit::new_id()};
  In in(from, &edit);
  const Status damaged = {"damaged", "its content is damaged, or ends too early"};
  auto next = std::make_shared<Snapshot>();
  SnapshotInfo& info = next->info;
  read_text(&in, &info.mode);
  in.part(info.version);
  in.part(info.source_time_ms);
  read_text(&in, &info.position);
  for (const TableDef& def : schema.tables) {
    next->tables.push_back(read_table(&in, def));
    if (!in.good()) return damaged;
    info.bytes += next->tables.back()->bytes;
    info.row_counts.push_back(next->tables.back()->live());
    if (cap_bytes != 0 && info.bytes > cap_bytes) return over_cap(info.bytes, cap_bytes);
  }
  next->links.resize(schema.tables.size());
  for (size_t t = 0; t < schema.tables.size(); ++t) {
    for (const ForwardDef& forward : schema.tables[t].forward) {
      next->links[t].push_back(read_link(&in, forward, *next->tables[t], schema.tables[forward.target],
                                         *next->tables[forward.target]));
      if (!in.good()) return damaged;
      info.bytes += next->links[t].back()->bytes;
      if (cap_bytes != 0 && info.bytes > cap_bytes) return over_cap(info.bytes, cap_bytes);
    }
  }
  if (!from->at_end()) return damaged;
  *out = std::move(next);
  return {};
}

}  // namespace reflex
