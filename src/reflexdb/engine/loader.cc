// snapshot.h's Loader: collects a new state table by table, then sorts, indexes and links it at commit.

#include <cstdint>
#include <utility>

#include "feed_rows.h"
#include "store.h"

namespace reflex {

namespace {

constexpr uint32_t kNoTable = 0xFFFFFFFF;
constexpr uint64_t kMiB = 1 << 20;

uint64_t mebibytes(uint64_t bytes) { return (bytes + kMiB - 1) / kMiB; }

}  // namespace

const SnapshotInfo& info(const Snapshot& snapshot) { return snapshot.info; }

bool is_streamed(const SnapshotInfo& of) {
  return !of.position.empty() && !of.mode.empty() && of.mode != "poll";
}

SnapshotPtr with_position(const SnapshotPtr& snapshot, int64_t source_time_ms, std::string_view position,
                          std::string_view mode) {
  assert(snapshot != nullptr);
  auto later = std::make_shared<Snapshot>(*snapshot);
  later->info.source_time_ms = source_time_ms;
  later->info.position = position;
  later->info.mode = mode;
  return later;
}

struct Loader::Impl {
  struct Pending {
    bool named = false;
    bool kept = false;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    std::vector<ColumnBuilder> builders;
  };

  Impl(const SchemaDef& schema_def, SnapshotPtr before, uint64_t cap)
      : schema(schema_def), previous(std::move(before)), cap_bytes(cap), pending(schema.tables.size()) {
    if (previous != nullptr) bytes = previous->info.bytes;
  }

  Status fail(Status status) {
    if (!status.ok() && failed.ok()) failed = status;
    return failed;
  }

  Status protocol(const std::string& message) { return fail({"protocol_error", message}); }

  // `bytes` is what previous and new snapshot hold together, each shared part counted once.
  Status check_cap() {
    if (cap_bytes == 0 || bytes <= cap_bytes) return {};
    std::string message =
        "The new snapshot needs more memory than the instance may use: " + std::to_string(mebibytes(bytes)) +
        " MiB so far, of at most " + std::to_string(cap_bytes / kMiB) + " MiB";
    message += previous == nullptr
                   ? "; choose a larger instance or fewer tables and columns."
                   : ", the snapshot that is being served included; choose a larger instance or fewer "
                     "tables and columns.";
    return fail({"cap_exceeded", message});
  }

  Status name_table(uint32_t index) {
    if (index >= pending.size())
      return protocol("There is no table with index " + std::to_string(index) + ".");
    bytes -= pending[index].bytes;
    pending[index] = Pending{};  // what came of it before, if it was named before, is thrown away
    pending[index].named = true;
    return {};
  }

  Status build_table(uint32_t index, std::shared_ptr<const Table>* out);
  Status build_links(Snapshot* next);
  std::shared_ptr<const Link> shared_link(const Snapshot& next, uint32_t child, size_t forward) const;

