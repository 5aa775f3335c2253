// Tight loops that test a block of one column's values at once: what a scan of a column without an index
// spends its time in.
//
// No state. Where the processor has wider registers than the architecture's baseline, they are used.
#pragma once

#include <cstdint>
#include <vector>

#include "column.h"
#include "operand.h"

namespace reflex {

// Sets bit i of `out` where value `first` + i of the chunk, of `count`, is inside the operand, or with
// `negated` where it is not; NaN is neither. Says nothing of nulls. False: there is no loop for such an
// operand, and `out` is as it was. Requires: `first` is a multiple of 64; `out` has room for `count` bits in
// whole words, of which those beyond `count` mean nothing.
bool test_values(const Operand& operand, Storage storage, const Chunk& chunk, uint32_t first, uint32_t count,
                 bool negated, uint64_t* out);

// Which entries of a dictionary fulfil a test.
struct CodeMatches {
  std::vector<uint8_t> by_code;  // 1 where it does
  // Where all that match follow each other: the first of them, and how many.
  bool run = false;
  uint64_t first = 0;
  uint64_t count = 0;

  void find_run();  // once `by_code` is complete
};

// Sets bit i of `out` where the code of value `first` + i, of `count`, is one that matches; both otherwise as
// above. Requires: the chunk has codes, `matches` is about its entries.
void test_codes(const CodeMatches& matches, const Chunk& chunk, uint32_t first, uint32_t count,
                uint64_t* out);

}  // namespace reflex
