#include "lifecycle.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "log.h"

namespace reflex::net {
namespace {

constexpr int kBacklog = 4096;

bool parse_address(const std::string& host_port, sockaddr_in* v4, sockaddr_in6* v6, bool* is_v6) {
  const size_t colon = host_port.rfind(':');
  if (colon == std::string::npos) return false;
  std::string host = host_port.substr(0, colon);
  const std::string_view port_text = std::string_view(host_port).substr(colon + 1);
  uint16_t port = 0;
  const auto [end, problem] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (problem != std::errc{} || end != port_text.data() + port_text.size()) return false;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  v4->sin_family = AF_INET;
  v4->sin_port = htons(port);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  *is_v6 = inet_pton(AF_INET, host.c_str(), &v4->sin_addr) != 1;
  return !*is_v6 || inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1;
}

}  // namespace

int claim_signals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGTERM);
  sigaddset(&ours, SIGINT);
  if (pthread_sigmask(SIG_BLOCK, &ours, nullptr) != 0) return -1;
  return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

int listen_at(const std::string& host_port, std::string* error) {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  bool is_v6 = false;
  if (!parse_address(host_port, &v4, &v6, &is_v6)) {
    *error = "--listen takes a numeric address and a port, as in 0.0.0.0:8080 or [::]:8080.";
    return -1;
  }
  const int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const sockaddr* address =
      is_v6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4);
  if (fd < 0 || bind(fd, address, is_v6 ? sizeof(v6) : sizeof(v4)) != 0 || listen(fd, kBacklog) != 0) {
    *error = "Can't listen at " + host_port + ": " + strerror(errno) + ".";
    if (fd >= 0) close(fd);
    return -1;
  }
  return fd;
}

Lifecycle::Lifecycle(Instance& instance, int signal_fd, int listen_fd)
    : instance_(instance),
      signal_fd_(signal_fd),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      listen_fd_(listen_fd) {
  // Several loops, and during a hand-over several processes, accept on it: who comes second must not wait.
  if (listen_fd >= 0) fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK);
  for (uint32_t i = 0; i < instance.options.threads; ++i) {
    instance.stats.push_back(std::make_unique<LoopStats>());
    loops_.push_back(std::make_unique<EventLoop>(instance, *instance.stats.back()));
    instance.publication.add_waker([loop = loops_.back().get()] { loop->wake(); });
  }
  instance.publication.add_waker([this] { wake(); });
  instance.serve = [this] { return serve(); };
  instance.drain = [this](uint32_t within_ms) { drain(within_ms); };
  instance.listener = [this] {
    std::lock_guard lock(mutex_);
    return listen_fd_;
  };
}

Lifecycle::~Lifecycle() {
  if (listen_fd_ >= 0) close(listen_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

void Lifecycle::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

bool Lifecycle::serve() {
  std::lock_guard lock(mutex_);
  if (listen_fd_ < 0 || draining_) return false;
  if (serving_) return true;
  for (const auto& loop : loops_) {
    if (!loop->listen_on(listen_fd_)) return false;
  }
  serving_ = true;
  log_event(LogLevel::kInfo, "serving");
  return true;
}

void Lifecycle::drain(uint32_t within_ms) {
  std::lock_guard lock(mutex_);
  if (draining_) return;
  draining_ = true;
  log_event(LogLevel::kInfo, "draining", {{"within_ms", static_cast<uint64_t>(within_ms)}});
  for (const auto& loop : loops_) loop->drain(within_ms);
  wake();
}

void Lifecycle::take_signal() {
  signalfd_siginfo about{};
  while (read(signal_fd_, &about, sizeof(about)) == static_cast<ssize_t>(sizeof(about))) {
    bool again = false;
    {
      std::lock_guard lock(mutex_);
      again = draining_;
    }
    if (again) _exit(0);
    drain(kSignalDrainMs);
  }
}

// Our part of the shared listening socket ends once no loop accepts on it; a successor's goes on.
void Lifecycle::release_listener() {
  std::lock_guard lock(mutex_);
  if (!draining_ || listen_fd_ < 0) return;
  for (const auto& loop : loops_) {
    if (loop->accepting()) return;
  }
  close(listen_fd_);
  listen_fd_ = -1;
}

void Lifecycle::run() {
  for (const auto& loop : loops_) {
    threads_.emplace_back([this, it = loop.get()] {
      it->run();
      ++ended_;
      wake();
    });
  }
  std::array<pollfd, 2> watched{pollfd{signal_fd_, POLLIN, 0}, pollfd{wake_fd_, POLLIN, 0}};
  size_t held = 0;
  while (ended_ < loops_.size()) {
    poll(watched.data(), watched.size(), held > 0 ? kReapEveryMs : 1000);
    uint64_t count = 0;
    while (read(wake_fd_, &count, sizeof(count)) > 0) {
    }
    take_signal();
    release_listener();
    held = instance_.publication.reap();
  }
  for (std::thread& thread : threads_) thread.join();
  log_event(LogLevel::kInfo, "stopped");
}

}  // namespace reflex::net
