// Rows folded into groups, or into one: what a selection with aggregates answers. Belongs to one query.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "aggregate.h"
#include "filter.h"
#include "plan.h"
#include "store.h"

namespace reflex {

// Is `value` of `plan` among what `operand` allows?
bool holds(Filter* filter, const Operand& operand, bool negated, const PlanAggregate& plan,
           const Table& table, const AggregateValue& value);

class Groups {
 public:
  // Without GROUP BY there is one group, even of no rows.
  Groups(const PlanGrouping& plan, const Snapshot& snapshot, uint32_t table);

  void add(uint32_t row);
  // Requires: the plan's only_counts().
  void add_many(uint64_t rows);
  size_t size() const { return groups_.size(); }

  // Which groups are answered, in their order, HAVING applied. Call once, after the last row.
  std::vector<uint32_t> finish(Filter* filter, const std::vector<Operand>& operands, Ticker* ticker);
  void write(uint32_t group, Writer* writer) const;

  // One of the group's rows, and the value of one of its aggregates. Requires: after finish().
  uint32_t row(uint32_t group) const { return groups_[group].row; }
  const AggregateValue& aggregate(uint32_t group, uint32_t index) const {
    return groups_[group].values[index];
  }
  // Where the values of a column that rows are grouped by stand, and the place of a row's value there, or
  // kNoRow.
  const Column& values(const GroupColumn& column) const;
  uint32_t place(const GroupColumn& column, uint32_t row) const;

 private:
  struct Group {
    uint32_t row = 0;  // any of its rows; they agree in the grouping's columns
    std::vector<Accumulator> accumulators;
    std::vector<AggregateValue> values;
  };

  Group& group_of(uint32_t row);
  bool test(const GroupPred& pred, const Group& group, Filter* filter,
            const std::vector<Operand>& operands) const;
  bool before(uint32_t a, uint32_t b) const;

  const PlanGrouping& plan_;
  const Snapshot& snapshot_;
  const Table& table_;
  std::vector<Group> groups_;
  std::unordered_map<std::string, uint32_t> by_key_;
  std::string key_;
};

}  // namespace reflex
