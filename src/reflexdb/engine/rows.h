// Which rows a selection starts from, and in which order they are answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan.h"
#include "shown.h"
#include "store.h"
#include "ticker.h"
#include "top_rows.h"

namespace reflex {

// Room that a loop's queries use one after the other, so that a small query allocates nothing.
struct Scratch {
  static constexpr size_t kKeptRows = 64 << 10;

  std::vector<uint32_t> rows;
  std::vector<KeyPart> parts;
  std::vector<std::string> converted;
  ShownRoom shown;
  TopRows::Room top;

  void trim() {
    if (rows.capacity() > kKeptRows) std::vector<uint32_t>().swap(rows);
    if (top.capacity() > kKeptRows) TopRows::Room().swap(top);
  }
};

// Fills `scratch->rows` with the rows of the plan's outermost selection that its access path finds, in the
// table's order and each once. False: every row has to be looked at, and there are none in `scratch->rows`.
// Stops early where the ticker's time is over.
bool candidates(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, Ticker* ticker,
                Scratch* scratch);

// Puts rows in the table's order, each once.
void sort_unique(const Table& table, std::vector<uint32_t>* rows);

// How many rows matter: the limit and what OFFSET skips.
uint64_t rows_wanted(const PlanSelection& selection);

// Puts the rows, given in the table's order, in the selection's order and cuts those behind its limit.
void order_rows(const Table& table, const PlanSelection& selection, std::vector<uint32_t>* rows);

// Does row `a` come before row `b`? Ties are in the table's order.
bool row_before(const Table& table, const std::vector<OrderKey>& order, uint32_t a, uint32_t b);

}  // namespace reflex
