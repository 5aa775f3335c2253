// Looks up a query's names, types its literals and chooses how its rows are found.
#pragma once

#include "ast.h"
#include "parameters.h"
#include "plan.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

// Fills `*out`, which refers to `schema`, or returns unknown_table, unknown_field, type_mismatch or
// syntax_error;
// missing_parameter where the query needs a value that `parameters` lack.
QueryError bind_query(const SchemaDef& schema, const ast::Query& query, Parameters parameters, Plan* out);

}  // namespace reflex
