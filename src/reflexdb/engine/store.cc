#include "store.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace reflex {

namespace {

bool is_sorted(const Table& table) {
  for (uint32_t row = 1; row < table.rows; ++row) {
    if (table.compare_keys(row - 1, row) > 0) return false;
  }
  return true;
}

// One column at a time, so that at most one is in memory twice.
void sort_rows(Table* table) {
  std::vector<uint32_t> order(table->rows);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return table->compare_keys(a, b) < 0; });
  for (Column& column : table->columns) {
    ColumnBuilder builder(column.storage);
    for (const uint32_t row : order) builder.append_row(column, row);
    const FoldingDef* const folding = column.folding;
    column = builder.finish();
    column.folding = folding;
  }
}

// Columns of the relation, in the order of the parent's primary key if it refers to exactly that key.
void choose_keys(const ForwardDef& forward, const TableDef& parent, Link* link) {
  const auto as_written = [&] {
    link->child_key.assign(forward.columns.begin(), forward.columns.end());
    link->parent_key.assign(forward.target_columns.begin(), forward.target_columns.end());
    link->by_primary_key = false;
  };
  if (forward.target_columns.size() != parent.primary_key.size()) return as_written();
  for (const uint16_t key : parent.primary_key) {
    const auto at = std::find(forward.target_columns.begin(), forward.target_columns.end(), key);
    if (at == forward.target_columns.end()) return as_written();
    link->child_key.push_back(forward.columns[static_cast<size_t>(at - forward.target_columns.begin())]);
    link->parent_key.push_back(key);
  }
  link->by_primary_key = true;
}

}  // namespace

int Table::compare_keys(uint32_t a, uint32_t b) const {
  for (const uint16_t column : key) {
    const int difference = compare_rows(columns[column], a, b);
    if (difference != 0) return difference;
  }
  return 0;
}

void set_foldings(Table* table, const TableDef& def) {
  for (size_t c = 0; c < def.columns.size(); ++c) table->columns[c].folding = def.columns[c].folding;
}

void finish_table(Table* table, const TableDef& def, uint32_t* duplicate) {
  assert(table->columns.size() == def.columns.size());
  *duplicate = kNoRow;
  table->key = def.primary_key;
  set_foldings(table, def);
  if (!def.primary_key.empty()) {
    if (!is_sorted(*table)) sort_rows(table);
    table->primary_key.build(table->columns, def.primary_key, table->rows, duplicate);
  }
  table->bytes = memory_of(*table);
}

uint64_t memory_of(const Table& table) {
  uint64_t total = sizeof(Table) + table.primary_key.memory() + table.dead_bits.memory();
  if (table.ordered) total += table.order.memory();
  for (const Column& column : table.columns) total += column.memory();
  return total;
}

uint32_t Link::find_parent(const Table& child, uint32_t row, const Table& parent, bool* whole) const {
  constexpr size_t kFew = 4;
  KeyPart few[kFew];
  std::vector<KeyPart> many(child_key.size() > kFew ? child_key.size() : 0);
  std::vector<std::string> texts;
  const std::span<KeyPart> parts =
      std::span<KeyPart>(many.empty() ? std::span<KeyPart>(few) : std::span<KeyPart>(many))
          .first(child_key.size());
  *whole = read_key(child.columns, child_key, row, parts);
  if (!*whole) return kNoRow;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Storage storage = parent.columns[parent_key[i]].storage;
    if (parts[i].kind == key_class(storage)) continue;
    if (texts.empty()) texts.reserve(parts.size());  // they are borrowed, and must not move
    if (!convert_key(&parts[i], storage, &texts.emplace_back())) return kNoRow;
  }
  if (by_primary_key) return parent.primary_key.find(parent.columns, parent.key, parts);
  uint32_t found = targets.first(parent.columns, parent_key, parts);
  if (found == kNoRow) return kNoRow;
  for (uint32_t next = targets.next(found); next != kNoRow; next = targets.next(next)) {
    if (parent.before(next, found)) found = next;  // of several with one key the first counts
  }
  return found;
}

uint64_t memory_of(const Link& link) {
  uint64_t total = sizeof(Link) + link.to.memory() + link.orphans.memory() + link.targets.memory() +
                   (link.children_of->start.capacity() + link.children_of->rows.capacity()) * 4;
  if (link.changes == 0) return total;
  total += link.changed.memory();
  for (size_t parent = 0; parent < link.changed.size(); ++parent) {
    const auto& list = link.changed.get(parent);
    total += list != nullptr ? list->memory() : 0;
  }
  return total;
}

void gather_children(Link* link, const Table& child, uint32_t parents) {
  auto gathered = std::make_shared<Children>();
  std::vector<uint32_t>& start = gathered->start;
  start.assign(static_cast<size_t>(parents) + 1, 0);
  each_row(child, [&](uint32_t row) {
    if (link->to.get(row) != kNoRow) ++start[link->to.get(row) + 1];
  });
  std::partial_sum(start.begin(), start.end(), start.begin());
  gathered->rows.resize(start.back());
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  each_row(child, [&](uint32_t row) {  // in order, so that each parent's children are too
    const uint32_t to = link->to.get(row);
    if (to != kNoRow) gathered->rows[next[to]++] = row;
  });
  link->children_of = std::move(gathered);
  link->changed = {};
  link->changes = 0;
}

std::shared_ptr<Link> new_link(const ForwardDef& forward, const TableDef& parent_def) {
  auto link = std::make_shared<Link>();
  choose_keys(forward, parent_def, link.get());
  return link;
}

std::shared_ptr<Link> make_link(const Table& child, const ForwardDef& forward, const Table& parent,
                                const TableDef& parent_def) {
  assert(forward.columns.size() == forward.target_columns.size() && !forward.columns.empty());
  const std::shared_ptr<Link> link = new_link(forward, parent_def);
  Edit edit{Edit::new_id()};
  if (!link->by_primary_key) {
    std::vector<KeyPart> parts(link->parent_key.size());
    each_row(parent, [&](uint32_t row) {
      if (read_key(parent.columns, link->parent_key, row, parts))
        link->targets.insert(parent.columns, link->parent_key, row, &edit);
    });
  }
  link->to.grow(child.rows);
  each_row(child, [&](uint32_t row) {
    bool whole = false;
    const uint32_t to = link->find_parent(child, row, parent, &whole);
    if (to != kNoRow) link->to.at(row, &edit) = to;
    if (to == kNoRow && whole) link->orphans.insert(child.columns, link->child_key, row, &edit);
  });
  gather_children(link.get(), child, parent.rows);
  link->bytes = memory_of(*link);
  return link;
}

}  // namespace reflex
