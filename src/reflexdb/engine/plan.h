// A query that has been checked against the schema: what to look up, what to test, what to write. Made by the
// binder, run by the executor.
//
// A plan refers to the schema only, never to a snapshot, so it stays good across commits. What came from the
// query's literals is kept apart in `operands`; the rest depends on the query's shape alone, so that another
// query of the same shape can run with it once `rebind` has brought its literals. Not changed while it runs.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operand.h"
#include "schema.h"
#include "shape.h"

namespace reflex {

// A step along a relation: the link is snapshot.link(child, forward).
struct Step {
  bool reverse = false;  // from parent to children
  uint32_t child = 0;
  uint32_t forward = 0;
  uint32_t to = 0;       // the table it leads to
  bool through = false;  // `child` joins two tables: on along its relation `onward`
  uint32_t onward = 0;
};

// count() or sum(column) over rows of one table.
struct PlanAggregate {
  ast::Aggregate::Function function = ast::Aggregate::Function::kCount;
  bool has_column = false;
  uint16_t column = 0;
  Storage storage = Storage::kBool;  // of the column
};

// A condition that keeps a row only where it is true; NOT has been pushed down to tests, which is exact under
// three-valued logic.
struct Pred {
  enum class Kind : uint8_t { kAnd, kOr, kTest, kAny, kAggregate };
  Kind kind = Kind::kTest;
  bool negated =
      false;  // kTest: true where the value is known and the test false; kAny: no related row matches
  std::vector<Pred> kids;  // kAnd, kOr; kAny: one
  uint16_t column = 0;     // kTest
  uint32_t operand = 0;    // kTest, kAggregate
  Step step;               // kAny; kAggregate: always reverse
  PlanAggregate aggregate;
};

// How the candidate rows are found; every row found is still tested.
struct Access {
  enum class Kind : uint8_t { kScan, kKey, kParent };
  Kind kind = Kind::kScan;
  uint32_t forward = 0;            // kParent: the relation whose key is given
  std::vector<uint32_t> operands;  // one per column of the primary key, or of the parent's
  bool exact = false;              // the condition says no more than that
};

// A condition on an aggregate or on a group's key, as Pred is one on a row.
struct GroupPred {
  Pred::Kind kind = Pred::Kind::kTest;
  bool negated = false;
  std::vector<GroupPred> kids;
  bool of_aggregate = false;
  uint32_t index = 0;  // among the grouping's aggregates, or its columns
  uint32_t operand = 0;
};

// What rows are grouped by: a column of theirs, or of a row that they lead to.
struct GroupColumn {
  std::vector<Step> path;  // forward
  uint32_t table = 0;      // that has the column
  uint16_t column = 0;
};

// What stands in an answer for many rows: aggregates, and the columns grouped by.
struct PlanGrouping {
  struct Key {
    std::string name;  // of fields
    std::string key;   // of fields: `{"count":` or `,"count":`
    bool of_aggregate = false;
    uint32_t index = 0;  // among `aggregates` or `columns`
    bool descending = false;
    bool nulls_first = false;
  };
  bool grouped = false;  // an array of groups; else one object
  std::vector<GroupColumn> columns;
  std::vector<PlanAggregate> aggregates;  // those answered, ordered by and tested
  std::vector<Key> fields;
  std::vector<Key> order;  // always ends in the columns
  bool has_having = false;
  GroupPred having;

  // Nothing but how many rows there are.
  bool only_counts() const {
    for (const PlanAggregate& aggregate : aggregates) {
      if (aggregate.has_column) return false;
    }
    return !grouped;
  }
};

struct OrderKey {
  uint16_t column = 0;
  bool descending = false;
  bool nulls_first = false;
};

// ORDER BY author.name, or posts.count(): what stands at the end of a path.
struct RelatedKey {
  std::vector<Step> path;  // forward
  bool of_aggregate = false;
  Step step;                // of_aggregate: reverse, behind the path
  PlanAggregate aggregate;  // else kMin of the column
  bool descending = false;
  bool nulls_first = false;
};

struct PlanSelection;

struct PlanField {
  enum class Kind : uint8_t { kColumn, kForward, kReverse };
  Kind kind = Kind::kColumn;
  std::string name;
  std::string key;  // `{"id":` or `,"name":`, ready to copy
  uint16_t column = 0;
  Step step;
  std::unique_ptr<PlanSelection> selection;
};

// One value of a cursor.
struct CursorValue {
  bool has = false;
  uint64_t bits = 0;  // integers, floats
  std::string bytes;  // everything else
};

// A selection that is read page by page.
struct PlanPage {
  uint64_t shape = 0;
  std::string parameter;       // of the URL, that a link to the next page begins with; empty: none can
  std::vector<OrderKey> keys;  // the whole order, ending in the primary key
  bool has_after = false;
  bool from_url = false;           // the cursor came beside the text
  std::vector<CursorValue> after;  // one for each key
};

struct PlanSelection {
  uint32_t table = 0;
  bool filtered = false;
  Pred where;
  Access access;
  std::vector<OrderKey> order;            // empty: row order
  std::vector<RelatedKey> related_order;  // instead of `order`, where one of its keys is another table's
  bool backwards = false;                 // row order, from the end: ORDER BY the primary key DESC
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  uint64_t offset = 0;
  bool in_row_order() const { return order.empty() && related_order.empty() && !backwards; }
  std::vector<PlanField> fields;
  std::unique_ptr<PlanPage> page;          // the outermost only
  std::unique_ptr<PlanGrouping> grouping;  // instead of fields
};

// An operand with one literal, and where that stood: what can be exchanged for another literal.
struct Site {
  uint32_t operand = 0;
  const ColumnDef* column = nullptr;
  std::unique_ptr<ast::Expr> expr;  // the comparison, without its path
};

struct Plan {
  PlanSelection root;
  std::vector<Operand> operands;
  std::vector<Site> sites;
  std::string key;            // `{"users":` or `,"posts":` where a query has several selections
  std::vector<Plan> further;  // the other selections; they share this one's limits
  bool slow = false;          // took longer than the thread's patience when it was run last
  bool explained = false;     // how it is answered is asked, not the answer
  uint32_t shape = 0;         // its place among the shapes that are counted (query_shapes.h)
  // Where values may come beside the text, the query as written: it is bound again for each call with any.
  std::unique_ptr<const ast::Query> unbound;
};

// Leaves of `plan->sites` those at the shape's literals, in their order. False where a literal is no site's:
// then the plan is good for its own text only.
bool fit_to_shape(std::span<const ShapeLiteral> literals, Plan* plan);

// Gives the plan the literals of another query of its shape. False where one does not fit its column: then
// the query's own binding says why, and where.
bool rebind(std::span<const ShapeLiteral> literals, Plan* plan);

}  // namespace reflex
