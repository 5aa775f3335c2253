// Looks up a query's names, types its literals and chooses how its rows are found.
#pragma once

#include "ast.h"
#include "plan.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

// Fills `*out`, which refers to `schema`, or returns unknown_table, unknown_field, type_mismatch or
// syntax_error.
QueryError bind_query(const SchemaDef& schema, const ast::Selection& query, Plan* out);

}  // namespace reflex
