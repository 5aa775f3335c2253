#include "chain.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <mutex>

namespace reflex {

namespace {

// The blocks that nobody uses. Once per 256 KiB of answer, so that the lock costs nothing.
struct SpareBlocks {
  std::mutex mutex;
  std::array<std::unique_ptr<char[]>, Chain::kKept> blocks;  // by mutex
  size_t count = 0;                                          // by mutex
};

SpareBlocks& spare_blocks() {
  static SpareBlocks spare;
  return spare;
}

}  // namespace

void Chain::give_back(Block block) {
  SpareBlocks& spare = spare_blocks();
  std::lock_guard lock(spare.mutex);
  if (spare.count < kKept) spare.blocks[spare.count++] = std::move(block.bytes);
}

// Null where there is none.
std::unique_ptr<char[]> Chain::take_spare() {
  SpareBlocks& spare = spare_blocks();
  std::lock_guard lock(spare.mutex);
  return spare.count == 0 ? nullptr : std::move(spare.blocks[--spare.count]);
}

char* Chain::add() {
  blocks_.emplace_back();
  blocks_.back().bytes = take_spare();
  if (blocks_.back().bytes == nullptr) blocks_.back().bytes.reset(new char[kBlock]);
  return blocks_.back().bytes.get();
}

void Chain::fill(size_t used) {
  assert(!blocks_.empty() && blocks_.back().used == 0 && used <= kBlock);
  blocks_.back().used = used;
  size_ += used;
}

void Chain::give_all_back() {
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
