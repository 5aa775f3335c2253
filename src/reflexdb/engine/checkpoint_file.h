// A file of blocks, each with a checksum, written to the end or not at all (doc/checkpoint.md). Knows nothing
// of what is in them.
//
// Writer and reader belong to one thread each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace reflex {

inline constexpr size_t kBlockBytes = 1 << 20;
using CheckpointId = std::array<uint8_t, 16>;

// Any change within one word of eight bytes changes it.
uint64_t checksum(const void* data, size_t size, uint64_t seed);

// Every file begins with this; the reader refuses another machine's, version's or plan's before it looks
// further.
struct CheckpointHead {
  std::array<char, 8> magic{'R', 'F', 'X', 'C', 'H', 'K', 'P', 'T'};
  uint32_t byte_order = 0x01020304;
  uint32_t format = 2;
  std::array<uint8_t, 32> fingerprint{};
  uint64_t hashes = 0;  // what this build's key hashes are like: indexes are stored as they are
  CheckpointId id{};    // of this file alone
  uint64_t sum = 0;     // over all before it
};
static_assert(sizeof(CheckpointHead) == 80, "the head has no padding");

struct BlockHead {
  uint32_t size = 0;  // of what follows
  uint32_t last = 0;  // 1: nothing follows it
  uint64_t number = 0;
  uint64_t sum = 0;  // over number, size, last, the file's id, and the content
};
static_assert(sizeof(BlockHead) == 24, "a block's head has no padding");

class CheckpointWriter {
 public:
  // `fd` stays the caller's. `go_on` is asked after each block of so many bytes; on false nothing more is
  // written.
  CheckpointWriter(int fd, const CheckpointHead& head, std::function<bool(size_t)> go_on);

  void write(const void* data, size_t size);
  // Ends the file and waits until it is on disk. False, and a sentence in `*error`, where any write failed.
  bool finish(std::string* error);
  bool failed() const { return failed_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void end_block(bool last);
  void put(const void* data, size_t size);

  int fd_;
  CheckpointId id_;
  std::function<bool(size_t)> go_on_;
  std::unique_ptr<char[]> block_;
  size_t used_ = 0;
  uint64_t number_ = 0;
  uint64_t bytes_ = 0;
  bool failed_ = false;
  int error_ = 0;
};

class CheckpointReader {
 public:
  // `fd` stays the caller's.
  explicit CheckpointReader(int fd);

  // False, and a sentence in `*error`: not a checkpoint, or not one for `wanted`.
  bool open(const CheckpointHead& wanted, std::string* error);
  const CheckpointHead& head() const { return head_; }

  // False from the first damage on, or where the file ends.
  bool read(void* to, size_t size);
  // Calls `take(data, size)` for the next `size` bytes, piece by piece as they lie in blocks.
  template <typename Take>
  bool pieces(uint64_t size, Take take) {
    while (size > 0) {
      if (at_ == size_ && !next_block()) return false;
      const size_t piece = static_cast<size_t>(std::min<uint64_t>(size, size_ - at_));
      take(block_.get() + at_, piece);
      at_ += piece;
      size -= piece;
    }
    return true;
  }
  // At most so many bytes are still to come: what is promised beyond can't be true.
  uint64_t left() const { return file_left_ + (size_ - at_); }
  // Whether everything was read and nothing is behind it.
  bool at_end();

 private:
  bool next_block();
  bool get(void* to, size_t size);

  int fd_;
  CheckpointHead head_;
  std::unique_ptr<char[]> block_;
  size_t at_ = 0;
  size_t size_ = 0;
  uint64_t number_ = 0;
  uint64_t file_left_ = 0;
  bool last_ = false;
  bool failed_ = false;
};

}  // namespace reflex
