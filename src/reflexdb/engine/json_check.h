// Is this text exactly one JSON value? (RFC 8259, strictly.) Used for every JSON value that comes in, so that
// emitting is a copy.
#pragma once

#include <string_view>

namespace reflex {

inline constexpr int kMaxJsonLevels = 512;

// Requires: valid UTF-8 (check that first). Iterative: hostile nesting costs no stack.
bool json_valid(std::string_view text);

}  // namespace reflex
