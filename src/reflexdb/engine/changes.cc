#include "changes.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "feed_changes.h"
#include "feed_rows.h"
#include "link_edit.h"
#include "row_search.h"
#include "store.h"
#include "table_edit.h"
#include "table_part.h"

namespace reflex {

namespace {

constexpr uint64_t kMiB = 1 << 20;

// Which rows ROWS frames are about: of a whole table, of ranges of a table's key, or of some keys.
enum class Replacing : uint8_t { kNothing, kTable, kPart, kKeys };

struct Relation {
  uint32_t child;
  uint32_t forward;
};

bool same_cells(const Column& a, uint32_t row_a, const Column& b, uint32_t row_b) {
  const Cell x = a.cell(row_a);
  const Cell y = b.cell(row_b);
  if (!x.chunk.has(x.i) || !y.chunk.has(y.i)) return x.chunk.has(x.i) == y.chunk.has(y.i);
  const size_t width = fixed_width(a.storage);
  if (width == 0) return x.chunk.text(x.i) == y.chunk.text(y.i);
  return std::memcmp(x.chunk.fixed.data() + x.i * width, y.chunk.fixed.data() + y.i * width, width) == 0;
}

// Calls `visit` for each row, or each of the part.
template <typename Visit>
void each_row_of(const Table& table, const TablePart* part, Visit visit) {
  if (part == nullptr || part->is_whole()) return each_row(table, visit);
  const Column& column = table.columns[table.key.front()];
  for (uint32_t row = 0; row < table.rows; ++row) {
    if (table.is_live(row) && part->has(integer_value(column, row))) visit(row);
  }
}

// Rows in which two versions of a table, or of a part of it, differ. Without a key rows can't be told apart:
// then it is how many more one has.
uint64_t count_differences(const Table& before, const Table& now, const TablePart* part = nullptr) {
  if (before.key.empty())
    return before.live() > now.live() ? before.live() - now.live() : now.live() - before.live();
  if (&before == &now) return 0;
  uint64_t had = 0;
  uint64_t has = now.live();
  uint64_t same = 0;
  uint64_t changed = 0;
  std::vector<KeyPart> parts(before.key.size());
  each_row_of(before, part, [&](uint32_t row) {
    ++had;
    if (!read_key(before.columns, before.key, row, parts)) return;
    const uint32_t other = now.primary_key.find(now.columns, now.key, parts);
    if (other == kNoRow) return;
    bool equal = true;
    for (size_t c = 0; c < before.columns.size() && equal; ++c)
      equal = same_cells(before.columns[c], row, now.columns[c], other);
    ++(equal ? same : changed);
  });
  if (part != nullptr) {
    has = 0;
    each_row_of(now, part, [&has](uint32_t) { ++has; });
  }
  return had + has - 2 * same - changed;
}

}  // namespace

struct Changes::Impl {
  Impl(const SchemaDef& schema_def, SnapshotPtr before, uint64_t cap)
      : schema(schema_def), previous(std::move(before)), cap_bytes(cap), referring(schema.tables.size()) {
    start_from(*previous);
    for (uint32_t child = 0; child < schema.tables.size(); ++child) {
      const auto& relations = schema.tables[child].forward;
      for (uint32_t f = 0; f < relations.size(); ++f) referring[relations[f].target].push_back({child, f});
    }
  }

  // Forgets which parts of the state are ours alone.
  void start_from(const Snapshot& state) {
    next = std::make_shared<Snapshot>(state);
    const size_t count = schema.tables.size();
    tables.assign(count, nullptr);
    links.assign(count, {});
    table_edits.assign(count, Edit{edit_id});
    link_edits.assign(count, {});
    for (size_t t = 0; t < count; ++t) {
      links[t].assign(schema.tables[t].forward.size(), nullptr);
      link_edits[t].assign(schema.tables[t].forward.size(), Edit{edit_id});
    }
  }

  Status fail(Status status) {
    if (!status.ok() && failed.ok()) failed = std::move(status);
    return failed;
  }

  Table& own_table(uint32_t index) {
    if (tables[index] == nullptr) {
      tables[index] = std::make_shared<Table>(*next->tables[index]);
      next->tables[index] = tables[index];
    }
    return *tables[index];
  }

  LinkEdit own_link(uint32_t child, uint32_t forward) {
    std::shared_ptr<Link>& link = links[child][forward];
    if (link == nullptr) {
      link = std::make_shared<Link>(*next->links[child][forward]);
      next->links[child][forward] = link;
    }
    const uint32_t parent = schema.tables[child].forward[forward].target;
    return {link.get(), next->table(child), next->table(parent), &link_edits[child][forward]};
  }

