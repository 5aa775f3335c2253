#include "exec.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>

#include "cursor.h"
#include "filter.h"
#include "group.h"
#include "order_related.h"
#include "rows.h"
#include "scan.h"
#include "shown.h"
#include "through.h"

namespace reflex {

namespace {

class Executor {
 public:
  // `ticker` and `rows_written` go on where an earlier selection of the query left them.
  Executor(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
           Scratch* scratch, Writer* writer, const Ticker& ticker, Profile* profile,
           uint64_t rows_written = 0)
      : schema_(schema),
        snapshot_(snapshot),
        plan_(plan),
        limits_(limits),
        scratch_(*scratch),
        writer_(*writer),
        shown_(snapshot, plan.root, &scratch->shown),
        ticker_(ticker),
        filter_(snapshot, plan.operands, &ticker_),
        rows_written_(rows_written),
        profile_(profile) {}

  QueryError run() {
    {
      const Stopwatch stopwatch(profile_, plan_.root);
      looked_after_ = writer_.written();
      root();
    }
    return ended();
  }
  // One row by itself, with limits of its own.
  QueryError row(uint32_t row) {
    ticker_ = Ticker(limits_.max_query_ms);
    rows_written_ = 0;
    bytes_before_ = looked_after_ = writer_.written();
    object(shown_.root(), row);
    return ended();
  }
  const Ticker& ticker() const { return ticker_; }
  uint64_t rows_written() const { return rows_written_; }
  // Where a full page ended.
  uint32_t last_row() const { return last_row_; }

 private:
  QueryError ended() {
    if (ticker_.impatient()) {
      error_ = takes_longer();
    } else if (ticker_.expired()) {
      error_ = limit_error("The query took longer than the " + std::to_string(limits_.max_query_ms) +
                           " ms allowed.");
    }
    return error_;
  }

  bool fail(std::string message) {
    if (error_.ok()) error_ = limit_error(std::move(message));
    return false;
  }

  void looked_at(const PlanSelection& selection, uint64_t rows) {
    if (profile_ != nullptr) [[unlikely]]
      profile_->of(selection).looked += rows;
  }

  Scan scan(const PlanSelection& selection) {
    return {snapshot_.table(selection.table), selection, &filter_, &ticker_, profile_};
  }

  // The rows of the outermost selection that its access path finds.
  bool found_by_index() {
    if (!candidates(schema_, snapshot_, plan_, &ticker_, &scratch_)) return false;
    looked_at(plan_.root, scratch_.rows.size());
    if (profile_ != nullptr) [[unlikely]]
      profile_->of(plan_.root).by_index = true;
    return true;
  }

  // How the rows of a selection are written: what is asked of the memory beforehand.
  enum class Warm : uint8_t {
    kNo,      // they lie one behind the other, or have been asked for with those above
    kNested,  // only what is below them
    kYes
  };

  // Writes one selection's rows as an array. Rows come one after another; `take` returns false when no more
  // are wanted. Some wait until there are enough to ask for their memory together.
  class Taker {
   public:
    Taker(Executor* executor, const ShownSelection& shown, Warm warm)
        : executor_(*executor), shown_(shown), skip_(shown.plan->offset), left_(shown.plan->limit) {
      if (warm == Warm::kNo || (warm == Warm::kNested && !shown.nested)) {
        most_ = 0;
      } else {
        most_ = shown.nested ? Shown::kWarmRows : kWaiting;
      }
      executor_.writer_.put('[');
    }
    bool take(uint32_t row) {
      if (skip_ != 0) {
        --skip_;
        return true;
      }
      if (left_ == 0) return false;
      if (--left_ == 0) last_ = row;
      if (most_ == 0) return write(row) && left_ != 0;
      waiting_[count_++] = row;
      if (count_ < most_ && left_ != 0) return true;
      return write_waiting() && left_ != 0;
    }
    void end() {
      write_waiting();
      executor_.writer_.put(']');
    }
    uint32_t last() const { return last_; }  // the row that LIMIT ended with

   private:
    static constexpr uint32_t kWaiting = 32;

    bool write(uint32_t row) {
      if (!first_) executor_.writer_.put(',');
      first_ = false;
      return executor_.object(shown_, row);
    }
    bool write_waiting() {
      if (count_ > 1 || (count_ == 1 && shown_.nested)) executor_.shown_.warm(shown_, {waiting_, count_});
      const uint32_t count = std::exchange(count_, 0);
      for (uint32_t i = 0; i < count; ++i) {
        if (!write(waiting_[i])) return false;
      }
      return true;
    }

