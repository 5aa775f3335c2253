#include "store.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace reflex {

namespace {

int compare_keys(const Table& table, std::span<const uint16_t> key, uint32_t a, uint32_t b) {
  for (const uint16_t column : key) {
    const int order = compare_rows(table.columns[column], a, b);
    if (order != 0) return order;
  }
  return 0;
}

bool is_sorted(const Table& table, std::span<const uint16_t> key) {
  for (uint32_t row = 1; row < table.rows; ++row) {
    if (compare_keys(table, key, row - 1, row) > 0) return false;
  }
  return true;
}

// One column at a time, so that at most one is in memory twice.
void sort_rows(Table* table, std::span<const uint16_t> key) {
  std::vector<uint32_t> order(table->rows);
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return compare_keys(*table, key, a, b) < 0; });
  for (Column& column : table->columns) {
    ColumnBuilder builder(column.storage);
    for (const uint32_t row : order) builder.append_row(column, row);
    column = builder.finish();
  }
}

// The child's columns in the order of the parent's primary key, if the relation refers to exactly that key.
bool matches_primary_key(const ForwardDef& forward, const TableDef& parent,
                         std::vector<uint16_t>* child_columns) {
  if (forward.target_columns.size() != parent.primary_key.size()) return false;
  child_columns->clear();
  for (const uint16_t key : parent.primary_key) {
    const auto at = std::find(forward.target_columns.begin(), forward.target_columns.end(), key);
    if (at == forward.target_columns.end()) return false;
    child_columns->push_back(forward.columns[static_cast<size_t>(at - forward.target_columns.begin())]);
  }
  return true;
}

// Looks up one child row's key in the parent; kNoRow where it is null or not there.
class ParentFinder {
 public:
  ParentFinder(const Table& child, const ForwardDef& forward, const Table& parent, const TableDef& parent_def)
      : child_(child), parent_(parent) {
    if (matches_primary_key(forward, parent_def, &columns_)) {
      key_ = parent_def.primary_key;
      index_ = &parent.primary_key;
    } else {
      columns_.assign(forward.columns.begin(), forward.columns.end());
      key_ = forward.target_columns;
      own_.build(parent.columns, key_, parent.rows, nullptr);
      index_ = &own_;
    }
    parts_.resize(key_.size());
    scratch_.resize(key_.size());
  }

  // `*dangling` is set where the key is whole but leads nowhere.
  uint32_t find(uint32_t row, bool* dangling) {
    bool possible = true;
    for (size_t i = 0; i < key_.size(); ++i) {
      const Column& column = child_.columns[columns_[i]];
      if (!column.has(row)) return kNoRow;
      parts_[i] = key_part(column, row);
      possible &= convert_key(&parts_[i], parent_.columns[key_[i]].storage, &scratch_[i]);
    }
    const uint32_t found = possible ? index_->find(parent_.columns, key_, parts_) : kNoRow;
    *dangling |= found == kNoRow;
    return found;
  }

 private:
  const Table& child_;
  const Table& parent_;
  std::vector<uint16_t> columns_;
  std::span<const uint16_t> key_;
  HashIndex own_;  // for relations to a unique key that is not the primary one
  const HashIndex* index_ = nullptr;
  std::vector<KeyPart> parts_;
  std::vector<std::string> scratch_;
};

}  // namespace

void finish_table(Table* table, const TableDef& def, uint32_t* duplicate) {
  assert(table->columns.size() == def.columns.size());
  *duplicate = kNoRow;
  if (!def.primary_key.empty()) {
    if (!is_sorted(*table, def.primary_key)) sort_rows(table, def.primary_key);
    table->primary_key.build(table->columns, def.primary_key, table->rows, duplicate);
  }
  table->bytes = sizeof(Table) + table->primary_key.memory();
  for (const Column& column : table->columns) table->bytes += column.memory();
}

std::shared_ptr<const Link> make_link(const Table& child, const ForwardDef& forward, const Table& parent,
                                      const TableDef& parent_def) {
  assert(forward.columns.size() == forward.target_columns.size() && !forward.columns.empty());
  auto link = std::make_shared<Link>();
  link->to.resize(child.rows);
  link->start.assign(static_cast<size_t>(parent.rows) + 1, 0);
  ParentFinder finder(child, forward, parent, parent_def);
  for (uint32_t row = 0; row < child.rows; ++row) {
    const uint32_t to = finder.find(row, &link->dangling);
    link->to[row] = to;
    if (to != kNoRow) ++link->start[to + 1];
  }
  std::partial_sum(link->start.begin(), link->start.end(), link->start.begin());
  link->from.resize(link->start.back());
  std::vector<uint32_t> next(link->start.begin(), link->start.end() - 1);
  for (uint32_t row = 0; row < child.rows; ++row) {  // in row order, so that each parent's children are too
    if (link->to[row] != kNoRow) link->from[next[link->to[row]]++] = row;
  }
  link->bytes = sizeof(Link) + (link->to.capacity() + link->start.capacity() + link->from.capacity()) * 4;
  return link;
}

}  // namespace reflex