  Status find(uint32_t index, const ChangeBatch& batch, uint32_t key, uint32_t* row);
  Status insert(uint32_t index, const NewRow& from);
  Status update(uint32_t index, uint32_t row, NewRow from);
  void erase(uint32_t index, uint32_t row);
  bool read_new_key(uint32_t index, const NewRow& from, std::vector<KeyPart>* parts) const;
  Status apply(uint32_t index, const ChangeBatch& batch);
  Status replace_rows(std::span<const uint8_t> body);
  void begin_part(Replacing what, uint32_t table) {
    replacing = what;
    replacing_table = table;
    named.clear();
    confirmed.clear();
  }
  Status finish_replacement();
  void finish_part(Replacing what);
  void settle();
  Status check_cap() const;
  uint32_t greatest() const;
  Status of_table(Status status) const;
  uint64_t made() const;
  Status out_of_step(uint32_t index, const char* what) const {
    return {"out_of_step", "Table `" + std::string(schema.tables[index].name) + "`: " + what +
                               "; the snapshot and the stream of changes do not fit together."};
  }

  const SchemaDef& schema;
  const SnapshotPtr previous;
  const uint64_t cap_bytes;
  const uint64_t edit_id = Edit::new_id();
  std::shared_ptr<Snapshot> next;
  std::vector<std::vector<Relation>> referring;           // by parent
  std::vector<std::shared_ptr<Table>> tables;             // ours alone, or null
  std::vector<std::vector<std::shared_ptr<Link>>> links;  // the same
  std::vector<Edit> table_edits;
  std::vector<std::vector<Edit>> link_edits;
  uint64_t replaced_bytes = 0;  // made by replacements
  std::vector<uint32_t> replaced;
  std::vector<TablePart> replaced_parts;
  uint64_t differences = 0;
  std::unique_ptr<Loader> loader;  // of the table that is being replaced
  Replacing replacing = Replacing::kNothing;
  uint32_t replacing_table = 0;
  std::vector<uint32_t> named;  // rows that have the keys
  std::vector<bool> confirmed;  // rows that have come for the part or the keys, by number
  std::vector<ColumnBatch> part_columns;
  ChangeBatch batch;
  std::vector<KeyPart> parts;
  Status failed;
};

uint64_t Changes::Impl::made() const {
  uint64_t total = replaced_bytes;
  for (const Edit& edit : table_edits) total += edit.made;
  for (const auto& edits : link_edits) {
    for (const Edit& edit : edits) total += edit.made;
  }
  return total;
}

// The table whose changes made the most.
uint32_t Changes::Impl::greatest() const {
  uint32_t found = 0;
  uint64_t most = 0;
  for (uint32_t t = 0; t < table_edits.size(); ++t) {
    uint64_t total = table_edits[t].made;
    for (const Edit& edit : link_edits[t]) total += edit.made;
    if (total > most) {
      most = total;
      found = t;
    }
  }
  return found;
}

// What the loader of the table that is being replaced answered, with the table's name where it did not fit.
Status Changes::Impl::of_table(Status status) const {
  if (status.code == "cap_exceeded")
    status.message = "Table `" + std::string(schema.tables[replaced.back()].name) + "`: " + status.message;
  return status;
}

Status Changes::Impl::check_cap() const {
  const uint64_t needed = previous->info.bytes + made();
  if (cap_bytes == 0 || needed <= cap_bytes) return {};
  const auto mebibytes = [](uint64_t bytes) { return std::to_string((bytes + kMiB - 1) / kMiB); };
  return {"cap_exceeded",
          "Table `" + std::string(schema.tables[greatest()].name) +
              "`: its changes need more memory than the instance may use: " + mebibytes(needed) +
              " MiB so far, of at most " + std::to_string(cap_bytes / kMiB) +
              " MiB, the snapshot that is being served included; choose a larger instance or "
              "fewer tables and columns."};
}

// Counts what the tables and links hold now.
void Changes::Impl::settle() {
  SnapshotInfo& info = next->info;
  replaced_bytes = made();
  const auto count = [&info](uint64_t* bytes, Edit* edit) {
    *bytes = static_cast<uint64_t>(std::max<int64_t>(0, static_cast<int64_t>(*bytes) + edit->grown));
    info.bytes = static_cast<uint64_t>(std::max<int64_t>(0, static_cast<int64_t>(info.bytes) + edit->grown));
    edit->grown = 0;
    edit->made = 0;
  };
  for (uint32_t t = 0; t < tables.size(); ++t) {
    for (uint32_t f = 0; f < links[t].size(); ++f) {
      if (links[t][f] == nullptr) continue;
      own_link(t, f).tidy();
      count(&links[t][f]->bytes, &link_edits[t][f]);
    }
    if (tables[t] == nullptr) continue;
    count(&tables[t]->bytes, &table_edits[t]);
    info.row_counts[t] = tables[t]->live();
  }
}

Status Changes::Impl::find(uint32_t index, const ChangeBatch& from, uint32_t key, uint32_t* row) {
  const TableDef& def = schema.tables[index];
  const Table& table = next->table(index);
  parts.clear();
  for (size_t i = 0; i < def.primary_key.size(); ++i) {
    if (!from.keys[i].has(key))
      return {"invalid_rows", "Table `" + std::string(def.name) + "`: a key has a null."};
    parts.push_back(key_part(def.columns[def.primary_key[i]].storage, from.keys[i], key));
  }
  *row = table.primary_key.find(table.columns, table.key, parts);
  return *row == kNoRow ? out_of_step(index, "a row that changed is not there") : Status{};
}

// False where a part is null.
bool Changes::Impl::read_new_key(uint32_t index, const NewRow& from, std::vector<KeyPart>* out) const {
  const Table& table = next->table(index);
  out->clear();
  for (const uint16_t column : schema.tables[index].primary_key) {
    if (from.is_left_out(column)) {
      out->push_back(reflex::key_part(table.columns[column], from.former));
    } else if (!from.batches[column].has(from.i)) {
      return false;
    } else {
      out->push_back(reflex::key_part(table.columns[column].storage, from.batches[column], from.i));
    }
  }
  return true;
}

Status Changes::Impl::insert(uint32_t index, const NewRow& from) {
  Table& table = own_table(index);
  const TableDef& def = schema.tables[index];
  if (!def.primary_key.empty()) {
    if (!read_new_key(index, from, &parts))
      return {"invalid_rows", "Table `" + std::string(def.name) + "`: a new row's key has a null."};
    if (table.primary_key.find(table.columns, table.key, parts) != kNoRow)
      return out_of_step(index, "a row that was inserted is there already");
  }
  if (table.rows + 2 >= kNoRow)
    return {"invalid_rows", "Table `" + std::string(def.name) + "` has more than 4,294,967,294 rows."};
  const uint32_t row = TableEdit(&table, &table_edits[index]).insert(from);
  for (uint32_t f = 0; f < def.forward.size(); ++f) own_link(index, f).attach(row);
  for (const Relation& relation : referring[index])
    own_link(relation.child, relation.forward).add_parent(row);
  return {};
}

void Changes::Impl::erase(uint32_t index, uint32_t row) {
  Table& table = own_table(index);
  for (uint32_t f = 0; f < schema.tables[index].forward.size(); ++f) own_link(index, f).detach(row);
  std::vector<std::vector<uint32_t>> left;
  for (const Relation& relation : referring[index])
    left.push_back(own_link(relation.child, relation.forward).remove_parent(row));
  TableEdit(&table, &table_edits[index]).erase(row);
  for (size_t i = 0; i < left.size(); ++i) {
    const Relation& relation = referring[index][i];
    LinkEdit link = own_link(relation.child, relation.forward);
    for (const uint32_t child : left[i]) link.attach(child);
  }
}

Status Changes::Impl::update(uint32_t index, uint32_t row, NewRow from) {
  const Table& before = next->table(index);
  const TableDef& def = schema.tables[index];
  from.former = row;
  std::vector<uint16_t> changed;
  for (uint16_t c = 0; c < def.columns.size(); ++c) {
    if (!from.is_left_out(c) && !same_value(before.columns[c], row, from.batches[c], from.i))
      changed.push_back(c);
  }
  if (changed.empty()) return {};
  const auto touches = [&changed](std::span<const uint16_t> columns) {
    return std::any_of(columns.begin(), columns.end(), [&](uint16_t c) {
      return std::find(changed.begin(), changed.end(), c) != changed.end();
    });
  };
  if (touches(def.primary_key)) {  // its place changes: it goes and comes
    if (!read_new_key(index, from, &parts))
      return {"invalid_rows", "Table `" + std::string(def.name) + "`: a changed row's key has a null."};
    const uint32_t other = before.primary_key.find(before.columns, before.key, parts);
    if (other != kNoRow && other != row)
      return out_of_step(index, "a row with a changed key's new value is there");
    erase(index, row);
    return insert(index, from);
  }
  Table& table = own_table(index);
  std::vector<uint32_t> moving;
  for (uint32_t f = 0; f < def.forward.size(); ++f) {
    if (touches(def.forward[f].columns)) moving.push_back(f);
  }
  for (const uint32_t f : moving) own_link(index, f).detach(row);
  std::vector<std::pair<Relation, std::vector<uint32_t>>> left;
  for (const Relation& relation : referring[index]) {
    if (touches(schema.tables[relation.child].forward[relation.forward].target_columns))
      left.emplace_back(relation, own_link(relation.child, relation.forward).remove_parent(row));
  }
  TableEdit edit(&table, &table_edits[index]);
  for (const uint16_t c : changed) edit.set(row, from, c);
  for (const auto& [relation, children] : left) {
    LinkEdit link = own_link(relation.child, relation.forward);
    link.add_parent(row);
    for (const uint32_t child : children) link.attach(child);
  }
  for (const uint32_t f : moving) own_link(index, f).attach(row);
  return {};
}

Status Changes::Impl::apply(uint32_t index, const ChangeBatch& from) {
  uint32_t key = 0;
  NewRow values{from.rows, from.unchanged, 0, kNoRow};
  for (const ChangeOp op : from.ops) {
    uint32_t row = kNoRow;
    if (op != ChangeOp::kInsert) {
      const Status status = find(index, from, key++, &row);
      if (!status.ok()) return status;
    }
    if (op == ChangeOp::kDelete) {
      erase(index, row);
      continue;
    }
    const Status status = op == ChangeOp::kInsert ? insert(index, values) : update(index, row, values);
    if (!status.ok()) return status;
    ++values.i;
  }
  return {};
}

// Rows of the part, or of the keys, that are being replaced.
Status Changes::Impl::replace_rows(std::span<const uint8_t> body) {
  const TableDef& def = schema.tables[replacing_table];
  uint32_t index = 0;
  if (!rows_table(body, &index) || index != replacing_table)
    return {"protocol_error", "ROWS within changes must be of the table that was named last."};
  Status status = decode_rows(body, def, 0, &part_columns);
  if (!status.ok()) return status;
  uint32_t count = 0;
  std::memcpy(&count, body.data() + sizeof index, sizeof count);
  for (NewRow values{part_columns, {}, 0, kNoRow}; values.i < count; ++values.i) {
    if (!read_new_key(index, values, &parts))
      return {"invalid_rows", "Table `" + std::string(def.name) + "`: a key has a null."};
    if (replacing == Replacing::kPart && !replaced_parts.back().is_whole() &&
        !replaced_parts.back().has(parts.front().integer))
      return {"invalid_rows",
              "Table `" + std::string(def.name) + "`: a row is not in the part that is replaced."};
    const auto find_row = [&] {
      const Table& table = next->table(index);
      return table.primary_key.find(table.columns, table.key, parts);
    };
    uint32_t row = find_row();
    status = row != kNoRow ? update(index, row, values) : insert(index, values);
    if (!status.ok()) return status;
    read_new_key(index, values, &parts);
    row = find_row();  // an equal key of other bytes moves its row
    if (row >= confirmed.size()) confirmed.resize(next->table(index).rows);
    confirmed[row] = true;
  }
  return {};
}

// What did not come is not there any more.
void Changes::Impl::finish_part(Replacing what) {
  std::vector<uint32_t> gone;
  const auto judge = [&](uint32_t row) {
    if (!next->table(replacing_table).is_live(row)) return;  // it moved, with an equal key of other bytes
    if (row >= confirmed.size() || !confirmed[row]) gone.push_back(row);
  };
  if (what == Replacing::kPart)
    each_row_of(next->table(replacing_table), &replaced_parts.back(), judge);
  else
    std::for_each(named.begin(), named.end(), judge);
  named.clear();
  for (const uint32_t row : gone) erase(replacing_table, row);
}

Status Changes::Impl::finish_replacement() {
  const Replacing was = std::exchange(replacing, Replacing::kNothing);
  if (was == Replacing::kNothing) return {};
  if (was != Replacing::kTable) {
    finish_part(was);
    return {};
  }
  const std::unique_ptr<Loader> done = std::move(loader);
  SnapshotPtr state;
  const Status status = done->commit(&state);
  if (!status.ok()) return of_table(status);
  start_from(*state);
  return {};
}

Changes::Changes(const SchemaDef& schema, SnapshotPtr previous, uint64_t cap_bytes)
    : impl_(std::make_unique<Impl>(schema, std::move(previous), cap_bytes)) {}

Changes::~Changes() = default;

const SnapshotPtr& Changes::previous() const { return impl_->previous; }

uint64_t Changes::differences() const { return impl_->differences; }

Status Changes::rows(std::span<const uint8_t> body) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  uint32_t index = 0;
  Status status = decode_changes(body, impl.schema, &index, &impl.batch);
  if (status.ok()) status = impl.finish_replacement();
  if (status.ok()) status = impl.apply(index, impl.batch);
  if (status.ok()) status = impl.check_cap();
  return impl.fail(std::move(status));
}

