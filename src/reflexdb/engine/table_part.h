// Rows of one table that are replaced together: all of them, or those whose key's first column, an integer,
// is in one of some ranges (doc/feed.md, TABLE_PART).
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

#include "key.h"
#include "schema.h"
#include "snapshot.h"

namespace reflex {

struct TablePart {
  struct Range {
    Int128 first;
    Int128 last;
  };

  bool has(Int128 value) const {
    const auto after =
        std::upper_bound(ranges.begin(), ranges.end(), value,
                         [](Int128 wanted, const Range& range) { return wanted < range.first; });
    return after != ranges.begin() && value <= std::prev(after)->last;
  }

  bool is_whole() const { return ranges.empty(); }

  uint32_t table = 0;
  std::vector<Range> ranges;  // ascending, apart; none for the whole table, whatever the type of its key
};

// Takes a TABLE_PART frame's body apart, trusting nothing in it.
Status parse_part(std::span<const uint8_t> body, const SchemaDef& schema, TablePart* out);

}  // namespace reflex
