// Times of day and intervals. They are kept as the text that their source prints, and compare by their value.
//
// A key is a short run of bytes: equal values have equal keys, and keys order byte by byte as values do. Pure
// functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "schema.h"

namespace reflex {

constexpr bool is_ordered_text(Storage storage) {
  return storage == Storage::kTime || storage == Storage::kInterval;
}

// Requires: is_ordered_text(storage). A text that is no such value comes after all that are, by its bytes.
std::string ordered_key(Storage storage, std::string_view text);

// Whether the text is a time of day or an interval in a spelling that a source takes: "9:00", "-838:59:59",
// "1 12:00:00", "04:05 PM", "12:00:00+02"; "1 day 02:00:00", "-2 mons", "90 minutes ago", "P1DT2H".
bool is_ordered_value(Storage storage, std::string_view text);

// Whether a time of day ends in a zone. Requires: is_ordered_value(Storage::kTime, text).
bool has_zone(std::string_view text);

}  // namespace reflex
