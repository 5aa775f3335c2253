// Runs a bound plan over a snapshot and writes the answer.
#pragma once

#include "json_out.h"
#include "plan.h"
#include "query.h"
#include "query_error.h"
#include "rows.h"
#include "schema.h"
#include "store.h"

namespace reflex {

// Sets `*next` to where the next page starts, or leaves it empty.
// Appends the answer to what `writer` was started with, or returns limit_exceeded; then what was written is
// to be thrown away.
QueryError run_plan(const SchemaDef& schema, const Snapshot& snapshot, const Plan& plan, const Limits& limits,
                    Scratch* scratch, Writer* writer, std::string* next);

}  // namespace reflex
