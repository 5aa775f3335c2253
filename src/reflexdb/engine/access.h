// How the rows of a query's outermost selection are found: by key, through a parent, or by looking at all of
// them.
#pragma once

#include <vector>

#include "operand.h"
#include "plan.h"
#include "schema.h"

namespace reflex {

// Sets `selection->access` from its condition. Only conditions that every matching row must meet are used.
void choose_access(const SchemaDef& schema, const std::vector<Operand>& operands, PlanSelection* selection);

}  // namespace reflex
