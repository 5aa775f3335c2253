#include "order_related.h"

#include <algorithm>
#include <numeric>

#include "hash_index.h"
#include "through.h"

namespace reflex {

namespace {

using Kind = AggregateValue::Kind;

AggregateValue key_value(const Snapshot& snapshot, const RelatedKey& key, uint32_t row, Ticker* ticker) {
  for (const Step& step : key.path) {
    row = snapshot.link(step.child, step.forward).to.get(row);
    if (row == kNoRow) return {};
  }
  if (key.of_aggregate) return related_value(snapshot, key.step, key.aggregate, row, ticker);
  AggregateValue value;
  value.kind = Kind::kRow;
  value.row = row;
  return value;
}

// The table that a key's values stand in.
uint32_t table_of(const RelatedKey& key, uint32_t from) {
  if (key.of_aggregate) return key.step.to;
  return key.path.empty() ? from : key.path.back().to;
}

}  // namespace

AggregateValue related_value(const Snapshot& snapshot, const Step& step, const PlanAggregate& plan,
                             uint32_t parent, Ticker* ticker) {
  const Table& table = snapshot.table(step.to);
  std::vector<uint32_t> joined;
  if (step.through) rows_through(snapshot, step, parent, &joined);
  const RowRange children =
      step.through ? RowRange(joined) : snapshot.link(step.child, step.forward).children(parent);
  if (!plan.has_column) {
    AggregateValue count;
    count.kind = Kind::kInteger;
    count.integer = children.size();
    return count;
  }
  Accumulator accumulator;
  for (const uint32_t row : children) {
    if (!ticker->spend(1)) return {};
    accumulator.add(plan, table, row);
  }
  return accumulator.value(plan);
}

void order_related(const Snapshot& snapshot, uint32_t table, const std::vector<RelatedKey>& keys,
                   uint64_t wanted, Ticker* ticker, std::vector<uint32_t>* rows) {
  std::vector<AggregateValue> values;  // row by row
  values.reserve(rows->size() * keys.size());
  for (const uint32_t row : *rows) {
    for (const RelatedKey& key : keys) {
      if (!ticker->spend(1)) return;
      AggregateValue value = key_value(snapshot, key, row, ticker);
      if (value.kind == Kind::kRow &&
          !snapshot.table(table_of(key, table)).columns[key.aggregate.column].has(value.row)) {
        value.kind = Kind::kNull;
      }
      values.push_back(std::move(value));
    }
  }
  const auto before = [&](size_t a, size_t b) {
    for (size_t k = 0; k < keys.size(); ++k) {
      const RelatedKey& key = keys[k];
      const AggregateValue& x = values[a * keys.size() + k];
      const AggregateValue& y = values[b * keys.size() + k];
      const bool has_x = x.kind != Kind::kNull;
      const bool has_y = y.kind != Kind::kNull;
      if (!has_x || !has_y) {
        if (has_x == has_y) continue;
        return has_x != key.nulls_first;
      }
      const int order = compare_values(key.aggregate, snapshot.table(table_of(key, table)), x, y);
      if (order != 0) return (order < 0) != key.descending;
    }
    return a < b;
  };
  if (ticker->expired() || !ticker->spend_at_once(rows->size())) return;
  std::vector<size_t> places(rows->size());
  std::iota(places.begin(), places.end(), size_t{0});
  const size_t end = std::min<uint64_t>(wanted, places.size());
  std::partial_sort(places.begin(), places.begin() + static_cast<ptrdiff_t>(end), places.end(), before);
  std::vector<uint32_t> sorted(end);
  std::transform(places.begin(), places.begin() + static_cast<ptrdiff_t>(end), sorted.begin(),
                 [&](size_t place) { return (*rows)[place]; });
  *rows = std::move(sorted);
}

}  // namespace reflex
