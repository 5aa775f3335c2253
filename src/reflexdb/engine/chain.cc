#include "chain.h"

#include <algorithm>
#include <cassert>

namespace reflex {

Chain::Spare& Chain::spare() {
  static thread_local Spare blocks;
  return blocks;
}

void Chain::give_back(Block block) {
  Spare& kept = spare();
  // The room for them all was taken with the first block, so nothing is thrown here; a thread that only ever
  // gives back keeps none.
  if (kept.size() < kept.capacity()) kept.push_back(std::move(block.bytes));
}

char* Chain::add() {
  Spare& kept = spare();
  kept.reserve(kKept);
  blocks_.emplace_back();
  if (kept.empty()) {
    blocks_.back().bytes.reset(new char[kBlock]);
  } else {
    blocks_.back().bytes = std::move(kept.back());
    kept.pop_back();
  }
  return blocks_.back().bytes.get();
}

void Chain::fill(size_t used) {
  assert(!blocks_.empty() && blocks_.back().used == 0 && used <= kBlock);
  blocks_.back().used = used;
  size_ += used;
}

void Chain::clear() {
  for (Block& block : blocks_) {
    if (block.bytes != nullptr) give_back(std::move(block));
  }
  blocks_.clear();
  size_ = taken_ = 0;
}

size_t Chain::front(Piece* pieces, size_t most) const {
  const size_t count = std::min(most, blocks_.size());
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = i == 0 ? taken_ : 0;
    pieces[i] = {blocks_[i].bytes.get() + begin, blocks_[i].used - begin};
  }
  return count;
}

void Chain::drop(size_t count) {
  assert(count <= size_);
  size_ -= count;
  taken_ += count;
  size_t done = 0;
  while (done < blocks_.size() && taken_ >= blocks_[done].used) {
    taken_ -= blocks_[done].used;
    give_back(std::move(blocks_[done++]));
  }
  blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<ptrdiff_t>(done));
}

}  // namespace reflex
