// Apache Arrow's IPC stream: a schema and batches of columns, for those who read many rows at once. Types are
// in docs/reference/formats.md.
#pragma once

#include <memory>

#include "answer_rows.h"
#include "body.h"

namespace reflex {

// Requires: a flat selection.
std::unique_ptr<Body> arrow_body(std::unique_ptr<AnswerRows> rows);

}  // namespace reflex
