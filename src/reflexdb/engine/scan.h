// Going through all rows of a table for those that match, in the table's order. Belongs to one query in one
// thread; ends early once the ticker's time is over.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "filter.h"
#include "plan.h"
#include "profile.h"
#include "store.h"
#include "ticker.h"

namespace reflex {

// Calls `take` with each row whose bit is set, from row `first` on, until it answers false, which is then
// answered.
template <typename Take>
bool for_each_row(uint32_t first, uint32_t words, const Filter::Mask& found, Take take) {
  for (uint32_t w = 0; w < words; ++w) {
    for (uint64_t left = found[w]; left != 0; left &= left - 1) {
      if (!take(first + w * 64 + static_cast<uint32_t>(std::countr_zero(left)))) return false;
    }
  }
  return true;
}

class Scan {
 public:
  // Borrows all; `profile` may be null.
  Scan(const Table& table, const PlanSelection& selection, Filter* filter, Ticker* ticker, Profile* profile)
      : table_(table), selection_(selection), filter_(*filter), ticker_(*ticker), profile_(profile) {}

  // Calls `take` with each row until it answers false.
  template <typename Take>
  void rows(Take take) {
    table_.ordered ? by_order(0, take) : by_number(0, take);
  }

  // The same from the place `skip` in the table's order on, which it has. Rows are tested in blocks of their
  // numbers, when the first of a block is met.
  template <typename Take>
  void by_order(size_t skip, Take take) {
    constexpr uint32_t kWords = Filter::kBlock / 64;
    std::vector<uint64_t> found;
    std::vector<bool> tested;
    if (selection_.filtered) {
      const size_t blocks = (static_cast<size_t>(table_.rows) + Filter::kBlock - 1) / Filter::kBlock;
      found.resize(blocks * kWords);
      tested.resize(blocks);
    }
    for (const uint32_t row : RowRange(table_.order, skip)) {
      if (!ticker_.spend(1)) return;
      looked_at(1);
      if (selection_.filtered) {
        const uint32_t block = row / Filter::kBlock;
        if (!tested[block]) {
          tested[block] = true;
          if (!test(block * Filter::kBlock, &found[size_t{block} * kWords])) return;
        }
        if (((found[row / 64] >> (row % 64)) & 1) == 0) continue;
      }
      if (!take(row)) return;
    }
  }

  // The same from the block of row number `from` on, where rows are in the order of their numbers.
  template <typename Take>
  void by_number(uint32_t from, Take take) {
    blocks(from, [&](uint32_t first, uint32_t words, const Filter::Mask& found) {
      return for_each_row(first, words, found, take);
    });
  }

  // Calls `visit` with the first row of each block, how many words its mask has, and the mask of those that
  // match, which is the visitor's, until it answers false.
  template <typename Visit>
  void blocks(uint32_t from, Visit visit) {
    const uint64_t begin = from - from % Filter::kBlock;
    uint32_t count = 0;
    for (uint64_t first = begin; first < table_.rows; first += count) {
      // Blocks of 128, 128, 256, 512 and then 1024: who wants few rows should not wait for a thousand.
      count = static_cast<uint32_t>(
          std::min({std::max<uint64_t>(first - begin, 128), uint64_t{Filter::kBlock}, table_.rows - first}));
      if (!ticker_.spend(count)) return;
      const auto at = static_cast<uint32_t>(first);
      Filter::Mask active;
      Filter::Mask found;
      Filter::fill_mask(table_, at, count, active);
      looked_at(count);
      if (selection_.filtered) filter_.test_block(selection_.where, table_, at, count, active, found);
      if (!visit(at, (count + 63) / 64, selection_.filtered ? found : active)) return;
    }
  }

 private:
  void looked_at(uint64_t rows) {
    if (profile_ != nullptr) [[unlikely]]
      profile_->of(selection_).looked += rows;
  }

  // Puts the mask of a whole block, from row `first` on, into `out`.
  bool test(uint32_t first, uint64_t* out) {
    const uint32_t count = std::min(Filter::kBlock, table_.rows - first);
    if (!ticker_.spend(count)) return false;
    Filter::Mask active;
    Filter::Mask found;
    Filter::fill_mask(table_, first, count, active);
    filter_.test_block(selection_.where, table_, first, count, active, found);
    std::memcpy(out, found, (count + 63) / 64 * 8);
    return true;
  }

  const Table& table_;
  const PlanSelection& selection_;
  Filter& filter_;
  Ticker& ticker_;
  Profile* profile_;
};

}  // namespace reflex
