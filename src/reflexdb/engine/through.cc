#include "through.h"

#include <algorithm>

#include "rows.h"

namespace reflex {

namespace {

bool has_column(const TableDef& table, std::string_view name) {
  const auto called = [name](const ColumnDef& column) { return column.visible && column.name == name; };
  return std::ranges::any_of(table.columns, called);
}

// Two keys, and no column that is in neither.
bool joins(const TableDef& table) {
  if (table.forward.size() != 2) return false;
  const auto in = [](const ForwardDef& forward, size_t column) {
    return std::ranges::find(forward.columns, column) != forward.columns.end();
  };
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (!in(table.forward[0], i) && !in(table.forward[1], i)) return false;
  }
  return true;
}

bool is_published(const TableDef& table, std::string_view name) {
  const auto called = [name](const auto& relation) {
    return relation.name == name || std::ranges::find(relation.also, name) != relation.also.end();
  };
  return std::ranges::any_of(table.forward, called) || std::ranges::any_of(table.reverse, called);
}

}  // namespace

std::vector<Through> through_relations(const SchemaDef& schema, uint32_t table) {
  std::vector<Through> found;
  const TableDef& from = schema.tables[table];
  for (const ReverseDef& reverse : from.reverse) {
    const TableDef& joining = schema.tables[reverse.child];
    if (!joins(joining)) continue;
    const uint32_t onward = 1u - reverse.forward;
    if (!joining.forward[onward].visible) continue;
    const Step step{true, reverse.child, reverse.forward, joining.forward[onward].target, true, onward};
    found.push_back({std::string(schema.tables[step.to].name), step});
  }
  std::vector<Through> named;
  for (const Through& one : found) {
    const auto leads_there = [&one](const Through& other) { return other.step.to == one.step.to; };
    std::string name = one.name;
    if (std::ranges::count_if(found, leads_there) > 1 || has_column(from, one.name)) {
      const TableDef& joining = schema.tables[one.step.child];
      name += "_by_";
      name += one.step.to == table ? joining.forward[one.step.forward].name : joining.name;
    }
    named.push_back({std::move(name), one.step});
  }
  std::erase_if(
      named, [&](const Through& one) { return is_published(from, one.name) || has_column(from, one.name); });
  std::vector<Through> clear;
  for (const Through& one : named) {
    const auto same = [&one](const Through& other) { return other.name == one.name; };
    if (std::ranges::count_if(named, same) == 1) clear.push_back(one);
  }
  return clear;
}

void rows_through(const Snapshot& snapshot, const Step& step, uint32_t parent, std::vector<uint32_t>* out) {
  out->clear();
  const Link& onward = snapshot.link(step.child, step.onward);
  for (const uint32_t row : snapshot.link(step.child, step.forward).children(parent)) {
    const uint32_t to = onward.to.get(row);
    if (to != kNoRow) out->push_back(to);
  }
  sort_unique(snapshot.table(step.to), out);
}

void mark_joined(const Snapshot& snapshot, const Step& step, const std::vector<uint64_t>& hits,
                 std::vector<uint64_t>* parents) {
  const Link& back = snapshot.link(step.child, step.forward);
  const Link& onward = snapshot.link(step.child, step.onward);
  each_row(snapshot.table(step.child), [&](uint32_t row) {
    const uint32_t to = onward.to.get(row);
    const uint32_t parent = back.to.get(row);
    if (to == kNoRow || parent == kNoRow || ((hits[to >> 6] >> (to & 63)) & 1) == 0) return;
    (*parents)[parent >> 6] |= uint64_t{1} << (parent & 63);
  });
}

}  // namespace reflex
