// Rows of one table in that table's order, in blocks that versions share; and walking over such a list or
// over a plain array of rows without knowing which it is.
//
// As for paged.h: a list that has been handed out is immutable, writing takes an Edit. The order is an
// argument: a list holds row numbers only.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "paged.h"

namespace reflex {

class RowList {
 public:
  static constexpr size_t kBlockRows = 2048;

  struct Block {
    uint64_t edit = 0;
    std::vector<uint32_t> rows;
  };
  using Blocks = std::vector<std::shared_ptr<Block>>;

  uint64_t edit = 0;  // that made this list, where it is itself shared

  size_t size() const { return size_; }
  const Blocks& blocks() const { return blocks_; }

  void append(uint32_t row, Edit* by) {
    if (blocks_.empty() || blocks_.back()->rows.size() >= kBlockRows / 2) add_block(blocks_.end(), by);
    own(blocks_.size() - 1, by).push_back(row);
    ++size_;
  }

  // Requires: `row` is not in the list. `less` orders rows as the list does.
  template <typename Less>
  void insert(uint32_t row, Less less, Edit* by) {
    if (blocks_.empty()) return append(row, by);
    const size_t at = block_of(row, less);
    std::vector<uint32_t>* rows = &own(at, by);
    rows->insert(std::lower_bound(rows->begin(), rows->end(), row, less), row);
    ++size_;
    if (rows->size() > kBlockRows) split(at, by);
  }

  // Requires: `row` is in the list, and is what it was when it was inserted.
  template <typename Less>
  void erase(uint32_t row, Less less, Edit* by) {
    const size_t at = block_of(row, less);
    std::vector<uint32_t>& rows = own(at, by);
    const auto found = std::lower_bound(rows.begin(), rows.end(), row, less);
    assert(found != rows.end() && *found == row);
    rows.erase(found);
    --size_;
    if (!rows.empty()) return;
    by->replaced(sizeof(Block) + rows.capacity() * sizeof(uint32_t), 0);
    blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(at));
  }

  // How many rows, from the first on, `is_before` holds for. Requires: for none behind one it does not hold
  // for.
  template <typename IsBefore>
  size_t partition(IsBefore is_before) const {
    size_t passed = 0;
    for (const auto& block : blocks_) {
      const std::vector<uint32_t>& rows = block->rows;
      if (is_before(rows.back())) {
        passed += rows.size();
        continue;
      }
      return passed +
             static_cast<size_t>(std::partition_point(rows.begin(), rows.end(), is_before) - rows.begin());
    }
    return passed;
  }

  uint64_t memory() const {
    uint64_t total = sizeof(RowList) + blocks_.capacity() * sizeof(blocks_[0]);
    for (const auto& block : blocks_) total += sizeof(Block) + block->rows.capacity() * sizeof(uint32_t);
    return total;
  }

 private:
  // The block that `row` is in or belongs to: the first whose last row is not before it, or the last.
  template <typename Less>
  size_t block_of(uint32_t row, Less less) const {
    assert(!blocks_.empty());
    const auto found = std::partition_point(blocks_.begin(), blocks_.end(),
                                            [&](const auto& block) { return less(block->rows.back(), row); });
    return found == blocks_.end() ? blocks_.size() - 1 : static_cast<size_t>(found - blocks_.begin());
  }

  static size_t bytes_of(const Block& block) {
    return sizeof(Block) + block.rows.capacity() * sizeof(uint32_t);
  }

  std::vector<uint32_t>& own(size_t at, Edit* by) {
    std::shared_ptr<Block>& block = blocks_[at];
    if (block->edit != by->id) {
      auto copy = std::make_shared<Block>();
      copy->rows.reserve(block->rows.size() + block->rows.size() / 8 + 2);
      copy->rows = block->rows;
      copy->edit = by->id;
      by->replaced(bytes_of(*block), bytes_of(*copy));
      block = std::move(copy);
    }
    return block->rows;
  }

  void add_block(Blocks::iterator at, Edit* by) {
    auto block = std::make_shared<Block>();
    block->edit = by->id;
    by->replaced(0, sizeof(Block));
    blocks_.insert(at, std::move(block));
  }

  void split(size_t at, Edit* by) {
    add_block(blocks_.begin() + static_cast<ptrdiff_t>(at) + 1, by);
    std::vector<uint32_t>& left = blocks_[at]->rows;
    std::vector<uint32_t>& right = blocks_[at + 1]->rows;
    const auto middle = left.begin() + static_cast<ptrdiff_t>(left.size() / 2);
    right.assign(middle, left.end());
    left.erase(middle, left.end());
    by->replaced(0, right.capacity() * sizeof(uint32_t));
  }

  Blocks blocks_;
  size_t size_ = 0;
};

// Rows one after the other. Borrows what it was made from.
class RowRange {
 public:
  RowRange(std::span<const uint32_t> rows) : flat_(rows), size_(rows.size()) {}  // NOLINT: a span is a range
  RowRange(const RowList& list) : RowRange(list, 0) {}                           // NOLINT: and so is a list
  // All but the first `skip` rows.
  RowRange(const RowList& list, size_t skip) : size_(list.size() - skip) {
    assert(skip <= list.size());
    block_ = list.blocks().data();
    last_ = block_ + list.blocks().size();
    for (; block_ != last_ && skip >= (*block_)->rows.size(); ++block_) skip -= (*block_)->rows.size();
    if (skip == 0) return;
    flat_ = std::span<const uint32_t>((*block_)->rows).subspan(skip);
    ++block_;
  }

  size_t size() const { return size_; }

  struct End {};
  class Iterator {
   public:
    Iterator(std::span<const uint32_t> flat, const std::shared_ptr<RowList::Block>* block,
             const std::shared_ptr<RowList::Block>* last)
        : at_(flat.data()), end_(flat.data() + flat.size()), block_(block), last_(last) {
      if (at_ == end_) next();
    }
    uint32_t operator*() const { return *at_; }
    Iterator& operator++() {
      if (++at_ == end_) next();
      return *this;
    }
    bool operator!=(End) const { return at_ != nullptr; }

   private:
    void next() {
      at_ = nullptr;
      if (block_ == last_) return;
      at_ = (*block_)->rows.data();
      end_ = at_ + (*block_)->rows.size();
      ++block_;
    }

    const uint32_t* at_;
    const uint32_t* end_;
    const std::shared_ptr<RowList::Block>* block_;
    const std::shared_ptr<RowList::Block>* last_;
  };
  Iterator begin() const { return {flat_, block_, last_}; }
  static End end() { return {}; }

 private:
  std::span<const uint32_t> flat_;
  const std::shared_ptr<RowList::Block>* block_ = nullptr;
  const std::shared_ptr<RowList::Block>* last_ = nullptr;
  size_t size_;
};

}  // namespace reflex