    Executor& executor_;
    const ShownSelection& shown_;
    uint64_t skip_;
    uint64_t left_;
    uint32_t most_;
    uint32_t count_ = 0;
    bool first_ = true;
    uint32_t last_ = kNoRow;
    uint32_t waiting_[kWaiting];
  };

  void root() {
    const PlanSelection& selection = plan_.root;
    if (selection.grouping != nullptr) return grouped_root(selection);
    const bool found = selection.limit != 0 && found_by_index();
    Taker taker(this, shown_.root(), !found && selection.in_row_order() ? Warm::kNested : Warm::kYes);
    if (selection.page != nullptr && selection.page->has_after) {
      after_root(selection, found, &taker);
      last_row_ = taker.last();
      return taker.end();
    }
    std::vector<uint32_t>& rows = scratch_.rows;
    if (selection.limit == 0) {
      taker.end();
      return;
    }
    if (found) {
      chosen(selection, rows, selection.filtered && !selection.access.exact, &taker);
    } else if (selection.in_row_order()) {
      scan(selection).rows([&taker](uint32_t row) { return taker.take(row); });
    } else {
      scan_in_order(selection, &taker, [](uint32_t) { return true; });
    }
    last_row_ = taker.last();
    taker.end();
  }

  // Only rows behind the cursor. In row order the first of them is searched for, and what is before is not
  // read.
  void after_root(const PlanSelection& selection, bool found, Taker* taker) {
    if (selection.limit == 0) return;
    const Table& table = snapshot_.table(selection.table);
    const auto behind = [&](uint32_t row) { return is_after(table, *selection.page, row); };
    std::vector<uint32_t>& rows = scratch_.rows;
    if (found) {
      std::erase_if(rows, [&](uint32_t row) { return !behind(row); });
      return chosen(selection, rows, selection.filtered && !selection.access.exact, taker);
    }
    if (selection.in_row_order() && table.ordered) {
      const size_t first = table.order.partition([&](uint32_t row) { return !behind(row); });
      return scan(selection).by_order(first, [&](uint32_t row) { return taker->take(row); });
    }
    if (selection.in_row_order()) {
      uint32_t first = 0;  // found by halves
      for (uint32_t left = table.rows; left > 0;) {
        const uint32_t half = left / 2;
        const bool is_before = !behind(first + half);
        first += is_before ? half + 1 : 0;
        left = is_before ? left - half - 1 : half;
      }
      return scan(selection).by_number(first, [&](uint32_t row) { return row < first || taker->take(row); });
    }
    scan_in_order(selection, taker, behind);
  }

  // All rows that match and are `wanted`, in another order than the table's.
  template <typename Wanted>
  void scan_in_order(const PlanSelection& selection, Taker* taker, Wanted wanted) {
    if (!selection.order.empty()) {
      const Table& table = snapshot_.table(selection.table);
      TopRows top(table, selection, &scratch_.top);
      scan(selection).blocks(0, [&](uint32_t first, uint32_t words, Filter::Mask& found) {
        top.screen(first, std::min(words * 64, table.rows - first), found);
        for_each_row(first, words, found, [&](uint32_t row) {
          if (wanted(row)) top.add(row);
          return true;
        });
        return true;
      });
      if (!ticker_.expired()) take_top(&top, taker);
      return;
    }
    std::vector<uint32_t>& rows = scratch_.rows;
    scan(selection).rows([&](uint32_t row) {
      if (wanted(row)) rows.push_back(row);
      return true;
    });
    chosen(selection, rows, false, taker);
  }

  void grouped_root(const PlanSelection& selection) {
    Groups groups(*selection.grouping, snapshot_, selection.table);
    std::vector<uint32_t>& rows = scratch_.rows;
    if (found_by_index()) {
      fold(selection, rows, selection.filtered && !selection.access.exact, &groups);
    } else if (selection.grouping->only_counts()) {
      scan(selection).blocks(0, [&](uint32_t, uint32_t words, const Filter::Mask& found) {
        for (uint32_t w = 0; w < words; ++w) groups.add_many(static_cast<uint64_t>(std::popcount(found[w])));
        return true;
      });
    } else {
      scan(selection).rows([&](uint32_t row) { return add(row, &groups); });
    }
    write_groups(selection, &groups);
  }

