// Three queries on the sample blog as a generator would print them for its schema alone: no text of a query,
// no plan, every column and relation a constant. What bench-engine sets beside the engine's own answers, to
// show what generated code could gain (docs/decisions/0003, 0037).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "snapshot.h"

namespace bench {

// Appends an answer for a user's id, or a number of views.
using Answer = void (*)(const reflex::Snapshot& snapshot, int64_t argument, std::string* out);

// point, nested or filter; null for any other name.
Answer specialised(std::string_view name);

}  // namespace bench
