// Relations to many through a table that holds nothing but two foreign keys: posts have tags where post_tags
// joins them. They are derived from the schema, where the build named no relation like that; the joining
// table's own relations stay.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan.h"
#include "schema.h"
#include "store.h"

namespace reflex {

struct Through {
  std::string name;
  Step step;
};

// Named after the table they lead to; where several lead there, or a column has that name,
// `<table>_by_<joining table>`, and where a table is joined to itself, `<table>_by_<the key that leads
// back>`. One whose name is another relation's or a column's is left out.
std::vector<Through> through_relations(const SchemaDef& schema, uint32_t table);

// The rows that `parent` has along `step`, each once and in their table's order. Requires: step.through.
void rows_through(const Snapshot& snapshot, const Step& step, uint32_t parent, std::vector<uint32_t>* out);

// Sets the bit of each parent that is joined to a row whose bit is set in `hits`. Requires: step.through.
void mark_joined(const Snapshot& snapshot, const Step& step, const std::vector<uint64_t>& hits,
                 std::vector<uint64_t>* parents);

}  // namespace reflex
