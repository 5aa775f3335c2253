// Values of columns as JSON.
#pragma once

#include <cstddef>

#include "column.h"
#include "json_out.h"
#include "key.h"

namespace reflex {

// What write_value takes of the room that a Writer's place has (json_out.h).
inline constexpr size_t kValueRoom = Writer::kRoom - 64;

// `at` is a place of the writer with at least kValueRoom bytes; the place behind the value is the answer.
char* write_value(const Cell& cell, Storage storage, char* at, Writer* writer);

// The same for an integer that is not read from its column.
char* write_integer_value(Int128 value, char* at);

void emit_value(const Column& column, uint32_t row, Writer* writer);

}  // namespace reflex
