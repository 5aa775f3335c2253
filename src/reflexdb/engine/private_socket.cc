#include "private_socket.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <new>
#include <utility>

#include "frame.h"
#include "log.h"
#include "session.h"

namespace reflex::net {
namespace {

constexpr int kBacklog = 16;
constexpr int kSendTimeoutS = 30;  // a peer that does not take its reply is let go

void limit_sends(int fd) {
  const timeval limit{.tv_sec = kSendTimeoutS, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

bool send_answer(int fd, const Answer& answer) {
  if (answer.body.size() + 1 > kMaxFrameBytes) {
    return send_frame(fd, Kind::kError,
                      Session::error("limit_exceeded", "The answer does not fit a frame.").body);
  }
  return send_frame(fd, answer.ok ? Kind::kOk : Kind::kError, answer.body, answer.attached);
}

}  // namespace

bool PrivateSocket::start(std::string* error) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  static_assert(sizeof(kName) <= sizeof(address.sun_path));
  memcpy(address.sun_path, kName, sizeof(kName));
  listen_fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (listen_fd_ < 0 || stop_fd_ < 0) {
    *error = std::string("The private socket can't be made: ") + strerror(errno) + ".";
    return false;
  }
  unlink(kName);
  const mode_t before = umask(0177);
  const int bound = bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  umask(before);
  if (bound != 0 || listen(listen_fd_, kBacklog) != 0) {
    *error = std::string("The private socket ") + kName + " can't be bound: " + strerror(errno) + ".";
    return false;
  }
  acceptor_ = std::thread([this] { accept_peers(); });
  return true;
}

void PrivateSocket::stop() {
  if (acceptor_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
    acceptor_.join();
    collect(true);
    unlink(kName);
  }
  for (int* fd : {&listen_fd_, &stop_fd_}) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
  }
}

void PrivateSocket::accept_peers() {
  std::array<pollfd, 2> watched{pollfd{listen_fd_, POLLIN, 0}, pollfd{stop_fd_, POLLIN, 0}};
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR) return;
    if (watched[1].revents != 0) return;
    if (watched[0].revents == 0) continue;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
      poll(&watched[1], 1, 100);  // until some are free again
    }
  }
}

void PrivateSocket::admit(int fd) {
  collect(false);
  limit_sends(fd);
  try {
    std::lock_guard lock(mutex_);
    if (peers_.size() >= kMaxConnections) {
      send_frame(fd, Kind::kError,
                 Session::error("protocol_error", "Too many connections; close one first.").body);
      close(fd);
      return;
    }
    peers_.push_back(std::make_unique<Peer>());
    Peer* peer = peers_.back().get();
    peer->fd = fd;
    peer->thread = std::thread([this, peer] { run_peer(peer); });
  } catch (const std::exception&) {  // no memory or thread
    std::lock_guard lock(mutex_);
    if (!peers_.empty() && peers_.back()->fd == fd) peers_.pop_back();
    close(fd);
  }
}

void PrivateSocket::collect(bool all) {
  std::list<std::unique_ptr<Peer>> ended;
  {
    std::lock_guard lock(mutex_);
    for (auto it = peers_.begin(); it != peers_.end();) {
      const auto next = std::next(it);
      if (all) shutdown((*it)->fd, SHUT_RDWR);
      if (all || (*it)->done) ended.splice(ended.end(), peers_, it);
      it = next;
    }
  }
  for (const std::unique_ptr<Peer>& peer : ended) {
    peer->thread.join();
    close(peer->fd);
  }
}

void PrivateSocket::run_peer(Peer* peer) noexcept {
  const int fd = peer->fd;
  try {
    Session session(instance_, [this, fd] { take_sync(fd); });
    FrameReader reader(fd);
    Frame frame;
    for (bool open = true; open;) {
      const FrameReader::Outcome outcome = reader.next(&frame);
      if (outcome == FrameReader::Outcome::kEnd) break;
      std::optional<Answer> answer =
          outcome == FrameReader::Outcome::kFrame
              ? session.take(frame)
              : Session::error("protocol_error", "A frame's length must be 1 to 67108864.", true);
      if (answer) open = send_answer(fd, *answer) && !answer->close;
    }
  } catch (const std::exception&) {
    log_event(LogLevel::kError, "private_connection_failed", {{"reason", "out of memory"}});
    const Answer failed = Session::error("cap_exceeded", "The machine's memory is exhausted.");
    send_frame(fd, Kind::kError, failed.body);
  }
  leave_sync(fd);
  shutdown(fd, SHUT_RDWR);
  peer->done = true;
}

void PrivateSocket::take_sync(int fd) {
  std::lock_guard lock(mutex_);
  if (sync_fd_ >= 0 && sync_fd_ != fd) shutdown(sync_fd_, SHUT_RDWR);
  sync_fd_ = fd;
  instance_.sync_connected = true;
}

void PrivateSocket::leave_sync(int fd) {
  std::lock_guard lock(mutex_);
  if (sync_fd_ != fd) return;
  sync_fd_ = -1;
  instance_.sync_connected = false;
}

}  // namespace reflex::net
