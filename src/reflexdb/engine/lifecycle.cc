#include "lifecycle.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "health.h"
#include "log.h"

namespace reflex::net {
namespace {

uint32_t processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

// HOST:PORT or [HOST]:PORT with a numeric host. 0: it is none.
socklen_t parse_address(std::string_view text, sockaddr_storage* out) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return 0;
  std::string host(text.substr(0, colon));
  const std::string_view port_text = text.substr(colon + 1);
  uint16_t port = 0;
  auto [end, status] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (status != std::errc() || end != port_text.data() + port_text.size()) return 0;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  sockaddr_in v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    memcpy(out, &v4, sizeof v4);
    return sizeof v4;
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return 0;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  memcpy(out, &v6, sizeof v6);
  return sizeof v6;
}

constexpr int64_t kTrimEveryMs = 10'000;

#ifdef __GLIBC__
constexpr int kReturnedBytes = 128 << 10;

// Parts of a column are larger than this, and so go back to the system with the snapshot that held them. By
// itself the C library would raise the bound with the first that is freed.
void return_large_pieces() { mallopt(M_MMAP_THRESHOLD, kReturnedBytes); }
void return_unused() { malloc_trim(0); }
#else
// musl, which servers for other machines are linked with, has a bound of that size and never raises it.
void return_large_pieces() {}
void return_unused() {}
#endif

// Gives what lies unused between smaller pieces back to the system, now and then.
void trim_memory(int64_t* last_ms) {
  if (monotonic_ms() - *last_ms < kTrimEveryMs) return;
  return_unused();
  *last_ms = monotonic_ms();
}

bool is_listening(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

}  // namespace

int prepare_process() {
  signal(SIGPIPE, SIG_IGN);
  return_large_pieces();
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

Lifecycle::Lifecycle(Instance& instance, int signal_fd)
    : instance_(instance),
      signal_fd_(signal_fd),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      workers_(instance.schema, instance.options.limits) {
  instance.workers = &workers_;
  const uint32_t count = instance.options.threads > 0 ? instance.options.threads : processors();
  for (uint32_t i = 0; i < count; ++i) {
    instance.stats.push_back(std::make_unique<LoopStats>());
    loops_.push_back(std::make_unique<EventLoop>(instance, *instance.stats.back()));
    instance.publication.add_waker([loop = loops_.back().get()] { loop->wake(); });
  }
  instance.publication.add_waker([this] { eventfd_write(wake_fd_, 1); });
  instance.serve = [this] { return serve(); };
  instance.drain = [this](uint32_t within_ms) { drain(within_ms); };
  instance.share = [this](const Share& share) { this->share(share); };
  instance.listener = [this] { return duplicate_listener(); };
}

Lifecycle::~Lifecycle() {
  for (std::thread& thread : threads_) thread.join();
  if (listen_fd_ >= 0) close(listen_fd_);
  close(wake_fd_);
}

bool Lifecycle::open_listener(std::string* error) {
  const Options& options = instance_.options;
  if (!options.listen.empty()) return bind_listener(error);
  if (options.listen_fd < 0) return true;
  if (!is_listening(options.listen_fd)) {
    *error = "--listen-fd is not a listening socket.";
    return false;
  }
  listen_fd_ = options.listen_fd;
  fcntl(listen_fd_, F_SETFL, fcntl(listen_fd_, F_GETFL) | O_NONBLOCK);
  fcntl(listen_fd_, F_SETFD, FD_CLOEXEC);
  return true;
}

bool Lifecycle::bind_listener(std::string* error) {
  sockaddr_storage at{};
  const socklen_t size = parse_address(instance_.options.listen, &at);
  if (size == 0) {
    *error = "--listen needs HOST:PORT, HOST a numeric address.";
    return false;
  }
  const int one = 1;
  listen_fd_ = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listen_fd_ < 0 || setsockopt(listen_fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      bind(listen_fd_, reinterpret_cast<const sockaddr*>(&at), size) != 0 || listen(listen_fd_, 4096) != 0) {
    *error = "Can't listen on " + instance_.options.listen + ": " + strerror(errno) + ".";
    return false;
  }
  return true;
}

void Lifecycle::start_loops() {
  workers_.start(static_cast<uint32_t>(loops_.size()) * WorkerPool::kPerLoop);
  for (const auto& loop : loops_) {
    running_.fetch_add(1);
    threads_.emplace_back([this, loop = loop.get()] {
      loop->run();
      running_.fetch_sub(1);
      eventfd_write(wake_fd_, 1);
    });
  }
  // In a container nobody gives the order to serve, and probes want an answer from the start.
  if (!instance_.options.listen.empty()) serve();
}

bool Lifecycle::serve() {
  std::lock_guard lock(mutex_);
  if (listen_fd_ < 0 || drain_end_ms_ >= 0) return false;
  for (const auto& loop : loops_) {
    if (!loop->listen_on(listen_fd_)) return false;
  }
  if (!std::exchange(serving_, true))
    log_event(LogLevel::kInfo, "serving", {{"loops", static_cast<uint64_t>(loops_.size())}});
  return true;
}

void Lifecycle::drain(uint32_t within_ms) {
  std::lock_guard lock(mutex_);
  if (drain_end_ms_ >= 0) return;
  drain_end_ms_ = monotonic_ms() + within_ms;
  log_event(LogLevel::kInfo, "draining", {{"within_ms", static_cast<uint64_t>(within_ms)}});
  for (const auto& loop : loops_) loop->drain(within_ms);
  eventfd_write(wake_fd_, 1);
}

void Lifecycle::share(const Share& share) {
  log_event(LogLevel::kInfo, "sharing",
            {{"from", uint64_t{share.from}}, {"to", uint64_t{share.to}}, {"of", uint64_t{Share::kWhole}}});
  for (const auto& loop : loops_) loop->take_share(share);
}

// What became of the requests, for whoever replaced this process. Best effort: without it nobody knows.
void Lifecycle::leave_counts(uint64_t cut) const {
  std::string json;
  append_counts(instance_, cut, &json);
  const int fd = open("counts.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (write(fd, json.data(), json.size()) != static_cast<ssize_t>(json.size())) unlink("counts.json");
  close(fd);
}

int Lifecycle::duplicate_listener() {
  std::lock_guard lock(mutex_);
  return listen_fd_ < 0 ? -1 : fcntl(listen_fd_, F_DUPFD_CLOEXEC, 3);
}

void Lifecycle::on_signal() {
  signalfd_siginfo signal{};
  if (read(signal_fd_, &signal, sizeof signal) != static_cast<ssize_t>(sizeof signal)) return;
  {
    std::lock_guard lock(mutex_);
    if (drain_end_ms_ >= 0) {
      unlink("server.sock");
      _exit(0);
    }
  }
  drain(kSignalDrainMs);
}

// Our own hold on the socket, once no loop accepts any more; a successor's stays.
void Lifecycle::give_up_listener() {
  std::lock_guard lock(mutex_);
  const auto accepts = [](const auto& loop) { return loop->accepting(); };
  if (drain_end_ms_ < 0 || listen_fd_ < 0 || std::any_of(loops_.begin(), loops_.end(), accepts)) return;
  close(std::exchange(listen_fd_, -1));
}

void Lifecycle::wait() {
  pollfd waiting[2] = {{wake_fd_, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
  size_t held = 0;
  int64_t trimmed_ms = 0;
  while (running_.load() > 0) {
    int64_t end = 0;
    {
      std::lock_guard lock(mutex_);
      end = drain_end_ms_;
    }
    // A loop deep in a long query ends with the process.
    if (end >= 0 && monotonic_ms() > end + 500) {
      log_event(LogLevel::kWarning, "drain_incomplete", {{"connections", instance_.connections.load()}});
      leave_counts(static_cast<uint64_t>(std::max<int64_t>(instance_.connections.load(), 0)));
      unlink("server.sock");
      _exit(0);
    }
    const int timeout = end >= 0 || held > 0 ? 20 : -1;
    if (poll(waiting, 2, timeout) < 0 && errno != EINTR) break;
    if (waiting[1].revents != 0) on_signal();
    eventfd_t count = 0;
    if (waiting[0].revents != 0) eventfd_read(wake_fd_, &count);
    const size_t before = std::exchange(held, instance_.publication.reap());
    if (held < before) trim_memory(&trimmed_ms);
    give_up_listener();
  }
  leave_counts(0);
  log_event(LogLevel::kInfo, "stopped");
}

}  // namespace reflex::net
