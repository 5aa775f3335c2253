// One value of a column as JSON.
#pragma once

#include "column.h"
#include "json_out.h"

namespace reflex {

void emit_value(const Column& column, uint32_t row, Writer* writer);

}  // namespace reflex
