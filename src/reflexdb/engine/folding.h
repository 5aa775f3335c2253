// Texts that a source takes for equal though their bytes differ: in case, accents or blanks at the end, by
// the collation of a column.
//
// A folding turns a text into elements, numbers of which equal texts have the same (FoldingDef). Pure
// functions; any thread. Requires of all: valid UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schema.h"

namespace reflex {

// The same for equal texts.
uint64_t hash_folded(const FoldingDef& folding, std::string_view text);

bool equal_folded(const FoldingDef& folding, std::string_view a, std::string_view b);

// A text that is the same, byte by byte, for equal texts; of no other use.
std::string folded(const FoldingDef& folding, std::string_view text);

}  // namespace reflex
