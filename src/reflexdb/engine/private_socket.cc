#include "private_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "log.h"

namespace reflex::net {
namespace {

constexpr char kName[] = "server.sock";
constexpr char kUnfinishedName[] = "server.sock.new";
constexpr size_t kFirstRead = 64 * 1024;
constexpr std::chrono::milliseconds kLastAnswers(500);

template <size_t N>
sockaddr_un address(const char (&name)[N]) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  static_assert(N <= sizeof address.sun_path);
  memcpy(address.sun_path, name, N);
  return address;
}

// A server that still answers on the name must not be robbed of it.
bool is_answered() {
  const sockaddr_un to = address(kName);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool answered = fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  if (fd >= 0) close(fd);
  return answered;
}

// Received bytes of one connection; grows with what arrives, not with what a length claims.
class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {}
  ~Reader() { free(data_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The next `size` bytes, valid until the next call. Null: the connection ended first.
  const uint8_t* take(size_t size) {
    begin_ += std::exchange(taken_, 0);
    while (end_ - begin_ < size) {
      make_room(std::min(size, std::max(kFirstRead, 2 * (end_ - begin_))));
      const ssize_t n = recv(fd_, data_ + end_, capacity_ - end_, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return nullptr;
      end_ += static_cast<size_t>(n);
    }
    taken_ = size;
    return data_ + begin_;
  }

 private:
  // Room for `size` bytes from begin_ on, and for at least one more than there are.
  void make_room(size_t size) {
    assert(size > end_ - begin_ || size == kFirstRead);
    if (begin_ > 0) {
      memmove(data_, data_ + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const size_t wanted = std::max(size, kFirstRead);
    if (capacity_ >= wanted && capacity_ > end_) return;
    void* grown = realloc(data_, wanted);
    if (grown == nullptr) throw std::bad_alloc();
    data_ = static_cast<uint8_t*>(grown);
    capacity_ = wanted;
  }

  int fd_;
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t taken_ = 0;
};

bool send_all(int fd, std::string_view bytes, int attach) {
  while (!bytes.empty()) {
    iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (attach >= 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(head), &attach, sizeof attach);
    }
    const ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    attach = -1;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Frames in, replies out, until either side is done. Answers whether the client is owed a wait for its last
// bytes.
bool converse(int fd, FeedSession& session) {
  Reader reader(fd);
  for (;;) {
    const uint8_t* head = reader.take(kFrameHeadBytes);
    if (head == nullptr) return false;
    FeedReply reply;
    const std::optional<uint32_t> length =
        frame_length(std::span<const uint8_t, kFrameHeadBytes>(head, kFrameHeadBytes));
    if (!length) {
      reply = FeedSession::fatal("protocol_error", "A frame's length must be from 1 to 67108864.");
    } else {
      const uint8_t* frame = reader.take(*length);
      if (frame == nullptr) return false;
      try {
        reply = session.receive(frame[0], Bytes(frame + 1, *length - 1));
      } catch (const std::bad_alloc&) {
        reply = session.out_of_memory(frame[0]);
      }
    }
    if (!reply.frame.empty() && !send_all(fd, reply.frame, reply.attach)) return false;
    if (reply.attach >= 0) close(reply.attach);
    if (reply.close) return true;
  }
}

// A close with unread bytes would take the last answer with it.
void close_after_reading(int fd) {
  shutdown(fd, SHUT_WR);
  char sink[4096];
  const int64_t end = monotonic_ms() + 1'000;
  pollfd waiting = {fd, POLLIN, 0};
  while (monotonic_ms() < end && poll(&waiting, 1, 100) >= 0) {
    if (waiting.revents != 0 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) <= 0) return;
  }
}

}  // namespace

bool PrivateSocket::start(std::string* error) {
  if (is_answered()) {
    *error = "Another server answers on server.sock in this directory.";
    return false;
  }
  listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  // Takes its name only once it listens, in one step and in place of a stale one: who sees it can connect.
  const sockaddr_un at = address(kUnfinishedName);
  unlink(kUnfinishedName);
  const mode_t before = umask(0177);
  const bool bound =
      listen_fd_ >= 0 && bind(listen_fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  umask(before);
  struct stat found{};
  if (!bound || stop_fd_ < 0 || listen(listen_fd_, 64) != 0 || rename(kUnfinishedName, kName) != 0 ||
      stat(kName, &found) != 0) {
    *error = std::string("server.sock can't be made in this directory: ") + strerror(errno) + ".";
    return false;
  }
  inode_ = found.st_ino;
  acceptor_ = std::thread([this] { accept_all(); });
  return true;
}

void PrivateSocket::remove_name() {
  struct stat found{};
  // A successor in the same directory may have put its own there.
  if (inode_ != 0 && stat(kName, &found) == 0 && found.st_ino == inode_) unlink(kName);
  inode_ = 0;
}

PrivateSocket::~PrivateSocket() {
  remove_name();
  if (acceptor_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] ssize_t n = write(stop_fd_, &one, sizeof one);
    acceptor_.join();
  }
  // The order that ended this process is owed its answer: a client first loses the way in only.
  std::map<uint64_t, Client> last;
  {
    std::unique_lock lock(mutex_);
    shut_down(SHUT_RD);
    all_ended_.wait_for(lock, kLastAnswers, [this] {
      return std::all_of(clients_.begin(), clients_.end(),
                         [](const auto& entry) { return entry.second.ended; });
    });
    shut_down(SHUT_RDWR);
    last.swap(clients_);
  }
  for (auto& [id, client] : last) client.thread.join();
  if (listen_fd_ >= 0) close(listen_fd_);
  if (stop_fd_ >= 0) close(stop_fd_);
}

// By mutex_.
void PrivateSocket::shut_down(int how) {
  for (auto& [id, client] : clients_) {
    if (!client.ended) shutdown(client.fd, how);
  }
}

void PrivateSocket::accept_all() noexcept {
  pollfd waiting[2] = {{listen_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  while (waiting[1].revents == 0) {
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0 || waiting[0].revents == 0) continue;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      // No descriptor is left; waiting for one to be closed must not take a processor.
      if (errno == EMFILE || errno == ENFILE) poll(&waiting[1], 1, 50);
      continue;
    }
    try {
      admit(fd);
    } catch (...) {
      close(fd);
    }
  }
}

void PrivateSocket::admit(int fd) {
  forget_ended();
  std::lock_guard lock(mutex_);
  if (clients_.size() >= kMaxConnections) {
    send_all(fd, FeedSession::fatal("protocol_error", "There are 16 connections already.").frame, -1);
    close(fd);
    return;
  }
  const uint64_t id = next_id_++;
  Client& client = clients_[id];
  client.fd = fd;
  try {
    client.thread = std::thread([this, id, fd] { serve(id, fd); });
  } catch (...) {
    clients_.erase(id);
    throw;
  }
}

void PrivateSocket::serve(uint64_t id, int fd) noexcept {
  try {
    FeedSession session(instance_, role_, id, [this](uint64_t other) { disconnect(other); });
    if (converse(fd, session)) close_after_reading(fd);
  } catch (...) {
    log_event(LogLevel::kError, "feed_connection_failed");
  }
  std::lock_guard lock(mutex_);
  close(fd);
  // While the destructor waits, the entry is in its hands.
  if (auto found = clients_.find(id); found != clients_.end()) found->second.ended = true;
  all_ended_.notify_all();
}

void PrivateSocket::disconnect(uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = clients_.find(id);
  if (found != clients_.end() && !found->second.ended) shutdown(found->second.fd, SHUT_RDWR);
}

void PrivateSocket::forget_ended() {
  std::vector<std::thread> ended;
  {
    std::lock_guard lock(mutex_);
    for (auto it = clients_.begin(); it != clients_.end();) {
      if (it->second.ended) ended.push_back(std::move(it->second.thread));
      it = it->second.ended ? clients_.erase(it) : std::next(it);
    }
  }
  for (std::thread& thread : ended) thread.join();
}

}  // namespace reflex::net