  const SchemaDef& schema;
  SnapshotPtr previous;
  uint64_t cap_bytes;
  SnapshotInfo next_info;
  std::vector<Pending> pending;
  std::vector<ColumnBatch> batches;
  uint32_t current = kNoTable;
  uint64_t bytes = 0;
  Status failed;
};

Status Loader::Impl::build_table(uint32_t index, std::shared_ptr<const Table>* out) {
  Pending& from = pending[index];
  const TableDef& def = schema.tables[index];
  auto table = std::make_shared<Table>();
  table->rows = static_cast<uint32_t>(from.rows);
  for (ColumnBuilder& builder : from.builders) table->columns.push_back(builder.finish());
  from.builders.clear();
  uint32_t duplicate = kNoRow;
  finish_table(table.get(), def, &duplicate);
  if (duplicate != kNoRow) {
    return fail(
        {"invalid_rows", "Table `" + std::string(def.name) + "` has two rows with the same primary key."});
  }
  bytes += table->bytes - from.bytes;  // what was counted while rows arrived was an estimate
  *out = std::move(table);
  return check_cap();
}

std::shared_ptr<const Link> Loader::Impl::shared_link(const Snapshot& next, uint32_t child,
                                                      size_t forward) const {
  const uint32_t parent = schema.tables[child].forward[forward].target;
  if (previous == nullptr) return nullptr;
  if (previous->tables[child] != next.tables[child] || previous->tables[parent] != next.tables[parent])
    return nullptr;
  return previous->links[child][forward];
}

Status Loader::Impl::build_links(Snapshot* next) {
  next->links.resize(schema.tables.size());
  for (uint32_t child = 0; child < schema.tables.size(); ++child) {
    const auto& relations = schema.tables[child].forward;
    for (size_t f = 0; f < relations.size(); ++f) {
      std::shared_ptr<const Link> link = shared_link(*next, child, f);
      if (link == nullptr) {
        const uint32_t parent = relations[f].target;
        link = make_link(*next->tables[child], relations[f], *next->tables[parent], schema.tables[parent]);
        bytes += link->bytes;
      }
      next->info.bytes += link->bytes;
      next->links[child].push_back(std::move(link));
      const Status status = check_cap();
      if (!status.ok()) return status;
    }
  }
  return {};
}

Loader::Loader(const SchemaDef& schema, SnapshotPtr previous, uint64_t cap_bytes, int64_t source_time_ms,
               std::string_view position, const Origin& origin)
    : impl_(std::make_unique<Impl>(schema, std::move(previous), cap_bytes)) {
  const uint64_t before = impl_->previous == nullptr ? 0 : impl_->previous->info.version;
  impl_->next_info.version = std::max(before + 1, origin.first_version);
  impl_->next_info.source_time_ms = source_time_ms;
  impl_->next_info.position = position;
  impl_->next_info.mode = origin.mode;
}

Loader::~Loader() = default;

Status Loader::table(uint32_t index) {
  if (!impl_->failed.ok()) return impl_->failed;
  const Status status = impl_->name_table(index);
  if (!status.ok()) return status;
  impl_->current = index;
  for (const ColumnDef& column : impl_->schema.tables[index].columns) {
    impl_->pending[index].builders.emplace_back(column.storage);
  }
  return {};
}

Status Loader::keep(uint32_t index) {
  if (!impl_->failed.ok()) return impl_->failed;
  if (impl_->previous == nullptr)
    return impl_->protocol("There is no earlier snapshot whose tables could be kept.");
  const Status status = impl_->name_table(index);
  if (!status.ok()) return status;
  impl_->current = kNoTable;
  impl_->pending[index].kept = true;
  return {};
}

Status Loader::rows(std::span<const uint8_t> body) {
  if (!impl_->failed.ok()) return impl_->failed;
  uint32_t index = 0;
  if (!rows_table(body, &index)) return impl_->protocol("A ROWS frame ends within its header.");
  if (index != impl_->current || index == kNoTable) {
    return impl_->protocol("ROWS of table " + std::to_string(index) +
                           " do not follow a TABLE frame of that table.");
  }
  Impl::Pending& pending = impl_->pending[index];
  const TableDef& def = impl_->schema.tables[index];
  const Status status = decode_rows(body, def, pending.rows, &impl_->batches);
  if (!status.ok()) return impl_->fail(status);
  uint32_t rows = 0;
  std::memcpy(&rows, body.data() + sizeof(index), sizeof(rows));
  if (pending.rows + rows >= kNoRow) {
    return impl_->fail(
        {"invalid_rows", "Table `" + std::string(def.name) + "` has more than 4,294,967,294 rows."});
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < pending.builders.size(); ++i) {
    pending.builders[i].append(impl_->batches[i]);
    bytes += pending.builders[i].memory();
  }
  pending.rows += rows;
  impl_->bytes += bytes - pending.bytes;
  pending.bytes = bytes;
  return impl_->check_cap();
}

Status Loader::commit(SnapshotPtr* out) {
  if (!impl_->failed.ok()) return impl_->failed;
  auto next = std::make_shared<Snapshot>();
  next->info = impl_->next_info;
  for (uint32_t index = 0; index < impl_->pending.size(); ++index) {
    std::shared_ptr<const Table> table;
    if (!impl_->pending[index].named) {
      return impl_->protocol("Table `" + std::string(impl_->schema.tables[index].name) +
                             "` is missing from the snapshot.");
    }
    if (impl_->pending[index].kept) {
      table = impl_->previous->tables[index];
    } else {
      const Status status = impl_->build_table(index, &table);
      if (!status.ok()) return status;
    }
    next->info.bytes += table->bytes;
    next->info.row_counts.push_back(table->live());
    next->tables.push_back(std::move(table));
  }
  const Status status = impl_->build_links(next.get());
  if (!status.ok()) return status;
  *out = std::move(next);
  return impl_->fail({});
}

}  // namespace reflex
