// From a query's text to its syntax tree. The grammar is in docs/reference/query-language.md.
//
// Recursion is bounded by `max_depth`, which counts braces, parentheses, NOTs and dots alike, so that no text
// can exhaust the stack.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ast.h"
#include "query_error.h"

namespace reflex {

// What an aggregate is called in the answer: `count`, `sum_views`.
std::string aggregate_name(const ast::Aggregate& aggregate);

// Fills `*out` or returns why not. `text` may be any bytes.
QueryError parse_query(std::string_view text, uint32_t max_depth, ast::Query* out);

}  // namespace reflex