Status Changes::replace(uint32_t table) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  Status status = impl.finish_replacement();
  if (!status.ok()) return impl.fail(std::move(status));
  impl.settle();
  impl.loader = std::make_unique<Loader>(impl.schema, impl.next, impl.cap_bytes, 0, "");
  for (uint32_t other = 0; other < impl.schema.tables.size() && status.ok(); ++other) {
    if (other != table) status = impl.loader->keep(other);
  }
  if (status.ok()) status = impl.loader->table(table);
  impl.replaced.push_back(table);
  impl.replacing = Replacing::kTable;
  return impl.fail(std::move(status));
}

Status Changes::part(std::span<const uint8_t> body) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  Status status = impl.finish_replacement();
  TablePart part;
  if (status.ok()) status = parse_part(body, impl.schema, &part);
  if (!status.ok()) return impl.fail(std::move(status));
  impl.replaced_parts.push_back(std::move(part));
  impl.begin_part(Replacing::kPart, impl.replaced_parts.back().table);
  return {};
}

Status Changes::keys(std::span<const uint8_t> body) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  Status status = impl.finish_replacement();
  KeyBatch named;
  if (status.ok()) status = decode_keys(body, impl.schema, &named);
  if (!status.ok()) return impl.fail(std::move(status));
  impl.begin_part(Replacing::kKeys, named.table);
  const Table& table = impl.next->table(named.table);
  for (uint32_t i = 0; i < named.count; ++i) {
    named.read(i, &impl.parts);
    const uint32_t row = table.primary_key.find(table.columns, table.key, impl.parts);
    if (row != kNoRow) impl.named.push_back(row);
  }
  std::sort(impl.named.begin(), impl.named.end());
  impl.named.erase(std::unique(impl.named.begin(), impl.named.end()), impl.named.end());
  return {};
}

