// The rows of one selection's answer, one after the other, whenever the next are wanted: what formats other
// than one JSON text are made of.
//
// Holds its snapshot and its plan, so it outlives both the query and any number of commits. Where rows are
// answered as they are stored, it holds a block of them; else all their numbers, four bytes each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aggregate.h"
#include "ast.h"
#include "exec.h"
#include "filter.h"
#include "group.h"
#include "json_out.h"
#include "plan.h"
#include "query.h"
#include "query_error.h"
#include "rows.h"
#include "schema.h"
#include "snapshot.h"
#include "store.h"

namespace reflex {

// A field of a flat answer: a column, or an aggregate.
struct FlatField {
  std::string name;
  Storage storage = Storage::kText;
  const PlanAggregate* aggregate =
      nullptr;  // null for columns, and for min and max, which answer a column's value
};

// Null where `column` and `aggregate` are.
struct FlatValue {
  const Column* column = nullptr;
  uint32_t row = 0;
  const AggregateValue* aggregate = nullptr;
};

class AnswerRows {
 public:
  // Requires: `plan` has one selection, bound from `query`, which is kept with it.
  AnswerRows(const SchemaDef& schema, SnapshotPtr snapshot, std::unique_ptr<const ast::Query> query,
             std::unique_ptr<Plan> plan, const Limits& limits, Patience patience);
  ~AnswerRows();

  // Puts the next rows into `*rows` in place of what is there; perhaps none yet. False: there are no more. A
  // row is whatever json() and value() take.
  bool next(std::vector<uint32_t>* rows);
  // limit_exceeded, once something went over a limit; then next() is false. Limits hold for the way to the
  // next rows, and for each row. takes_longer, where patience for the first of them was over.
  const QueryError& error() const { return error_; }

  // Where the next page starts; empty where there is none. Known from the first next() on.
  const std::string& next_page() const { return next_page_; }

  const PlanSelection& selection() const { return plan_->root; }
  std::vector<FlatField> fields() const;  // requires: no relation among them
  FlatValue value(uint32_t row, size_t field) const;
  // Appends the row as a JSON object, always to the same writer. False: it went over a limit.
  bool json(uint32_t row, Writer* writer);

 private:
  void begin();
  void begin_groups();
  void begin_list();
  void scan(std::vector<uint32_t>* rows);
  void examine(const Table& table, uint32_t row, std::vector<uint32_t>* rows);
  void cut(std::vector<uint32_t>* rows);
  bool check();

  const SchemaDef& schema_;
  SnapshotPtr snapshot_;
  std::unique_ptr<const ast::Query> query_;
  std::unique_ptr<Plan> plan_;
  Limits limits_;
  Patience patience_;  // on the way to the first rows
  const Table& table_;
  Ticker ticker_;
  Filter filter_;
  Scratch scratch_;
  std::unique_ptr<RowWriter> writer_;
  std::unique_ptr<Groups> groups_;
  QueryError error_;
  std::string next_page_;

  bool begun_ = false;
  bool listed_ = false;         // rows are in `list_`; else they are searched for
  std::vector<uint32_t> list_;  // offset and limit applied
  size_t at_ = 0;               // in `list_`, or in the table's order or numbers
  std::unique_ptr<RowRange::Iterator> order_;
  uint64_t skip_ = 0;
  uint64_t left_ = 0;
};

}  // namespace reflex
