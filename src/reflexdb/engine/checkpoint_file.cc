#include "checkpoint_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace reflex {
namespace {

constexpr uint64_t kFactors[4] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93,
                                  0xA0761D6478BD642F};

uint64_t word(const char* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// One to one in `lane` for each `value`, and in `value` for each `lane`.
uint64_t step(uint64_t lane, uint64_t value, uint64_t factor) {
  return std::rotl((lane ^ value) * factor, 29);
}

uint64_t block_sum(const BlockHead& head, const CheckpointId& id, const char* data) {
  char about[offsetof(BlockHead, sum) + sizeof(CheckpointId)];
  std::memcpy(about, &head, offsetof(BlockHead, sum));
  std::memcpy(about + offsetof(BlockHead, sum), id.data(), id.size());
  return checksum(data, head.size, checksum(about, sizeof about, 0));
}

// From the end of a block's head to its content.
size_t padding(uint64_t at) { return static_cast<size_t>((kBlockAlign - at % kBlockAlign) % kBlockAlign); }

uint64_t head_sum(const CheckpointHead& head) { return checksum(&head, offsetof(CheckpointHead, sum), 0); }

}  // namespace

uint64_t checksum(const void* data, size_t size, uint64_t seed) {
  const char* at = static_cast<const char*>(data);
  uint64_t lanes[4] = {seed ^ 1, seed ^ 2, seed ^ 3, seed ^ 4};
  const size_t whole = size / 32 * 32;
  for (const char* end = at + whole; at != end; at += 32) {
    for (size_t i = 0; i < 4; ++i) lanes[i] = step(lanes[i], word(at + 8 * i), kFactors[i]);
  }
  char rest[32] = {};
  if (size > whole) std::memcpy(rest, at, size - whole);
  uint64_t sum = size;
  for (size_t i = 0; i < 4; ++i) {
    const uint64_t lane = step(lanes[i], word(rest + 8 * i), kFactors[i]);
    sum = step(sum, lane ^ (lane >> 31), kFactors[3 - i]);
  }
  return sum ^ (sum >> 32);
}

CheckpointWriter::CheckpointWriter(int fd, const CheckpointHead& head, std::function<bool(size_t)> go_on)
    : fd_(fd), id_(head.id), go_on_(std::move(go_on)), block_(new char[kBlockBytes]) {
  CheckpointHead summed = head;
  summed.sum = head_sum(summed);
  put(&summed, sizeof summed);
}

void CheckpointWriter::put(const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0 && !failed_) {
    const ssize_t n = ::write(fd_, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      failed_ = true;
      error_ = n < 0 ? errno : ENOSPC;
      return;
    }
    at += n;
    size -= static_cast<size_t>(n);
    bytes_ += static_cast<uint64_t>(n);
  }
}

void CheckpointWriter::end_block(bool last) {
  put_block(block_.get(), used_, last);
  used_ = 0;
}

void CheckpointWriter::put_block(const char* data, size_t size, bool last) {
  constexpr char kZeros[kBlockAlign] = {};
  BlockHead head;
  head.size = size;
  head.last = last ? 1 : 0;
  head.number = number_++;
  head.sum = block_sum(head, id_, data);
  put(&head, sizeof head);
  put(kZeros, padding(bytes_));
  for (size_t done = 0; done < size && !failed_;) {
    const size_t piece = std::min(size - done, kBlockBytes);
    put(data + done, piece);
    done += piece;
    if (!failed_ && !last && !go_on_(piece)) {
      failed_ = true;
      error_ = ECANCELED;
    }
  }
}

void CheckpointWriter::write_own_block(const void* data, size_t size) {
  if (used_ > 0) end_block(false);
  if (!failed_) put_block(static_cast<const char*>(data), size, false);
}

void CheckpointWriter::write(const void* data, size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0 && !failed_) {
    const size_t piece = std::min(size, kBlockBytes - used_);
    std::memcpy(block_.get() + used_, at, piece);
    used_ += piece;
    at += piece;
    size -= piece;
    if (used_ == kBlockBytes) end_block(false);
  }
}

bool CheckpointWriter::finish(std::string* error) {
  if (!failed_) end_block(true);
  if (!failed_ && fsync(fd_) != 0) {
    failed_ = true;
    error_ = errno;
  }
  if (failed_) *error = std::string("The checkpoint can't be written: ") + strerror(error_) + ".";
  return !failed_;
}

MappedFile::MappedFile(int fd) {
  struct stat found{};
  if (fstat(fd, &found) != 0) why_not_ = errno;
  if (why_not_ != 0 || found.st_size <= 0) return;
  const auto size = static_cast<size_t>(found.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) why_not_ = errno;
  if (why_not_ != 0) return;
  madvise(data, size, MADV_WILLNEED);
  bytes_ = {static_cast<const char*>(data), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

bool CheckpointReader::open(const CheckpointHead& wanted, std::string* error) {
  if (rest_.size() >= sizeof head_) std::memcpy(&head_, rest_.data(), sizeof head_);
  if (file_->why_not() != 0) {
    *error = std::string("it can't be read: ") + strerror(file_->why_not());
  } else if (rest_.size() < sizeof head_ || head_.magic != wanted.magic) {
    *error = "it is not a checkpoint";
  } else if (head_.byte_order != wanted.byte_order) {
    *error = "it is of a machine with another order of bytes";
  } else if (head_.format != wanted.format) {
    *error = "it is of another version of the format";
  } else if (head_.sum != head_sum(head_)) {
    *error = "its head is damaged";
  } else if (head_.fingerprint != wanted.fingerprint) {
    *error = "it is of another plan";
  } else if (head_.hashes != wanted.hashes) {
    *error = "it is of a server that was compiled otherwise";
  } else {
    rest_ = rest_.subspan(sizeof head_);
    return true;
  }
  return false;
}

bool CheckpointReader::next_block() {
  BlockHead head;
  if (failed_ || last_) return false;
  failed_ = true;
  if (rest_.size() < sizeof head) return false;
  std::memcpy(&head, rest_.data(), sizeof head);
  rest_ = rest_.subspan(sizeof head);
  const size_t gap = padding(file_->bytes().size() - rest_.size());
  if (rest_.size() < gap || head.size > rest_.size() - gap) return false;
  const bool zeros = std::ranges::all_of(rest_.first(gap), [](char c) { return c == 0; });
  rest_ = rest_.subspan(gap);
  if (!zeros || head.number != number_ || head.last > 1 || head.spare != 0) return false;
  if ((head.size == 0) > (head.last == 1) || head.sum != block_sum(head, head_.id, rest_.data()))
    return false;
  failed_ = false;
  ++number_;
  last_ = head.last == 1;
  block_ = rest_.first(head.size);
  rest_ = rest_.subspan(head.size);
  return !block_.empty();
}

bool CheckpointReader::read(void* to, size_t size) {
  char* at = static_cast<char*>(to);
  while (size > 0) {
    if (block_.empty() && !next_block()) return false;
    const size_t piece = std::min(size, block_.size());
    std::memcpy(at, block_.data(), piece);
    block_ = block_.subspan(piece);
    at += piece;
    size -= piece;
  }
  return true;
}

const void* CheckpointReader::own_block(size_t size) {
  if (!block_.empty() || !next_block() || block_.size() != size) return nullptr;
  return std::exchange(block_, {}).data();
}

bool CheckpointReader::at_end() {
  if (block_.empty() && !last_) next_block();  // a last one without content may follow
  return !failed_ && last_ && block_.empty() && rest_.empty();
}

}  // namespace reflex
