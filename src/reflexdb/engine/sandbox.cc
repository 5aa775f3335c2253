#include "sandbox.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

namespace reflex::net {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kMachine = 0;
#endif

constexpr uint32_t kAllowed[] = {
    // Reading, writing, waiting.
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_lseek,
    SYS_close,
    SYS_dup,
    SYS_dup3,
    SYS_fcntl,
    SYS_ioctl,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_ppoll,
    SYS_pselect6,
    SYS_pipe2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_signalfd4,
    // Sockets: those that exist, and those they accept.
    SYS_accept,
    SYS_accept4,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_shutdown,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_getsockname,
    SYS_getpeername,
    // Memory, threads, time.
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_membarrier,
    SYS_exit,
    SYS_exit_group,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_getpid,
    SYS_gettid,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_restart_syscall,
    SYS_getrusage,
    SYS_prlimit64,
    SYS_sysinfo,
    SYS_uname,
    SYS_prctl,
    // Files of the instance's directory.
    SYS_openat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_linkat,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_getdents64,
    SYS_getcwd,
    SYS_faccessat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_sync_file_range,
    SYS_flock,
    SYS_fchmod,
    SYS_fadvise64,
    SYS_copy_file_range,
    SYS_sendfile,
    SYS_umask,
#if defined(__x86_64__)
    SYS_open,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_link,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_poll,
    SYS_epoll_wait,
    SYS_dup2,
    SYS_select,
    SYS_time,
    SYS_arch_prctl,
#endif
};

constexpr uint32_t kFatal[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
#if defined(__x86_64__)
    SYS_fork,   SYS_vfork,
#endif
};

sock_filter statement(uint16_t code, uint32_t k) { return {code, 0, 0, k}; }
// Goes on with the next statement where the value is `k`, else with the one after it.
sock_filter only(uint32_t k) { return {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k}; }
sock_filter verdict(uint32_t k) { return statement(BPF_RET | BPF_K, k); }

std::vector<sock_filter> program() {
  constexpr auto load = static_cast<uint16_t>(BPF_LD | BPF_W | BPF_ABS);
  std::vector<sock_filter> out = {
      statement(load, offsetof(seccomp_data, arch)),
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, kMachine},
      verdict(SECCOMP_RET_KILL_PROCESS),
      statement(load, offsetof(seccomp_data, nr)),
  };
  for (const uint32_t call : kAllowed) {
    out.push_back(only(call));
    out.push_back(verdict(SECCOMP_RET_ALLOW));
  }
  for (const uint32_t call : kFatal) {
    out.push_back(only(call));
    out.push_back(verdict(SECCOMP_RET_KILL_PROCESS));
  }
  // Its flags lie in memory, where no filter sees them: the C library then takes clone.
  out.push_back(only(SYS_clone3));
  out.push_back(verdict(SECCOMP_RET_ERRNO | ENOSYS));
  // clone makes threads, not processes.
  out.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_clone});
  out.push_back(statement(load, offsetof(seccomp_data, args[0])));
  out.push_back({BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_THREAD});
  out.push_back(verdict(SECCOMP_RET_ALLOW));
  out.push_back(verdict(SECCOMP_RET_ERRNO | EPERM));
  return out;
}

}  // namespace

bool enter_sandbox(std::string* problem) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    *problem = std::string("no_new_privs can't be set: ") + strerror(errno) + ".";
    return false;
  }
  if (kMachine == 0) {
    *problem = "There is no list of system calls for this architecture.";
    return false;
  }
  std::vector<sock_filter> statements = program();
  const sock_fprog filter = {static_cast<unsigned short>(statements.size()), statements.data()};
  // For all threads at once; a thread that has another filter makes it fail, with its number.
  // Without the last flag older kernels switch off much of the processor's speculation as well.
  constexpr unsigned kFlags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  const long status = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, &filter);
  if (status == 0) return true;
  *problem = std::string("The filter of system calls can't be installed: ") +
             (status > 0 ? "another one is there" : strerror(errno)) + ".";
  return false;
}

}  // namespace reflex::net
