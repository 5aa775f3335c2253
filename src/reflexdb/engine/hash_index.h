// A unique hash index over one or more columns of a table: from a key to its row.
//
// Holds row numbers only (4 bytes a slot); keys are compared in the columns themselves. Where the key is one
// integer column whose values are consecutive, as surrogate keys often are, it holds nothing and computes the
// row. Immutable once built; any thread may look up.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "column.h"
#include "key.h"

namespace reflex {

inline constexpr uint32_t kNoRow = 0xFFFFFFFF;

class HashIndex {
 public:
  // Indexes rows [0, rows) by the given columns of `table`; rows with a null part are left out. Of rows with
  // equal keys the first is kept, and `*duplicate` (may be null) is set to a later one.
  void build(std::span<const Column> table, std::span<const uint16_t> key, uint32_t rows,
             uint32_t* duplicate);

  // Row of the key, or kNoRow. Requires: one part per key column, each of that column's class; `table` as at
  // build.
  uint32_t find(std::span<const Column> table, std::span<const uint16_t> key,
                std::span<const KeyPart> parts) const;

  uint64_t memory() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  bool try_dense(const Column& column, uint32_t rows);

  std::vector<uint32_t> slots_;
  uint64_t mask_ = 0;
  bool dense_ = false;
  uint32_t rows_ = 0;
  Int128 first_ = 0;
};

}  // namespace reflex
