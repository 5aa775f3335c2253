#include "checkpoint_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstring>

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
  char about[16 + sizeof(CheckpointId)];
  std::memcpy(about, &head.size, 4);
  std::memcpy(about + 4, &head.last, 4);
  std::memcpy(about + 8, &head.number, 8);
  std::memcpy(about + 16, id.data(), id.size());
  return checksum(data, head.size, checksum(about, sizeof about, 0));
}

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
  BlockHead head;
  head.size = static_cast<uint32_t>(used_);
  head.last = last ? 1 : 0;
  head.number = number_++;
  head.sum = block_sum(head, id_, block_.get());
  put(&head, sizeof head);
  put(block_.get(), used_);
  if (!failed_ && !last && !go_on_(used_)) {
    failed_ = true;
    error_ = ECANCELED;
  }
  used_ = 0;
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

CheckpointReader::CheckpointReader(int fd) : fd_(fd), block_(new char[kBlockBytes]) {
  struct stat found{};
  if (fstat(fd, &found) == 0 && found.st_size > 0) file_left_ = static_cast<uint64_t>(found.st_size);
}

bool CheckpointReader::get(void* to, size_t size) {
  char* at = static_cast<char*>(to);
  if (size > file_left_) return false;
  file_left_ -= size;
  while (size > 0) {
    const ssize_t n = ::read(fd_, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool CheckpointReader::open(const CheckpointHead& wanted, std::string* error) {
  if (!get(&head_, sizeof head_) || head_.magic != wanted.magic) {
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
    return true;
  }
  return false;
}

bool CheckpointReader::next_block() {
  BlockHead head;
  if (failed_ || last_) return false;
  failed_ = true;
  if (!get(&head, sizeof head) || head.size > kBlockBytes || head.last > 1 || head.number != number_)
    return false;
  if ((head.size == 0) > (head.last == 1) || !get(block_.get(), head.size)) return false;
  if (head.sum != block_sum(head, head_.id, block_.get())) return false;
  failed_ = false;
  ++number_;
  last_ = head.last == 1;
  at_ = 0;
  size_ = head.size;
  return size_ > 0;
}

bool CheckpointReader::read(void* to, size_t size) {
  char* at = static_cast<char*>(to);
  return pieces(size, [&at](const char* data, size_t piece) {
    std::memcpy(at, data, piece);
    at += piece;
  });
}

bool CheckpointReader::at_end() {
  if (at_ == size_ && !last_) next_block();  // a last one without content may follow
  return !failed_ && last_ && at_ == size_ && file_left_ == 0;
}

}  // namespace reflex
