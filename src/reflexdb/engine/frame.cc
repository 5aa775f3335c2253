#include "frame.h"

#include <errno.h>
#include <sys/socket.h>

#include <array>
#include <cassert>

namespace reflex::net {
namespace {

constexpr size_t kKeptBytes = 1 << 20;  // of a reader's buffer between frames

}  // namespace

bool FrameReader::fill(uint8_t* to, size_t count) {
  while (count > 0) {
    const ssize_t got = recv(fd_, to, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    count -= static_cast<size_t>(got);
  }
  return true;
}

FrameReader::Outcome FrameReader::next(Frame* frame) {
  std::array<uint8_t, 4> head{};
  if (!fill(head.data(), head.size())) return Outcome::kEnd;
  uint32_t length = 0;
  std::memcpy(&length, head.data(), sizeof(length));
  if (length == 0) return Outcome::kEmpty;
  if (length > kMaxFrameBytes) return Outcome::kTooLarge;
  if (buffer_.capacity() > kKeptBytes && length < kKeptBytes) buffer_ = {};
  // Grown as bytes arrive: a length alone costs nothing.
  size_t have = 0;
  while (have < length) {
    const size_t step = std::min<size_t>(length - have, kKeptBytes);
    buffer_.resize(have + step);
    if (!fill(buffer_.data() + have, step)) return Outcome::kEnd;
    have += step;
  }
  frame->kind = buffer_[0];
  frame->body = std::span<const uint8_t>(buffer_).subspan(1, length - 1);
  return Outcome::kFrame;
}

bool send_frame(int fd, Kind kind, std::string_view body, int attached) {
  const uint32_t length = static_cast<uint32_t>(body.size() + 1);
  std::array<char, 5> head{};
  std::memcpy(head.data(), &length, sizeof(length));
  head[4] = static_cast<char>(kind);
  std::array<iovec, 2> parts{iovec{head.data(), head.size()},
                             iovec{const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (attached >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &attached, sizeof(int));
  }
  size_t left = head.size() + body.size();
  while (left > 0) {
    const ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    left -= static_cast<size_t>(sent);
    message.msg_control = nullptr;
    message.msg_controllen = 0;
    size_t skip = static_cast<size_t>(sent);
    for (iovec& part : parts) {
      const size_t step = std::min(skip, part.iov_len);
      part.iov_base = static_cast<char*>(part.iov_base) + step;
      part.iov_len -= step;
      skip -= step;
    }
  }
  return true;
}

}  // namespace reflex::net
