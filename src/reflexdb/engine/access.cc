#include "access.h"

#include <algorithm>
#include <cstdint>
#include <span>

namespace reflex {

namespace {

// The conditions that every matching row must meet: the predicate itself or the parts of an outermost AND.
std::span<const Pred> required(const PlanSelection& selection) {
  if (!selection.filtered) return {};
  if (selection.where.kind == Pred::Kind::kAnd) return selection.where.kids;
  return {&selection.where, 1};
}

// One `=` or IN per column, in the columns' order; a key of several columns takes `=` only.
bool keyed(std::span<const Pred> conditions, const std::vector<Operand>& operands,
           std::span<const uint16_t> columns, std::vector<uint32_t>* out) {
  out->clear();
  for (const uint16_t column : columns) {
    const auto usable = [&](const Pred& pred) {
      if (pred.kind != Pred::Kind::kTest || pred.negated || pred.column != column) return false;
      const Operand& operand = operands[pred.operand];
      return operand.equality && !operand.keys.empty() && (columns.size() == 1 || operand.keys.size() == 1);
    };
    const auto found = std::find_if(conditions.begin(), conditions.end(), usable);
    if (found == conditions.end()) return false;
    out->push_back(found->operand);
  }
  return !columns.empty();
}

}  // namespace

void choose_access(const SchemaDef& schema, const std::vector<Operand>& operands, PlanSelection* selection) {
  const TableDef& table = schema.tables[selection->table];
  const std::span<const Pred> conditions = required(*selection);
  Access& access = selection->access;
  if (keyed(conditions, operands, table.primary_key, &access.operands)) {
    access.kind = Access::Kind::kKey;
    access.exact = conditions.size() == access.operands.size();
    return;
  }
  for (size_t f = 0; f < table.forward.size(); ++f) {
    const ForwardDef& forward = table.forward[f];
    const TableDef& parent = schema.tables[forward.target];
    std::vector<uint16_t> columns;  // in the order of the parent's key
    for (const uint16_t key : parent.primary_key) {
      const auto at = std::find(forward.target_columns.begin(), forward.target_columns.end(), key);
      if (at != forward.target_columns.end()) {
        columns.push_back(forward.columns[static_cast<size_t>(at - forward.target_columns.begin())]);
      }
    }
    if (columns.size() != parent.primary_key.size() || columns.size() != forward.target_columns.size())
      continue;
    if (!keyed(conditions, operands, columns, &access.operands)) continue;
    access.kind = Access::Kind::kParent;
    access.forward = static_cast<uint32_t>(f);
    access.exact = conditions.size() == access.operands.size();
    return;
  }
  access.operands.clear();
}

}  // namespace reflex
