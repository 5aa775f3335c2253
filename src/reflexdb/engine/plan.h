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
  uint32_t to = 0;  // the table it leads to
};

// A condition that keeps a row only where it is true; NOT has been pushed down to tests, which is exact under
// three-valued logic.
struct Pred {
  enum class Kind : uint8_t { kAnd, kOr, kTest, kAny };
  Kind kind = Kind::kTest;
  bool negated =
      false;  // kTest: true where the value is known and the test false; kAny: no related row matches
  std::vector<Pred> kids;  // kAnd, kOr; kAny: one
  uint16_t column = 0;     // kTest
  uint32_t operand = 0;    // kTest
  Step step;               // kAny
};

// How the candidate rows are found; every row found is still tested.
struct Access {
  enum class Kind : uint8_t { kScan, kKey, kParent };
  Kind kind = Kind::kScan;
  uint32_t forward = 0;            // kParent: the relation whose key is given
  std::vector<uint32_t> operands;  // one per column of the primary key, or of the parent's
  bool exact = false;              // the condition says no more than that
};

struct OrderKey {
  uint16_t column = 0;
  bool descending = false;
  bool nulls_first = false;
};

struct PlanSelection;

struct PlanField {
  enum class Kind : uint8_t { kColumn, kForward, kReverse };
  Kind kind = Kind::kColumn;
  std::string key;  // `{"id":` or `,"name":`, ready to copy
  uint16_t column = 0;
  Step step;
  std::unique_ptr<PlanSelection> selection;
};

struct PlanSelection {
  uint32_t table = 0;
  bool filtered = false;
  Pred where;
  Access access;
  std::vector<OrderKey> order;  // empty: row order
  bool backwards = false;       // row order, from the end: ORDER BY the primary key DESC
  uint64_t limit = std::numeric_limits<uint64_t>::max();
  uint64_t offset = 0;
  std::vector<PlanField> fields;
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
};

// Leaves of `plan->sites` those at the shape's literals, in their order. False where a literal is no site's:
// then the plan is good for its own text only.
bool fit_to_shape(std::span<const ShapeLiteral> literals, Plan* plan);

// Gives the plan the literals of another query of its shape. False where one does not fit its column: then
// the query's own binding says why, and where.
bool rebind(std::span<const ShapeLiteral> literals, Plan* plan);

}  // namespace reflex
