#include "exec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <ranges>
#include <utility>

#include "cursor.h"
#include "filter.h"
#include "group.h"
#include "order_related.h"
#include "rows.h"
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
      root();
    }
    return ended();
  }
  // One row by itself, with limits of its own.
  QueryError row(uint32_t row) {
    ticker_ = Ticker(limits_.max_query_ms);
    rows_written_ = 0;
    bytes_before_ = writer_.written();
    object(shown_.root(), row);
    return ended();
  }
  const Ticker& ticker() const { return ticker_; }
  uint64_t rows_written() const { return rows_written_; }
  // Where a full page ended.
  uint32_t last_row() const { return last_row_; }

 private:
  QueryError ended() {
    if (ticker_.expired()) {
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

  // The rows of the outermost selection that its access path finds.
  bool found_by_index() {
    if (!candidates(schema_, snapshot_, plan_, &scratch_)) return false;
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
      scan(selection, [&taker](uint32_t row) { return taker.take(row); });
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
      return scan_by_order(selection, first, [&](uint32_t row) { return taker->take(row); });
    }
    if (selection.in_row_order()) {
      const auto all = std::views::iota(uint32_t{0}, table.rows);
      const uint32_t first = *std::ranges::partition_point(all, [&](uint32_t row) { return !behind(row); });
      return scan_by_number(selection, [&](uint32_t row) { return row < first || taker->take(row); }, first);
    }
    scan_in_order(selection, taker, behind);
  }

  // All rows that match and are `wanted`, in another order than the table's.
  template <typename Wanted>
  void scan_in_order(const PlanSelection& selection, Taker* taker, Wanted wanted) {
    if (!selection.order.empty()) {
      TopRows top(snapshot_.table(selection.table), selection, &scratch_.top);
      scan(selection, [&](uint32_t row) {
        if (wanted(row)) top.add(row);
        return true;
      });
      if (!ticker_.expired()) take_top(&top, taker);
      return;
    }
    std::vector<uint32_t>& rows = scratch_.rows;
    scan(selection, [&](uint32_t row) {
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
      scan_blocks(selection, 0, [&](uint32_t, uint32_t words, const Filter::Mask& found) {
        for (uint32_t w = 0; w < words; ++w) groups.add_many(static_cast<uint64_t>(std::popcount(found[w])));
        return true;
      });
    } else {
      scan(selection, [&](uint32_t row) { return add(row, &groups); });
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

  // Every row that matches, in the table's order.
  template <typename Take>
  void scan(const PlanSelection& selection, Take take) {
    if (snapshot_.table(selection.table).ordered) return scan_by_order(selection, 0, take);
    scan_by_number(selection, take);
  }

  // Rows are tested in blocks of their numbers, when the first of a block is met.
  template <typename Take>
  void scan_by_order(const PlanSelection& selection, size_t skip, Take take) {
    const Table& table = snapshot_.table(selection.table);
    constexpr uint32_t kWords = Filter::kBlock / 64;
    std::vector<uint64_t> found;
    std::vector<bool> tested;
    if (selection.filtered) {
      const size_t blocks = (static_cast<size_t>(table.rows) + Filter::kBlock - 1) / Filter::kBlock;
      found.resize(blocks * kWords);
      tested.resize(blocks);
    }
    for (const uint32_t row : RowRange(table.order, skip)) {
      if (!ticker_.spend(1)) return;
      looked_at(selection, 1);
      if (selection.filtered) {
        const uint32_t block = row / Filter::kBlock;
        if (!tested[block]) {
          tested[block] = true;
          const uint32_t first = block * Filter::kBlock;
          const uint32_t count = std::min(Filter::kBlock, table.rows - first);
          if (!ticker_.spend(count)) return;
          Filter::Mask active;
          Filter::Mask out;
          Filter::fill_mask(table, first, count, active);
          filter_.test_block(selection.where, table, first, count, active, out);
          std::memcpy(&found[size_t{block} * kWords], out, (count + 63) / 64 * 8);
        }
        if (((found[row / 64] >> (row % 64)) & 1) == 0) continue;
      }
      if (!take(row)) return;
    }
  }

  template <typename Take>
  void scan_by_number(const PlanSelection& selection, Take take, uint32_t from = 0) {
    scan_blocks(selection, from, [&](uint32_t first, uint32_t words, const Filter::Mask& found) {
      for (uint32_t w = 0; w < words; ++w) {
        for (uint64_t left = found[w]; left != 0; left &= left - 1) {
          if (!take(first + w * 64 + static_cast<uint32_t>(std::countr_zero(left)))) return false;
        }
      }
      return true;
    });
  }

  // Calls `visit` with the first row of each block, how many words its mask has, and the mask of those that
  // match, until it answers false.
  template <typename Visit>
  void scan_blocks(const PlanSelection& selection, uint32_t from, Visit visit) {
    const Table& table = snapshot_.table(selection.table);
    const uint64_t begin = from - from % Filter::kBlock;
    uint32_t count = 0;
    for (uint64_t first = begin; first < table.rows; first += count) {
      // Blocks of 128, 128, 256, 512 and then 1024: who wants few rows should not wait for a thousand.
      count = static_cast<uint32_t>(
          std::min({std::max<uint64_t>(first - begin, 128), uint64_t{Filter::kBlock}, table.rows - first}));
      if (!ticker_.spend(count)) return;
      const auto at = static_cast<uint32_t>(first);
      Filter::Mask active;
      Filter::Mask found;
      Filter::fill_mask(table, at, count, active);
      looked_at(selection, count);
      if (selection.filtered) filter_.test_block(selection.where, table, at, count, active, found);
      if (!visit(at, (count + 63) / 64, selection.filtered ? found : active)) return;
    }
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

  bool count_row() {
    if (++rows_written_ > limits_.max_rows) [[unlikely]]
      return too_many();
    return writer_.written() - bytes_before_ <= limits_.max_answer_bytes || too_long();
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
  uint32_t last_row_ = kNoRow;
};

}  // namespace

QueryError run_plan(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
                    Scratch* scratch, Writer* writer, std::string* next, Profile* profile) {
  QueryError error;
  if (plan.further.empty()) {
    Executor executor(schema, snapshot, plan, limits, scratch, writer, Ticker(limits.max_query_ms), profile);
    error = executor.run();
    if (plan.root.page != nullptr && executor.last_row() != kNoRow) {
      *next = write_cursor(snapshot.table(plan.root.table), *plan.root.page, executor.last_row());
    }
    scratch->trim();
    return error;
  }
  Ticker ticker(limits.max_query_ms);
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
