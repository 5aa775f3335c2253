// The bytes of a long answer in blocks of one size: it grows without being copied, and a block whose bytes
// are sent is free for the next.
//
// A Chain belongs to whoever holds it and may be moved; not to be used by two threads at once. Spare blocks
// are kept for the next chain of any thread, up to kKept: who fills a chain is often not who empties it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace reflex {

class Chain {
 public:
  static constexpr size_t kBlock = 256 << 10;
  static constexpr size_t kKept = 128;  // spare blocks: 32 MiB

  Chain() = default;
  Chain(Chain&& from) noexcept { *this = std::move(from); }
  Chain& operator=(Chain&& from) noexcept {
    if (this == &from) return *this;
    clear();
    if (from.blocks_.empty()) [[likely]]
      return *this;
    blocks_ = std::exchange(from.blocks_, {});
    size_ = std::exchange(from.size_, 0);
    taken_ = std::exchange(from.taken_, 0);
    return *this;
  }
  ~Chain() { clear(); }

  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Room for kBlock bytes behind all others, none of which counts yet.
  char* add();
  // The first `used` bytes of the block added last count. Once for each block.
  void fill(size_t used);
  void clear() {
    if (!blocks_.empty()) [[unlikely]]
      give_all_back();
  }

  // The bytes from the first on, piece by piece: fills up to `most` of `pieces` and answers how many.
  struct Piece {
    const char* bytes;
    size_t size;
  };
  size_t front(Piece* pieces, size_t most) const;
  // The first `count` bytes are done with.
  void drop(size_t count);

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t used = 0;
  };
  static std::unique_ptr<char[]> take_spare();
  static void give_back(Block block);
  void give_all_back();

  std::vector<Block> blocks_;
  uint64_t size_ = 0;
  size_t taken_ = 0;  // of the first block
};

}  // namespace reflex
