// The status line and header fields of an answer, as bytes. Belongs to one event loop, for its cached Date.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "endpoints.h"

namespace reflex::net {

class ReplyHead {
 public:
  static constexpr size_t kMaxBytes = 3328;

  explicit ReplyHead(std::string_view boot_id) : boot_id_(boot_id) {}

  // Writes a head into `out`, which has room for kMaxBytes, and answers its length.
  size_t write(const Reply& reply, size_t body_bytes, char* out);

 private:
  std::string_view date();

  std::string_view boot_id_;
  int64_t date_second_ = -1;
  size_t date_length_ = 0;
  char date_[48];
};

}  // namespace reflex::net
