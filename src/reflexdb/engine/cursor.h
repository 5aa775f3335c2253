// Where a page ended: the values of the order's columns and of the primary key in its last row, as opaque
// text.
//
// A cursor holds values, not row numbers, so it stays good while rows come and go. It is bound to the query's
// condition and order; what is wrong with one from elsewhere is found when it is read. It grants nothing: it
// says only where to start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan.h"
#include "store.h"

namespace reflex {

// The columns that order a selection's rows totally. Requires: the table has a primary key.
std::vector<OrderKey> page_keys(const TableDef& table, const PlanSelection& selection);

// The cursor behind `row`.
std::string write_cursor(const Table& table, const PlanPage& page, uint32_t row);

// The URL's parameter that leads to the page behind `row`: `after=CURSOR`. Empty where the query has no place
// for one.
std::string next_parameter(const Table& table, const PlanPage& page, uint32_t row);

// Fills `page->after`. False: not a cursor of this query.
bool read_cursor(const TableDef& table, std::string_view text, PlanPage* page);

// Does `row` come behind the cursor?
bool is_after(const Table& table, const PlanPage& page, uint32_t row);

}  // namespace reflex
