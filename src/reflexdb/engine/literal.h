// One literal as a value of one storage: which literals fit which types, and what each means there.
#pragma once

#include <string>

#include "ast.h"
#include "decimal.h"
#include "query_error.h"
#include "schema.h"

namespace reflex {

struct Value {
  Int128 integer =
      0;  // integers, booleans, dates and times as their count; may lie outside the column's range
  double number = 0;  // floats, rounded to the column's width
  std::string bytes;  // text, binary, uuid's 16 bytes, canonical decimal
};

// Fills `*out`, or returns what would fit: "a whole number", "a date like \"2026-04-15\"".
std::string type_literal(Storage storage, const ast::Literal& literal, Value* out);

// "Column `age` (int unsigned)"
std::string column_words(const ColumnDef& column);

// The type_mismatch at the literal's position.
QueryError literal_mismatch(const ColumnDef& column, const ast::Literal& literal, const std::string& wanted);

}  // namespace reflex
