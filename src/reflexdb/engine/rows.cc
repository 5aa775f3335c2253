#include "rows.h"

#include <algorithm>
#include <limits>

namespace reflex {

namespace {

// Looks up each key given; a key of several columns is one key, one column may have several.
class KeyLookup {
 public:
  KeyLookup(const Plan& plan, const Table& table, const TableDef& def, Scratch* scratch)
      : operands_(plan.operands),
        access_(plan.root.access),
        table_(table),
        def_(def),
        parts_(scratch->parts),
        converted_(scratch->converted) {
    parts_.resize(def_.primary_key.size());
    converted_.resize(parts_.size());
  }

  size_t keys() const {
    return access_.operands.size() == 1 ? operands_[access_.operands[0]].keys.size() : 1;
  }

  uint32_t find(size_t index) {
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Operand& operand = operands_[access_.operands[i]];
      parts_[i] = operand.keys[parts_.size() == 1 ? index : 0];
      const Storage storage = def_.columns[def_.primary_key[i]].storage;
      if (!convert_key(&parts_[i], storage, &converted_[i])) return kNoRow;
    }
    return table_.primary_key.find(table_.columns, def_.primary_key, parts_);
  }

 private:
  const std::vector<Operand>& operands_;
  const Access& access_;
  const Table& table_;
  const TableDef& def_;
  std::vector<KeyPart>& parts_;
  std::vector<std::string>& converted_;
};

bool parent_rows(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, Ticker* ticker,
                 Scratch* scratch) {
  std::vector<uint32_t>* out = &scratch->rows;
  const uint32_t child = plan.root.table;
  const uint32_t forward = plan.root.access.forward;
  const uint32_t parent = schema.tables[child].forward[forward].target;
  const Link& link = snapshot.link(child, forward);
  KeyLookup lookup(plan, snapshot.table(parent), schema.tables[parent], scratch);
  for (size_t i = 0; i < lookup.keys(); ++i) {
    const uint32_t row = lookup.find(i);
    if (row != kNoRow) {
      const RowRange children = link.children(row);
      if (!ticker->spend(children.size())) return true;
      for (const uint32_t found : children) out->push_back(found);
    } else if (link.dangling()) {
      return false;  // rows may carry this key though no parent does
    }
  }
  if (lookup.keys() > 1 && !ticker->spend_at_once(out->size())) return true;
  sort_unique(snapshot.table(child), out);
  return true;
}

}  // namespace

void sort_unique(const Table& table, std::vector<uint32_t>* rows) {
  if (rows->size() < 2) return;
  if (table.ordered) {
    std::sort(rows->begin(), rows->end(), [&](uint32_t a, uint32_t b) { return table.before(a, b); });
  } else {
    std::sort(rows->begin(), rows->end());
  }
  rows->erase(std::unique(rows->begin(), rows->end()), rows->end());
}

bool candidates(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, Ticker* ticker,
                Scratch* scratch) {
  std::vector<uint32_t>* out = &scratch->rows;
  out->clear();
  const Access& access = plan.root.access;
  if (access.kind == Access::Kind::kScan) return false;
  if (access.kind == Access::Kind::kParent) {
    const bool found = parent_rows(schema, snapshot, plan, ticker, scratch);
    if (!found) out->clear();
    return found;
  }
  KeyLookup lookup(plan, snapshot.table(plan.root.table), schema.tables[plan.root.table], scratch);
  for (size_t i = 0; i < lookup.keys(); ++i) {
    const uint32_t row = lookup.find(i);
    if (row != kNoRow) out->push_back(row);
    if (!ticker->spend(1)) return true;
  }
  sort_unique(snapshot.table(plan.root.table), out);
  return true;
}

uint64_t rows_wanted(const PlanSelection& selection) {
  const uint64_t room = std::numeric_limits<uint64_t>::max() - selection.offset;
  return selection.limit > room ? std::numeric_limits<uint64_t>::max() : selection.limit + selection.offset;
}

bool row_before(const Table& table, const std::vector<OrderKey>& order, uint32_t a, uint32_t b) {
  for (const OrderKey& key : order) {
    const Column& column = table.columns[key.column];
    const bool has_a = column.has(a);
    const bool has_b = column.has(b);
    if (!has_a || !has_b) {
      if (has_a == has_b) continue;
      return has_a != key.nulls_first;
    }
    const int difference = compare_rows(column, a, b);
    if (difference != 0) return (difference < 0) != key.descending;
  }
  return table.before(a, b);
}

void order_rows(const Table& table, const PlanSelection& selection, std::vector<uint32_t>* rows) {
  if (selection.backwards) {
    std::reverse(rows->begin(), rows->end());
    return;
  }
  TopRows::Room room;
  TopRows top(table, selection, &room);
  for (const uint32_t row : *rows) top.add(row);
  top.finish();
  rows->resize(top.size());
  for (size_t i = 0; i < top.size(); ++i) (*rows)[i] = top.row(i);
}

}  // namespace reflex
