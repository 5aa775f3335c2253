#include "group.h"

#include <algorithm>
#include <cstring>

#include "emit.h"
#include "key.h"
#include "ordered_text.h"

namespace reflex {

namespace {

// Equal values, equal bytes; values of one group's columns stand one behind the other.
void append_key(const Column& column, uint32_t row, std::string* out) {
  if (row == kNoRow || !is_known(column, row)) {
    out->push_back('\0');
    return;
  }
  out->push_back('\1');
  const KeyPart part = key_part(column, row);
  if (part.kind == KeyClass::kInteger || part.kind == KeyClass::kFloat) {
    char bytes[sizeof(part.integer)];
    std::memcpy(bytes, &part.integer, sizeof(bytes));
    out->append(bytes, sizeof(bytes));
    return;
  }
  std::string scratch;
  std::string_view text = part.bytes;
  if (part.kind == KeyClass::kDecimal) {
    Decimal value;
    parse_decimal(part.bytes, &value);
    scratch = canonical(value);
    text = scratch;
  } else if (is_ordered_text(column.storage)) {
    scratch = ordered_key(column.storage, part.bytes);
    text = scratch;
  }
  const uint64_t size = text.size();
  char bytes[sizeof(size)];
  std::memcpy(bytes, &size, sizeof(bytes));
  out->append(bytes, sizeof(bytes)).append(text);
}

}  // namespace

bool holds(Filter* filter, const Operand& operand, bool negated, const PlanAggregate& plan,
           const Table& table, const AggregateValue& value) {
  if (operand.kind == Operand::Kind::kNull) return (value.kind != AggregateValue::Kind::kNull) == negated;
  switch (value.kind) {
    case AggregateValue::Kind::kNull:
      return false;
    case AggregateValue::Kind::kRow:
      return filter->holds(operand, negated, table.columns[plan.column], value.row);
    case AggregateValue::Kind::kFloat:
      return float_holds(operand, value.number) != negated;
    default:
      return in_decimals(operand, exact_text(value)) != negated;
  }
}

Groups::Groups(const PlanGrouping& plan, const Snapshot& snapshot, uint32_t table)
    : plan_(plan), snapshot_(snapshot), table_(snapshot.table(table)) {
  if (!plan_.grouped) groups_.push_back({0, std::vector<Accumulator>(plan_.aggregates.size()), {}});
}

const Column& Groups::values(const GroupColumn& column) const {
  return snapshot_.table(column.table).columns[column.column];
}

uint32_t Groups::place(const GroupColumn& column, uint32_t row) const {
  for (const Step& step : column.path) {
    row = snapshot_.link(step.child, step.forward).to.get(row);
    if (row == kNoRow) return row;
  }
  return row;
}

Groups::Group& Groups::group_of(uint32_t row) {
  if (!plan_.grouped) return groups_[0];
  key_.clear();
  for (const GroupColumn& column : plan_.columns) append_key(values(column), place(column, row), &key_);
  const auto [found, added] = by_key_.try_emplace(key_, static_cast<uint32_t>(groups_.size()));
  if (added) groups_.push_back({row, std::vector<Accumulator>(plan_.aggregates.size()), {}});
  return groups_[found->second];
}

void Groups::add(uint32_t row) {
  Group& group = group_of(row);
  for (size_t i = 0; i < plan_.aggregates.size(); ++i) {
    group.accumulators[i].add(plan_.aggregates[i], table_, row);
  }
}

void Groups::add_many(uint64_t rows) {
  for (Accumulator& accumulator : groups_[0].accumulators) accumulator.add_many(rows);
}

std::vector<uint32_t> Groups::finish(Filter* filter, const std::vector<Operand>& operands, Ticker* ticker) {
  std::vector<uint32_t> kept;
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    if (!ticker->spend(1)) return kept;
    Group& group = groups_[g];
    for (size_t i = 0; i < plan_.aggregates.size(); ++i) {
      group.values.push_back(group.accumulators[i].value(plan_.aggregates[i]));
    }
    if (!plan_.has_having || test(plan_.having, group, filter, operands)) kept.push_back(g);
  }
  if (!ticker->spend_at_once(kept.size())) return kept;
  std::sort(kept.begin(), kept.end(), [this](uint32_t a, uint32_t b) { return before(a, b); });
  return kept;
}

bool Groups::test(const GroupPred& pred, const Group& group, Filter* filter,
                  const std::vector<Operand>& operands) const {
  const auto one = [&](const GroupPred& kid) { return test(kid, group, filter, operands); };
  switch (pred.kind) {
    case Pred::Kind::kAnd:
      return std::all_of(pred.kids.begin(), pred.kids.end(), one);
    case Pred::Kind::kOr:
      return std::any_of(pred.kids.begin(), pred.kids.end(), one);
    default:
      break;
  }
  const Operand& operand = operands[pred.operand];
  if (!pred.of_aggregate) {
    const GroupColumn& column = plan_.columns[pred.index];
    const uint32_t row = place(column, group.row);
    if (row == kNoRow) return operand.kind == Operand::Kind::kNull && !pred.negated;
    return filter->holds(operand, pred.negated, values(column), row);
  }
  return reflex::holds(filter, operand, pred.negated, plan_.aggregates[pred.index], table_,
                       group.values[pred.index]);
}

bool Groups::before(uint32_t a, uint32_t b) const {
  for (const PlanGrouping::Key& key : plan_.order) {
    const Group& x = groups_[a];
    const Group& y = groups_[b];
    bool has_x = false;
    bool has_y = false;
    uint32_t at_x = 0;
    uint32_t at_y = 0;
    if (key.of_aggregate) {
      has_x = x.values[key.index].kind != AggregateValue::Kind::kNull;
      has_y = y.values[key.index].kind != AggregateValue::Kind::kNull;
    } else {
      const GroupColumn& column = plan_.columns[key.index];
      at_x = place(column, x.row);
      at_y = place(column, y.row);
      has_x = at_x != kNoRow && is_known(values(column), at_x);
      has_y = at_y != kNoRow && is_known(values(column), at_y);
    }
    if (!has_x || !has_y) {
      if (has_x == has_y) continue;
      return has_x != key.nulls_first;
    }
    const int order = key.of_aggregate ? compare_values(plan_.aggregates[key.index], table_,
                                                        x.values[key.index], y.values[key.index])
                                       : compare_rows(values(plan_.columns[key.index]), at_x, at_y);
    if (order != 0) return (order < 0) != key.descending;
  }
  return false;
}

void Groups::write(uint32_t group, Writer* writer) const {
  const Group& from = groups_[group];
  for (const PlanGrouping::Key& field : plan_.fields) {
    writer->put(field.key);
    if (field.of_aggregate) {
      emit_aggregate(plan_.aggregates[field.index], table_, from.values[field.index], writer);
    } else {
      const GroupColumn& column = plan_.columns[field.index];
      const uint32_t row = place(column, from.row);
      if (row == kNoRow) {
        writer->put("null");
      } else {
        emit_value(values(column), row, writer);
      }
    }
  }
  writer->put('}');
}

}  // namespace reflex