  bool add(uint32_t row, Groups* groups) {
    groups->add(row);
    return groups->size() <= limits_.max_rows || too_many();
  }

  template <typename Rows>
  void fold(const PlanSelection& selection, const Rows& rows, bool test, Groups* groups) {
    const Table& table = snapshot_.table(selection.table);
    for (const uint32_t row : rows) {
      if (!ticker_.spend(1)) return;
      if (test && !filter_.test(selection.where, table, row)) continue;
      if (!add(row, groups)) return;
    }
  }

  void write_groups(const PlanSelection& selection, Groups* groups) {
    if (!error_.ok() || ticker_.expired()) return;
    const std::vector<uint32_t> kept = groups->finish(&filter_, plan_.operands, &ticker_);
    const bool many = selection.grouping->grouped;
    const uint64_t first = std::min<uint64_t>(selection.offset, kept.size());
    const uint64_t count = std::min<uint64_t>(selection.limit, kept.size() - first);
    if (profile_ != nullptr) [[unlikely]]
      profile_->of(selection).out += count;
    if (many) writer_.put('[');
    for (uint64_t i = 0; i < count; ++i) {
      if (!count_row() || !ticker_.spend(1)) return;
      if (i != 0) writer_.put(',');
      groups->write(kept[first + i], &writer_);
    }
    if (many) writer_.put(']');
    if (writer_.written() - bytes_before_ > limits_.max_answer_bytes) too_long();
  }

  // Rows already found, in row order: test, sort, cut, write.
  template <typename Rows>
  void chosen(const PlanSelection& selection, const Rows& rows, bool test, Taker* taker) {
    const Table& table = snapshot_.table(selection.table);
    if (selection.in_row_order()) {
      for (const uint32_t row : rows) {
        if (!ticker_.spend(1)) return;
        if (test && !filter_.test(selection.where, table, row)) continue;
        if (!taker->take(row)) return;
      }
      return;
    }
    if (!selection.order.empty()) {
      TopRows top(table, selection, &scratch_.top);
      for (const uint32_t row : rows) {
        if (!ticker_.spend(1)) return;
        if (!test || filter_.test(selection.where, table, row)) top.add(row);
      }
      return take_top(&top, taker);
    }
    std::vector<uint32_t> kept;
    for (const uint32_t row : rows) {
      if (!ticker_.spend(1)) return;
      if (!test || filter_.test(selection.where, table, row)) kept.push_back(row);
    }
    if (selection.backwards) {
      std::reverse(kept.begin(), kept.end());
    } else {
      order_related(snapshot_, selection.table, selection.related_order, rows_wanted(selection), &ticker_,
                    &kept);
      if (ticker_.expired()) return;
    }
    for (const uint32_t row : kept) {
      if (!taker->take(row)) return;
    }
  }

  void take_top(TopRows* top, Taker* taker) {
    if (!ticker_.spend_at_once(top->size())) return;
    top->finish();
    for (size_t i = 0; i < top->size(); ++i) {  // by number: what is nested uses the same room
      if (!taker->take(top->row(i))) return;
    }
  }

  bool object(const ShownSelection& shown, uint32_t row) {
    if (!count_row()) return false;
    if (!ticker_.spend(1)) return false;
    if (profile_ != nullptr) [[unlikely]]
      ++profile_->of(*shown.plan).out;
    const std::span<const ShownField> fields = shown_.fields(shown);
    char* at = writer_.open();
    if (fields.empty()) *at++ = '{';  // a wildcard over a table that shows no column
    at = Shown::write_columns(fields.first(shown.columns), row, at, &writer_);
    for (const ShownField& field : fields.subspan(shown.columns)) {
      if (field.kind == PlanField::Kind::kColumn) {
        at = Shown::write_columns({&field, 1}, row, at, &writer_);
        continue;
      }
      writer_.advance(Shown::write_key(field, at, &writer_));
      if (!related(field, row)) return false;
      at = writer_.open();
    }
    at = writer_.room(at);
    *at++ = '}';
    writer_.advance(at);
    return writer_.written() - bytes_before_ <= limits_.max_answer_bytes || too_long();
  }

  // Wide rows take time too: what was written counts beside the rows.
  bool count_row() {
    if (++rows_written_ > limits_.max_rows) [[unlikely]]
      return too_many();
    const uint64_t written = writer_.written();
    if (written - looked_after_ >= kBytesBetweenLooks) [[unlikely]] {
      looked_after_ = written;
      if (!ticker_.spend(Ticker::kBetweenLooks)) return false;
    }
    return written - bytes_before_ <= limits_.max_answer_bytes || too_long();
  }

