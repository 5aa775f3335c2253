// What a query shows, resolved against one snapshot before its first row: for every field the column or the
// link it comes from, so that a row costs no look-up by name or number.
//
// A Shown belongs to one query in one thread and borrows snapshot, plan and room. The room is reused from
// query to query, so that a small one allocates nothing.
//
// Rows of a nested answer lie all over the memory, and reading them one by one means waiting for one cache
// line after the other. `warm` asks for the lines of many rows at once, level by level, before they are
// written; it changes nothing but time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "emit.h"
#include "json_out.h"
#include "plan.h"
#include "store.h"

namespace reflex {

// One field of a selection.
struct ShownField {
  static constexpr size_t kShortKey = 32;

  char key[kShortKey];    // the first bytes of the plan's key, ready to be copied whole
  uint32_t key_size = 0;  // of all of it
  PlanField::Kind kind = PlanField::Kind::kColumn;
  Storage storage = Storage::kBool;
  const Column* column = nullptr;      // kColumn
  const HashIndex* counted = nullptr;  // that may know the column's value without it; null: none does
  const Link* link = nullptr;          // relations
  uint32_t selection = 0;              // relations: the place of what it leads to
  const PlanField* plan = nullptr;
};

// A selection and its fields.
struct ShownSelection {
  const PlanSelection* plan = nullptr;
  const Table* table = nullptr;
  uint32_t first = 0;  // field
  uint32_t count = 0;
  uint32_t columns = 0;  // how many of the first fields are columns
  bool nested = false;   // has relations
};

struct ShownRoom {
  std::vector<ShownField> fields;
  std::vector<ShownSelection> selections;
};

class Shown {
 public:
  static constexpr uint32_t kWarmRows = 8;    // of the outermost selection at once
  static constexpr uint32_t kWarmKids = 128;  // of a selection below

  Shown(const Snapshot& snapshot, const PlanSelection& root, ShownRoom* room)
      : snapshot_(snapshot), fields_(room->fields), selections_(room->selections) {
    fields_.clear();
    selections_.clear();
    add(root);
  }

  const ShownSelection& root() const { return selections_[0]; }
  const ShownSelection& at(uint32_t selection) const { return selections_[selection]; }
  std::span<const ShownField> fields(const ShownSelection& of) const {
    return std::span<const ShownField>(fields_).subspan(of.first, of.count);
  }

  // Writes the keys and values of `fields`, all columns, from the writer's place `at` on.
  static char* write_columns(std::span<const ShownField> fields, uint32_t row, char* at, Writer* writer);
  static char* write_key(const ShownField& field, char* at, Writer* writer);

  // Asks for the memory that `rows`, at most kWarmKids, and what is shown below them will be written from.
  void warm(const ShownSelection& selection, std::span<const uint32_t> rows);

 private:
  uint32_t add(const PlanSelection& selection);
  void warm_values(const ShownSelection& selection, std::span<const uint32_t> rows);
  void warm_related(const ShownField& field, std::span<const uint32_t> rows);

  const Snapshot& snapshot_;
  std::vector<ShownField>& fields_;
  std::vector<ShownSelection>& selections_;
};

}  // namespace reflex
