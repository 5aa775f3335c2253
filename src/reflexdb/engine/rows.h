// Which rows a selection starts from, and in which order they are answered.
#pragma once

#include <cstdint>
#include <vector>

#include "plan.h"
#include "store.h"

namespace reflex {

// Rows of the plan's outermost selection that its access path finds, ascending and each once. False: every
// row has to be looked at.
bool candidates(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan,
                std::vector<uint32_t>* out);

// How many rows matter: the limit and what OFFSET skips.
uint64_t rows_wanted(const PlanSelection& selection);

// Puts the rows, given ascending, in the selection's order and cuts those behind its limit. Ties stay in row
// order.
void order_rows(const Table& table, const PlanSelection& selection, std::vector<uint32_t>* rows);

}  // namespace reflex
