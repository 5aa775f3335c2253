#include "shown.h"

#include <algorithm>
#include <cassert>

namespace reflex {

namespace {

void fetch(const void* address) { __builtin_prefetch(address); }

// Are values of this column numbers that the primary key's index counts up?
bool is_counted(const Table& table, uint32_t column) {
  if (table.key.size() != 1 || table.key[0] != column || !table.primary_key.is_counted()) return false;
  switch (table.columns[column].storage) {
    case Storage::kI16:
    case Storage::kI32:
    case Storage::kI64:
    case Storage::kU64:
      return true;
    default:
      return false;  // dates are integers too
  }
}

}  // namespace

uint32_t Shown::add(const PlanSelection& selection) {
  const auto number = static_cast<uint32_t>(selections_.size());
  const auto first = static_cast<uint32_t>(fields_.size());
  const Table& table = snapshot_.table(selection.table);
  selections_.push_back(
      {&selection, &table, first, static_cast<uint32_t>(selection.fields.size()), 0, false});
  bool only_columns = true;
  for (const PlanField& plan : selection.fields) {
    ShownField field;
    field.kind = plan.kind;
    field.plan = &plan;
    field.key_size = static_cast<uint32_t>(plan.key.size());
    std::memset(field.key, 0, sizeof(field.key));
    std::memcpy(field.key, plan.key.data(), std::min(plan.key.size(), sizeof(field.key)));
    if (plan.kind == PlanField::Kind::kColumn) {
      field.column = &table.columns[plan.column];
      field.storage = field.column->storage;
      if (is_counted(table, plan.column)) field.counted = &table.primary_key;
    } else {
      field.link = &snapshot_.link(plan.step.child, plan.step.forward);
      only_columns = false;
    }
    fields_.push_back(field);
    if (only_columns) ++selections_[number].columns;
  }
  selections_[number].nested = !only_columns;
  for (size_t i = 0; i < selection.fields.size(); ++i) {
    if (selection.fields[i].kind == PlanField::Kind::kColumn) continue;
    const uint32_t below = add(*selection.fields[i].selection);
    fields_[first + i].selection = below;
  }
  return number;
}

char* Shown::write_key(const ShownField& field, char* at, Writer* writer) {
  at = writer->room(at);
  if (field.key_size <= ShownField::kShortKey) [[likely]] {
    std::memcpy(at, field.key, ShownField::kShortKey);
    return at + field.key_size;
  }
  writer->advance(at);
  writer->put(field.plan->key);
  return writer->open();
}

char* Shown::write_columns(std::span<const ShownField> fields, uint32_t row, char* at, Writer* writer) {
  static_assert(ShownField::kShortKey + kValueRoom <= Writer::kRoom);
  for (const ShownField& field : fields) {
    at = write_key(field, at, writer);
    if (Int128 key = 0; field.counted != nullptr && field.counted->count_key(row, &key)) {
      at = write_integer_value(key, at);
    } else {
      at = write_value(field.column->cell(row), field.storage, at, writer);
    }
  }
  return at;
}

void Shown::warm_values(const ShownSelection& selection, std::span<const uint32_t> rows) {
  for (const ShownField& field : fields(selection)) {
    if (field.kind == PlanField::Kind::kForward) {
      for (const uint32_t row : rows) fetch(field.link->to.place(row));
    } else if (field.kind == PlanField::Kind::kReverse) {
      for (const uint32_t row : rows) fetch(field.link->loaded_start(row));
    } else if (field.counted == nullptr) {
      fetch_places(*field.column, rows);
    }
  }
  for (const ShownField& field : fields(selection)) {
    if (field.kind == PlanField::Kind::kReverse) {
      for (const uint32_t row : rows) fetch(field.link->loaded_children(row).data());
    } else if (field.kind == PlanField::Kind::kColumn && fixed_width(field.storage) == 0) {
      fetch_texts(*field.column, rows);
    }
  }
}

void Shown::warm_related(const ShownField& field, std::span<const uint32_t> rows) {
  const ShownSelection& below = at(field.selection);
  // Aggregates read columns of their own, and behind a joining table other rows are shown than the link has.
  if (below.count == 0 || field.plan->step.through) return;
  uint32_t found[kWarmKids];
  uint32_t count = 0;
  for (const uint32_t row : rows) {
    if (field.kind == PlanField::Kind::kForward) {
      const uint32_t to = field.link->to.get(row);
      if (to != kNoRow && count < kWarmKids) found[count++] = to;
      continue;
    }
    const std::span<const uint32_t> kids = field.link->loaded_children(row);
    for (size_t i = 0; i < kids.size() && count < kWarmKids; ++i) found[count++] = kids[i];
  }
  if (count != 0) warm(below, {found, count});
}

void Shown::warm(const ShownSelection& selection, std::span<const uint32_t> rows) {
  assert(rows.size() <= kWarmKids);
  warm_values(selection, rows);
  if (!selection.nested) return;
  for (const ShownField& field : fields(selection)) {
    if (field.kind != PlanField::Kind::kColumn) warm_related(field, rows);
  }
}

}  // namespace reflex
