// Bodies of text: NDJSON and CSV, row by row.
#pragma once

#include <memory>

#include "answer_rows.h"
#include "body.h"

namespace reflex {

// A JSON object a line.
std::unique_ptr<Body> ndjson_body(std::unique_ptr<AnswerRows> rows);

// RFC 4180 with a line of names first; null is an empty field, an empty text is "". Requires: a flat
// selection.
std::unique_ptr<Body> csv_body(std::unique_ptr<AnswerRows> rows);

}  // namespace reflex
