// Whether a query is read page by page, and where this page starts.
#pragma once

#include "ast.h"
#include "parameters.h"
#include "plan.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

// Sets the page of the plan's outermost selection, which is bound but for that. A full page with ORDER BY and
// LIMIT, or AFTER, says where the next one starts.
QueryError bind_page(const SchemaDef& schema, const ast::Selection& query, Parameters parameters, Plan* plan);

}  // namespace reflex
