// Values that come beside a query's text: `$id` in the query, id=42 in the URL. They become literals of the
// column they are compared with; nothing is ever spliced into text.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ast.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

struct Parameter {
  std::string_view name;
  std::string_view value;
};

using Parameters = std::span<const Parameter>;

// The literal that parameter `use` stands for beside a value of `storage`; `at` and name are kept for
// messages. Whether it fits the type is decided where literals are typed.
QueryError bind_parameter(Parameters parameters, const ast::Literal& use, Storage storage, ast::Literal* out);

// The number of LIMIT or OFFSET.
QueryError bind_count(Parameters parameters, const ast::Count& count, uint64_t* out);

}  // namespace reflex
