// Names of a query in the schema: what they are, and what is said of those that are nothing.
#pragma once

#include <cstdint>
#include <string>
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

// A relation of the schema by any of its names, or one through a joining table (through.h).
bool find_relation(const SchemaDef& schema, uint32_t table, std::string_view name, Step* out);

// The first name of the relation that no visible column of its table has; empty where there is none. It is
// the key of an answer that has the column of the relation's name too.
std::string_view name_beside_columns(const TableDef& table, const ForwardDef& relation);
std::string_view name_beside_columns(const TableDef& table, const ReverseDef& relation);
std::string name_beside_columns(const SchemaDef& schema, uint32_t table, const Step& step);

// `name` is no `wanted` ("column", "relation") of the table: perhaps the other, perhaps nearly one.
QueryError unknown_field(const SchemaDef& schema, uint32_t table, const ast::Name& name, const char* wanted);

}  // namespace reflex
