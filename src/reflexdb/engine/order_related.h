// Order by what stands in other tables: a parent's column, or an aggregate of related rows.
#pragma once

#include <cstdint>
#include <vector>

#include "aggregate.h"
#include "filter.h"
#include "plan.h"
#include "store.h"

namespace reflex {

// The aggregate's value over the rows that `parent` has along `step`. Null once time is over.
AggregateValue related_value(const Snapshot& snapshot, const Step& step, const PlanAggregate& plan,
                             uint32_t parent, Ticker* ticker);

// Puts the rows, given in the table's order, in the order of `keys` and cuts those behind `wanted`; ties stay
// in row order.
void order_related(const Snapshot& snapshot, uint32_t table, const std::vector<RelatedKey>& keys,
                   uint64_t wanted, Ticker* ticker, std::vector<uint32_t>* rows);

}  // namespace reflex