Status Changes::search(std::span<const uint8_t> body, std::string* found) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  Status status = impl.finish_replacement();
  RowSearch wanted;
  if (status.ok()) status = decode_search(body, impl.schema, &wanted);
  if (status.ok()) wanted.run(impl.next->table(wanted.table), found);
  return impl.fail(std::move(status));
}

Status Changes::replacement(std::span<const uint8_t> body) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  if (impl.replacing == Replacing::kPart || impl.replacing == Replacing::kKeys) {
    Status status = impl.replace_rows(body);
    if (status.ok()) status = impl.check_cap();
    return impl.fail(std::move(status));
  }
  if (impl.loader == nullptr)
    return impl.fail(
        {"protocol_error",
         "ROWS within changes must follow a TABLE, TABLE_PART or TABLE_KEYS frame of their table."});
  return impl.fail(impl.of_table(impl.loader->rows(body)));
}

Status Changes::commit(int64_t source_time_ms, std::string_view position, const Origin& origin,
                       SnapshotPtr* out) {
  Impl& impl = *impl_;
  if (!impl.failed.ok()) return impl.failed;
  Status status = impl.finish_replacement();
  if (status.ok()) status = impl.check_cap();
  if (status.ok()) impl.settle();
  if (!status.ok()) return impl.fail(std::move(status));
  std::sort(impl.replaced.begin(), impl.replaced.end());
  impl.replaced.erase(std::unique(impl.replaced.begin(), impl.replaced.end()), impl.replaced.end());
  for (const uint32_t table : impl.replaced)
    impl.differences += count_differences(impl.previous->table(table), impl.next->table(table));
  for (const TablePart& part : impl.replaced_parts) {
    if (std::find(impl.replaced.begin(), impl.replaced.end(), part.table) == impl.replaced.end())
      impl.differences +=
          count_differences(impl.previous->table(part.table), impl.next->table(part.table), &part);
  }
  SnapshotInfo& info = impl.next->info;
  info.version = std::max(impl.previous->info.version + 1, origin.first_version);
  info.source_time_ms = source_time_ms;
  info.position = position;
  info.mode = origin.mode;
  *out = std::move(impl.next);
  return {};
}

}  // namespace reflex
