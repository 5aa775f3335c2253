// A file of blocks, each with a checksum, written to the end or not at all (doc/checkpoint.md). Knows nothing
// of what is in them.
//
// What is read is the file itself, in memory: a long array is checked and left where it is. Nobody changes a
// file that has its name. Writer and reader belong to one thread each.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace reflex {

inline constexpr size_t kBlockBytes = 1 << 20;
inline constexpr size_t kOwnBlockBytes = 1 << 16;  // an array of so many has a block of its own
inline constexpr size_t kBlockAlign = 64;          // where a block's content begins in the file
using CheckpointId = std::array<uint8_t, 16>;

// Any change within one word of eight bytes changes it.
uint64_t checksum(const void* data, size_t size, uint64_t seed);

// Every file begins with this; the reader refuses another machine's, version's or plan's before it looks
// further.
struct CheckpointHead {
  std::array<char, 8> magic{'R', 'F', 'X', 'C', 'H', 'K', 'P', 'T'};
  uint32_t byte_order = 0x01020304;
  uint32_t format = 3;
  std::array<uint8_t, 32> fingerprint{};
  uint64_t hashes = 0;  // what this build's key hashes are like: indexes are stored as they are
  CheckpointId id{};    // of this file alone
  uint64_t sum = 0;     // over all before it
};
static_assert(sizeof(CheckpointHead) == 80, "the head has no padding");

struct BlockHead {
  uint64_t size = 0;  // of its content
  uint32_t last = 0;  // 1: nothing follows it
  uint32_t spare = 0;
  uint64_t number = 0;
  uint64_t sum = 0;  // over all before it, the file's id, and the content
};
static_assert(sizeof(BlockHead) == 32, "a block's head has no padding");

class CheckpointWriter {
 public:
  // `fd` stays the caller's. `go_on` is asked after each block of so many bytes; on false nothing more is
  // written.
  CheckpointWriter(int fd, const CheckpointHead& head, std::function<bool(size_t)> go_on);

  void write(const void* data, size_t size);
  // A block that has this content and nothing else.
  void write_own_block(const void* data, size_t size);
  // Ends the file and waits until it is on disk. False, and a sentence in `*error`, where any write failed.
  bool finish(std::string* error);
  bool failed() const { return failed_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void end_block(bool last);
  void put_block(const char* data, size_t size, bool last);
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

// A file in memory, for reading.
class MappedFile {
 public:
  explicit MappedFile(int fd);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  // Empty where it can't be had.
  std::span<const char> bytes() const { return bytes_; }
  // The errno of what failed; 0 where nothing did.
  int why_not() const { return why_not_; }

 private:
  std::span<const char> bytes_;
  int why_not_ = 0;
};

class CheckpointReader {
 public:
  // `fd` stays the caller's.
  explicit CheckpointReader(int fd) : file_(std::make_shared<const MappedFile>(fd)), rest_(file_->bytes()) {}

  // False, and a sentence in `*error`: not a checkpoint, or not one for `wanted`.
  bool open(const CheckpointHead& wanted, std::string* error);
  const CheckpointHead& head() const { return head_; }
  // What `own_block` gives lies in it.
  std::shared_ptr<const void> file() const { return file_; }

  // False from the first damage on, or where the file ends.
  bool read(void* to, size_t size);
  // The content of the block that comes next, which has so many bytes; null where there is none.
  const void* own_block(size_t size);
  // At most so many bytes are still to come: what is promised beyond can't be true.
  uint64_t left() const { return rest_.size() + block_.size(); }
  // Whether everything was read and nothing is behind it.
  bool at_end();

 private:
  bool next_block();

  std::shared_ptr<const MappedFile> file_;
  CheckpointHead head_;
  std::span<const char> rest_;   // of the file, behind the block
  std::span<const char> block_;  // what is left of it
  uint64_t number_ = 0;
  bool last_ = false;
  bool failed_ = false;
};

}  // namespace reflex
