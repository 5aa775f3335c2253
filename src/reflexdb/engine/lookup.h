// Names of a query in the schema: what they are, and what is said of those that are nothing.
#pragma once

#include <cstdint>
#include <string_view>

#include "ast.h"
#include "plan.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

// Visible ones only.
bool find_column(const TableDef& table, std::string_view name, uint16_t* out);

Step forward_step(const SchemaDef& schema, uint32_t table, size_t index);
Step reverse_step(const ReverseDef& reverse);

// A relation of the schema, or one through a joining table (through.h).
bool find_relation(const SchemaDef& schema, uint32_t table, std::string_view name, Step* out);

// `name` is no `wanted` ("column", "relation") of the table: perhaps the other, perhaps nearly one.
QueryError unknown_field(const SchemaDef& schema, uint32_t table, const ast::Name& name, const char* wanted);

}  // namespace reflex
