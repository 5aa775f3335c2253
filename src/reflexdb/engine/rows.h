// Which rows a selection starts from, and in which order they are answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan.h"
#include "store.h"

namespace reflex {

// Room that a loop's queries use one after the other, so that a small query allocates nothing.
struct Scratch {
  static constexpr size_t kKeptRows = 64 << 10;

  std::vector<uint32_t> rows;
  std::vector<KeyPart> parts;
  std::vector<std::string> converted;

  void trim() {
    if (rows.capacity() > kKeptRows) std::vector<uint32_t>().swap(rows);
  }
};

// Fills `scratch->rows` with the rows of the plan's outermost selection that its access path finds, in the
// table's order and each once. False: every row has to be looked at, and there are none in `scratch->rows`.
bool candidates(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, Scratch* scratch);

// Puts rows in the table's order, each once.
void sort_unique(const Table& table, std::vector<uint32_t>* rows);

// How many rows matter: the limit and what OFFSET skips.
uint64_t rows_wanted(const PlanSelection& selection);

// Puts the rows, given in the table's order, in the selection's order and cuts those behind its limit. Ties
// stay in the table's order.
void order_rows(const Table& table, const PlanSelection& selection, std::vector<uint32_t>* rows);

}  // namespace reflex
