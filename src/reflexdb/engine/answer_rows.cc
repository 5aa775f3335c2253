#include "answer_rows.h"

#include <algorithm>
#include <bit>
#include <ranges>
#include <utility>

#include "cursor.h"
#include "order_related.h"

namespace reflex {

namespace {

constexpr size_t kBatch = 1024;

}  // namespace

AnswerRows::AnswerRows(const SchemaDef& schema, SnapshotPtr snapshot, std::unique_ptr<const ast::Query> query,
                       std::unique_ptr<Plan> plan, const Limits& limits, Patience patience)
    : schema_(schema),
      snapshot_(std::move(snapshot)),
      query_(std::move(query)),
      plan_(std::move(plan)),
      limits_(limits),
      patience_(patience),
      table_(snapshot_->table(plan_->root.table)),
      ticker_(limits.max_query_ms),
      filter_(*snapshot_, plan_->operands, &ticker_),
      skip_(plan_->root.offset),
      left_(plan_->root.limit) {}

AnswerRows::~AnswerRows() = default;

bool AnswerRows::check() {
  if (error_.ok() && ticker_.impatient()) {
    error_ = takes_longer();
  } else if (error_.ok() && ticker_.expired()) {
    error_ = limit_error("The query took longer than the " + std::to_string(limits_.max_query_ms) +
                         " ms allowed.");
  }
  return error_.ok();
}

bool AnswerRows::next(std::vector<uint32_t>* rows) {
  rows->clear();
  ticker_ = Ticker(limits_.max_query_ms, std::exchange(patience_, {}));
  if (!std::exchange(begun_, true)) begin();
  if (!check()) return false;
  if (listed_) {
    const size_t end = std::min(list_.size(), at_ + kBatch);
    rows->assign(list_.begin() + static_cast<std::ptrdiff_t>(at_),
                 list_.begin() + static_cast<std::ptrdiff_t>(end));
    at_ = end;
    return !rows->empty();
  }
  if (left_ == 0 || at_ >= table_.rows) return false;
  scan(rows);
  if (!check()) return false;
  cut(rows);
  return true;
}

void AnswerRows::begin() {
  const PlanSelection& root = plan_->root;
  if (root.grouping != nullptr) return begin_groups();
  if (root.page != nullptr || !root.in_row_order() || root.access.kind != Access::Kind::kScan)
    return begin_list();
  if (table_.ordered) order_ = std::make_unique<RowRange::Iterator>(RowRange(table_.order).begin());
}

// As many rows as are wanted, in the order they are wanted.
void AnswerRows::begin_list() {
  listed_ = true;
  const PlanSelection& root = plan_->root;
  if (left_ == 0) return;
  const bool paged = root.page != nullptr && root.page->has_after;
  const bool found = candidates(schema_, *snapshot_, *plan_, &ticker_, &scratch_);
  const bool tested = !root.filtered || (found && root.access.exact);
  const uint64_t wanted = root.in_row_order() ? rows_wanted(root) : table_.rows;
  const auto keep = [&](uint32_t row) {
    if (list_.size() >= wanted || !ticker_.spend(1)) return;
    if (paged && !is_after(table_, *root.page, row)) return;
    if (tested || filter_.test(root.where, table_, row)) list_.push_back(row);
  };
  if (found) {
    std::ranges::for_each(scratch_.rows, keep);
  } else {
    each_row(table_, keep);
  }
  if (!check()) return;
  if (!root.related_order.empty()) {
    order_related(*snapshot_, root.table, root.related_order, rows_wanted(root), &ticker_, &list_);
  } else if (!root.in_row_order()) {
    if (!ticker_.spend_at_once(list_.size())) return;
    order_rows(table_, root, &list_);
  }
  cut(&list_);
  if (root.page != nullptr && list_.size() == root.limit) {
    next_page_ = next_parameter(table_, *root.page, list_.back());
  }
}

void AnswerRows::begin_groups() {
  listed_ = true;
  const PlanSelection& root = plan_->root;
  groups_ = std::make_unique<Groups>(*root.grouping, *snapshot_, root.table);
  const bool found = candidates(schema_, *snapshot_, *plan_, &ticker_, &scratch_);
  const bool tested = !root.filtered || (found && root.access.exact);
  const auto add = [&](uint32_t row) {
    if (!error_.ok() || !ticker_.spend(1)) return;
    if (!tested && !filter_.test(root.where, table_, row)) return;
    groups_->add(row);
    if (groups_->size() > limits_.max_rows) {
      error_ = limit_error("The answer has more than the " + std::to_string(limits_.max_rows) +
                           " groups allowed; narrow the filter.");
    }
  };
  if (found) {
    std::ranges::for_each(scratch_.rows, add);
  } else {
    each_row(table_, add);
  }
  if (!check()) return;
  list_ = groups_->finish(&filter_, plan_->operands, &ticker_);
  cut(&list_);
}

// OFFSET and LIMIT, wherever they are in the answer.
void AnswerRows::cut(std::vector<uint32_t>* rows) {
  const auto skipped = static_cast<size_t>(std::min<uint64_t>(skip_, rows->size()));
  rows->erase(rows->begin(), rows->begin() + static_cast<std::ptrdiff_t>(skipped));
  skip_ -= skipped;
  if (rows->size() > left_) rows->resize(left_);
  left_ -= rows->size();
}

void AnswerRows::examine(const Table& table, uint32_t row, std::vector<uint32_t>* rows) {
  if (!plan_->root.filtered || filter_.test(plan_->root.where, table, row)) rows->push_back(row);
}

void AnswerRows::scan(std::vector<uint32_t>* rows) {
  if (order_ != nullptr) {
    RowRange::Iterator& row = *order_;
    size_t looked = 0;
    for (; row != RowRange::End() && looked < kBatch; ++row, ++looked) {
      if (!ticker_.spend(1)) return;
      examine(table_, *row, rows);
    }
    if (!(row != RowRange::End())) at_ = table_.rows;
    return;
  }
  const auto first = static_cast<uint32_t>(at_);
  const uint32_t count = std::min(Filter::kBlock, table_.rows - first);
  at_ += count;
  if (!ticker_.spend(count)) return;
  Filter::Mask active;
  Filter::Mask found;
  Filter::fill_mask(table_, first, count, active);
  if (plan_->root.filtered) {
    filter_.test_block(plan_->root.where, table_, first, count, active, found);
  } else {
    std::ranges::copy(active, found);
  }
  for (uint32_t w = 0; w * 64 < count; ++w) {
    for (uint64_t left = found[w]; left != 0; left &= left - 1) {
      rows->push_back(first + w * 64 + static_cast<uint32_t>(std::countr_zero(left)));
    }
  }
}

std::vector<FlatField> AnswerRows::fields() const {
  const PlanSelection& root = plan_->root;
  std::vector<FlatField> out;
  for (const PlanField& field : root.fields) {
    out.push_back({field.name, schema_.tables[root.table].columns[field.column].storage, nullptr});
  }
  if (root.grouping == nullptr) return out;
  for (const PlanGrouping::Key& field : root.grouping->fields) {
    if (!field.of_aggregate) {
      const GroupColumn& column = root.grouping->columns[field.index];
      out.push_back({field.name, schema_.tables[column.table].columns[column.column].storage, nullptr});
      continue;
    }
    const PlanAggregate& plan = root.grouping->aggregates[field.index];
    const bool of_row =
        plan.function == ast::Aggregate::Function::kMin || plan.function == ast::Aggregate::Function::kMax;
    out.push_back({field.name, plan.storage, of_row ? nullptr : &plan});
  }
  return out;
}

FlatValue AnswerRows::value(uint32_t row, size_t field) const {
  if (groups_ == nullptr) return {&table_.columns[plan_->root.fields[field].column], row, nullptr};
  const PlanGrouping::Key& key = plan_->root.grouping->fields[field];
  if (!key.of_aggregate) {
    const GroupColumn& column = plan_->root.grouping->columns[key.index];
    const uint32_t at = groups_->place(column, groups_->row(row));
    return at == kNoRow ? FlatValue{} : FlatValue{&groups_->values(column), at, nullptr};
  }
  const AggregateValue& value = groups_->aggregate(row, key.index);
  if (value.kind == AggregateValue::Kind::kNull) return {};
  if (value.kind != AggregateValue::Kind::kRow) return {nullptr, 0, &value};
  return {&table_.columns[plan_->root.grouping->aggregates[key.index].column], value.row, nullptr};
}

bool AnswerRows::json(uint32_t row, Writer* writer) {
  if (groups_ != nullptr) {
    groups_->write(row, writer);
    return true;
  }
  if (writer_ == nullptr) {
    writer_ = std::make_unique<RowWriter>(schema_, *snapshot_, *plan_, limits_, &scratch_, writer);
  }
  error_ = writer_->write(row);
  return error_.ok();
}

}  // namespace reflex