  bool too_many() {
    return fail("The answer has more than the " + std::to_string(limits_.max_rows) +
                " rows allowed; narrow the filter or use LIMIT.");
  }

  bool too_long() {
    return fail("The answer is longer than the " + std::to_string(limits_.max_answer_bytes) +
                " bytes allowed; narrow the filter, ask for fewer fields or use LIMIT.");
  }

  bool related(const ShownField& field, uint32_t row) {
    const ShownSelection& shown = shown_.at(field.selection);
    const PlanSelection& selection = *shown.plan;
    const Stopwatch stopwatch(profile_, selection);
    if (field.plan->step.through) {
      std::vector<uint32_t> rows;
      rows_through(snapshot_, field.plan->step, row, &rows);
      return many(shown, RowRange(rows), Warm::kYes);
    }
    if (field.kind == PlanField::Kind::kReverse) {
      const RowRange children = field.link->children(row);
      // Few rows were asked for together with the row above.
      return many(shown, children, children.size() > kFewChildren ? Warm::kYes : Warm::kNo);
    }
    looked_at(selection, 1);
    const uint32_t to = field.link->to.get(row);
    if (to == kNoRow || (selection.filtered && !filter_.test(selection.where, *shown.table, to))) {
      writer_.put("null");
      return true;
    }
    return object(shown, to);
  }

  bool many(const ShownSelection& shown, const RowRange& rows, Warm warm) {
    const PlanSelection& selection = *shown.plan;
    looked_at(selection, rows.size());
    if (selection.grouping != nullptr) {
      Groups groups(*selection.grouping, snapshot_, selection.table);
      if (!selection.filtered && selection.grouping->only_counts()) {
        groups.add_many(rows.size());
      } else {
        fold(selection, rows, selection.filtered, &groups);
      }
      write_groups(selection, &groups);
    } else {
      Taker taker(this, shown, warm);
      chosen(selection, rows, selection.filtered, &taker);
      taker.end();
    }
    return error_.ok() && !ticker_.expired();
  }

  static constexpr size_t kFewChildren = 32;
  static constexpr uint64_t kBytesBetweenLooks = 64 << 10;

  const SchemaDef& schema_;
  const Snapshot& snapshot_;
  const Plan& plan_;
  const Limits& limits_;
  Scratch& scratch_;
  Writer& writer_;
  Shown shown_;
  Ticker ticker_;
  Filter filter_;
  QueryError error_;
  uint64_t rows_written_;
  Profile* profile_;
  uint64_t bytes_before_ = 0;  // of the writer's, in an answer of several rows by themselves
  uint64_t looked_after_ = 0;  // bytes written when the clock was looked at
  uint32_t last_row_ = kNoRow;
};

}  // namespace

QueryError run_plan(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
                    Scratch* scratch, Writer* writer, std::string* next, Patience patience,
                    Profile* profile) {
  QueryError error;
  if (plan.further.empty()) {
    Executor executor(schema, snapshot, plan, limits, scratch, writer, Ticker(limits.max_query_ms, patience),
                      profile);
    error = executor.run();
    if (plan.root.page != nullptr && executor.last_row() != kNoRow) {
      *next = next_parameter(snapshot.table(plan.root.table), *plan.root.page, executor.last_row());
    }
    scratch->trim();
    return error;
  }
  Ticker ticker(limits.max_query_ms, patience);
  uint64_t rows_written = 0;
  const auto part = [&](const Plan& one) {
    writer->put(one.key);
    Executor executor(schema, snapshot, one, limits, scratch, writer, ticker, profile, rows_written);
    error = executor.run();
    ticker = executor.ticker();
    rows_written = executor.rows_written();
  };
  part(plan);
  for (size_t i = 0; i < plan.further.size() && error.ok(); ++i) part(plan.further[i]);
  writer->put('}');
  scratch->trim();
  return error;
}

class RowWriter::Impl : public Executor {
 public:
  using Executor::Executor;
};

RowWriter::RowWriter(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan,
                     const Limits& limits, Scratch* scratch, Writer* writer)
    : impl_(new Impl(schema, snapshot, plan, limits, scratch, writer, Ticker(limits.max_query_ms), nullptr)) {
}

RowWriter::~RowWriter() = default;

QueryError RowWriter::write(uint32_t row) { return impl_->row(row); }

}  // namespace reflex
