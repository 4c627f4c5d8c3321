// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/sys_call.hpp>
#include <aster/base/time.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#if ASTER_HAS_KQUEUE
#include <sys/event.h>
#endif
#if defined(__linux__)
#include <linux/openat2.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <limits>

/// The one inline layer over system calls: everything the library asks of the
/// kernel goes through here, so that a test can script what the kernel answers.
///
/// A call gives its value, or minus the error number; `errno` is not part of the
/// contract. Nothing is retried here (`uninterrupted` does, where that is right);
/// `close` must never be, because the descriptor is gone even after EINTR.
///
/// In a library built with `ASTER_FAULT_INJECTION` each call first asks the
/// scripts of `testing::Faults`. Otherwise `admit` folds away and what is left
/// is the plain call.
namespace aster::inline v0::detail::sys {

/// What the scripts say about a call: fail with `error`, or, when that is 0,
/// transfer at most `size` bytes.
struct Verdict {
  int error;
  std::size_t size;
};

using Judge = Verdict (*)(SysCall call, int fd, std::size_t size) noexcept;

#if defined(ASTER_FAULT_INJECTION)
inline constexpr bool has_fault_injection = true;

/// Null while there are no scripts. Set by `testing::Faults`.
ASTER_API std::atomic<Judge>& judge() noexcept;

/// Whether a script cut the calling thread's last call short.
ASTER_API bool& cut_last() noexcept;

// A namespace of its own: code built with and without scripts may meet in one
// program, and then its inline functions must not be taken for one another.
inline namespace scripted {

inline Verdict admit(SysCall call, int fd, std::size_t size = 0) noexcept {
  const Judge ask = judge().load(std::memory_order_acquire);
  const Verdict verdict = ask == nullptr ? Verdict{0, size} : ask(call, fd, size);
  cut_last() = verdict.size < size;
  return verdict;
}

/// True when the last call on this thread was short because of a script. Then it
/// says nothing about the state of the descriptor, as a short call else does.
inline bool was_cut() noexcept { return cut_last(); }
#else
inline constexpr bool has_fault_injection = false;

inline namespace plain {

constexpr Verdict admit(SysCall, int, std::size_t size = 0) noexcept { return {0, size}; }

constexpr bool was_cut() noexcept { return false; }
#endif

/// The value of a call that gives -1 and sets `errno` when it fails.
template <class Result>
[[nodiscard]] inline Result outcome(Result result) noexcept {
  return result == -1 ? static_cast<Result>(-errno) : result;
}

/// Makes the call again for as long as a signal interrupts it.
template <class Call>
[[nodiscard]] inline auto uninterrupted(Call&& call) noexcept {
  for (;;) {
    const auto result = call();
    if (result != -EINTR) return result;
  }
}

// Sockets -------------------------------------------------------------------------

/// A new socket, non-blocking and close-on-exec.
inline int socket(int family, int type, int protocol) noexcept {
  if (const Verdict v = admit(SysCall::socket, -1); v.error != 0) return -v.error;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  return outcome(::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
#else
  const int fd = outcome(::socket(family, type, protocol));
  if (fd >= 0) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
  return fd;
#endif
}

/// An accepted socket, non-blocking and close-on-exec.
inline int accept(int fd, sockaddr* address, socklen_t* size) noexcept {
  if (const Verdict v = admit(SysCall::accept, fd); v.error != 0) return -v.error;
#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
  return outcome(::accept4(fd, address, size, SOCK_NONBLOCK | SOCK_CLOEXEC));
#else
  const int accepted = outcome(::accept(fd, address, size));
  if (accepted >= 0) {
    ::fcntl(accepted, F_SETFD, FD_CLOEXEC);
    ::fcntl(accepted, F_SETFL, ::fcntl(accepted, F_GETFL) | O_NONBLOCK);
  }
  return accepted;
#endif
}

/// Two connected stream sockets, close-on-exec.
inline int socketpair(int (&ends)[2]) noexcept {
  if (const Verdict v = admit(SysCall::socketpair, -1); v.error != 0) return -v.error;
#if defined(SOCK_CLOEXEC)
  return outcome(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
#else
  const int result = outcome(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  if (result == 0) {
    for (const int fd : ends) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return result;
#endif
}

inline int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
  if (const Verdict v = admit(SysCall::connect, fd); v.error != 0) return -v.error;
  return outcome(::connect(fd, address, size));
}

inline int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
  if (const Verdict v = admit(SysCall::bind, fd); v.error != 0) return -v.error;
  return outcome(::bind(fd, address, size));
}

inline int listen(int fd, int backlog) noexcept {
  if (const Verdict v = admit(SysCall::listen, fd); v.error != 0) return -v.error;
  return outcome(::listen(fd, backlog));
}

inline int shutdown(int fd, int how) noexcept {
  if (const Verdict v = admit(SysCall::shutdown, fd); v.error != 0) return -v.error;
  return outcome(::shutdown(fd, how));
}

inline int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  if (const Verdict v = admit(SysCall::getsockopt, fd); v.error != 0) return -v.error;
  return outcome(::getsockopt(fd, level, name, value, size));
}

inline int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  if (const Verdict v = admit(SysCall::setsockopt, fd); v.error != 0) return -v.error;
  return outcome(::setsockopt(fd, level, name, value, size));
}

inline int getsockname(int fd, sockaddr* address, socklen_t* size) noexcept {
  if (const Verdict v = admit(SysCall::getsockname, fd); v.error != 0) return -v.error;
  return outcome(::getsockname(fd, address, size));
}

inline int getpeername(int fd, sockaddr* address, socklen_t* size) noexcept {
  if (const Verdict v = admit(SysCall::getpeername, fd); v.error != 0) return -v.error;
  return outcome(::getpeername(fd, address, size));
}

// Bytes ---------------------------------------------------------------------------

/// The flag that keeps a send to a closed peer from raising SIGPIPE.
#if defined(MSG_NOSIGNAL)
inline constexpr int no_signal = MSG_NOSIGNAL;
#else
inline constexpr int no_signal = 0;
#endif

inline std::int64_t recv(int fd, void* data, std::size_t size, int flags = 0) noexcept {
  const Verdict v = admit(SysCall::recv, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::recv(fd, data, v.size, flags));
}

/// Never raises SIGPIPE.
inline std::int64_t send(int fd, const void* data, std::size_t size, int flags = 0) noexcept {
  const Verdict v = admit(SysCall::send, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::send(fd, data, v.size, flags | no_signal));
}

/// The sender's address goes to `peer`, of which `peer_size` says the room and then the
/// length; both null: it is not asked for.
inline std::int64_t recvfrom(int fd, void* data, std::size_t size, sockaddr* peer,
                             socklen_t* peer_size) noexcept {
  const Verdict v = admit(SysCall::recvfrom, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::recvfrom(fd, data, v.size, 0, peer, peer_size));
}

/// Never raises SIGPIPE.
inline std::int64_t sendto(int fd, const void* data, std::size_t size, const sockaddr* address,
                           socklen_t address_size) noexcept {
  const Verdict v = admit(SysCall::sendto, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::sendto(fd, data, v.size, no_signal, address, address_size));
}

inline std::int64_t read(int fd, void* data, std::size_t size) noexcept {
  const Verdict v = admit(SysCall::read, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::read(fd, data, v.size));
}

inline std::int64_t write(int fd, const void* data, std::size_t size) noexcept {
  const Verdict v = admit(SysCall::write, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::write(fd, data, v.size));
}

/// A script that shortens a vectored call leaves its first piece, cut to size.
inline msghdr shortened(const msghdr& message, std::size_t size, iovec& first) noexcept {
  first = message.msg_iov[0];
  first.iov_len = std::min(first.iov_len, size);
  msghdr cut = message;
  cut.msg_iov = &first;
  cut.msg_iovlen = 1;
  return cut;
}

/// A recv that tells, of a unix socket, when it has stopped at what belongs to a message,
/// such as passed descriptors, which are lost.
inline std::int64_t recv_telling(int fd, void* data, std::size_t size, bool& has_stopped) noexcept {
  const Verdict v = admit(SysCall::recv, fd, size);
  if (v.error != 0) return -v.error;
  iovec piece{data, v.size};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  const std::int64_t result = outcome(::recvmsg(fd, &message, 0));
  has_stopped = (message.msg_flags & MSG_CTRUNC) != 0;
  return result;
}

inline std::int64_t recvmsg(int fd, msghdr* message, int flags = 0) noexcept {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  const Verdict v = admit(SysCall::recvmsg, fd, all);
  if (v.error != 0) return -v.error;
  if (v.size != all && message->msg_iovlen != 0) {
    iovec first;
    msghdr cut = shortened(*message, v.size, first);
    const ssize_t result = outcome(::recvmsg(fd, &cut, flags));
    message->msg_namelen = cut.msg_namelen;
    message->msg_controllen = cut.msg_controllen;
    message->msg_flags = cut.msg_flags;
    return result;
  }
  return outcome(::recvmsg(fd, message, flags));
}

/// Never raises SIGPIPE.
inline std::int64_t sendmsg(int fd, const msghdr* message, int flags = 0) noexcept {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  const Verdict v = admit(SysCall::sendmsg, fd, all);
  if (v.error != 0) return -v.error;
  if (v.size != all && message->msg_iovlen != 0) {
    iovec first;
    const msghdr cut = shortened(*message, v.size, first);
    return outcome(::sendmsg(fd, &cut, flags | no_signal));
  }
  return outcome(::sendmsg(fd, message, flags | no_signal));
}

// Files ---------------------------------------------------------------------------

inline std::int64_t pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept {
  const Verdict v = admit(SysCall::pread, fd, size);
  if (v.error != 0) return -v.error;
  return outcome(::pread(fd, data, v.size, offset));
}

/// Reads at the file's position only what is there without waiting for a disk; -EAGAIN when
/// that is nothing, -EOPNOTSUPP or -ENOSYS where the system cannot tell.
inline std::int64_t read_cached(int fd, void* data, std::size_t size) noexcept {
  const Verdict v = admit(SysCall::read, fd, size);
  if (v.error != 0) return -v.error;
#if defined(RWF_NOWAIT)
  const iovec piece{data, v.size};
  return outcome(::preadv2(fd, &piece, 1, -1, RWF_NOWAIT));
#else
  static_cast<void>(data);
  return -EOPNOTSUPP;
#endif
}

inline std::int64_t lseek(int fd, std::int64_t offset, int from) noexcept {
  if (const Verdict v = admit(SysCall::lseek, fd); v.error != 0) return -v.error;
  return outcome(::lseek(fd, offset, from));
}

inline int fstat(int fd, struct stat* status) noexcept {
  if (const Verdict v = admit(SysCall::fstat, fd); v.error != 0) return -v.error;
  return outcome(::fstat(fd, status));
}

inline int fsync(int fd) noexcept {
  if (const Verdict v = admit(SysCall::fsync, fd); v.error != 0) return -v.error;
  return outcome(::fsync(fd));
}

inline int ftruncate(int fd, std::int64_t size) noexcept {
  if (const Verdict v = admit(SysCall::ftruncate, fd); v.error != 0) return -v.error;
  return outcome(::ftruncate(fd, size));
}

/// Close-on-exec. Scripts see no descriptor, as in the others that take a path.
inline int open(const char* path, int flags, mode_t mode = 0) noexcept {
  if (const Verdict v = admit(SysCall::open, -1); v.error != 0) return -v.error;
  return outcome(::open(path, flags | O_CLOEXEC, mode));
}

/// Opens only what takes no waiting to find: -EAGAIN for the rest, -ENOSYS where the system
/// cannot tell.
inline int open_cached(const char* path, int flags) noexcept {
  if (const Verdict v = admit(SysCall::open, -1); v.error != 0) return -v.error;
#if defined(SYS_openat2) && defined(RESOLVE_CACHED)
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_CACHED;
  return static_cast<int>(outcome(::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)));
#else
  static_cast<void>(path), static_cast<void>(flags);
  return -ENOSYS;
#endif
}

inline int stat(const char* path, struct stat* status) noexcept {
  if (const Verdict v = admit(SysCall::stat, -1); v.error != 0) return -v.error;
  return outcome(::stat(path, status));
}

inline int mkdir(const char* path, mode_t mode) noexcept {
  if (const Verdict v = admit(SysCall::mkdir, -1); v.error != 0) return -v.error;
  return outcome(::mkdir(path, mode));
}

inline int rmdir(const char* path) noexcept {
  if (const Verdict v = admit(SysCall::rmdir, -1); v.error != 0) return -v.error;
  return outcome(::rmdir(path));
}

inline int rename(const char* from, const char* to) noexcept {
  if (const Verdict v = admit(SysCall::rename, -1); v.error != 0) return -v.error;
  return outcome(::rename(from, to));
}

/// Of the name itself where it is a link. Scripts see no descriptor, as in the next two.
inline int lstat(const char* path, struct stat* status) noexcept {
  if (const Verdict v = admit(SysCall::lstat, -1); v.error != 0) return -v.error;
  return outcome(::lstat(path, status));
}

inline int chmod(const char* path, mode_t mode) noexcept {
  if (const Verdict v = admit(SysCall::chmod, -1); v.error != 0) return -v.error;
  return outcome(::chmod(path, mode));
}

/// Close-on-exec.
inline int unlink(const char* path) noexcept {
  if (const Verdict v = admit(SysCall::unlink, -1); v.error != 0) return -v.error;
  return outcome(::unlink(path));
}

/// From `file` at `offset`, whose own position stays, to `socket`, which scripts see;
/// -EOPNOTSUPP where the system has nothing like it.
inline std::int64_t sendfile(int socket, int file, std::int64_t offset, std::size_t size) noexcept {
  const Verdict v = admit(SysCall::sendfile, socket, size);
  if (v.error != 0) return -v.error;
#if defined(__linux__)
  off_t from = offset;
  return outcome(::sendfile(socket, file, &from, v.size));
#else
  static_cast<void>(file), static_cast<void>(offset);
  return -EOPNOTSUPP;
#endif
}

// Descriptors ---------------------------------------------------------------------

/// Never call it again after an error: the descriptor is closed whatever this
/// says, and its number may already be another thread's.
inline int close(int fd) noexcept {
  const Verdict v = admit(SysCall::close, fd);
  const int result = outcome(::close(fd));
  return v.error != 0 ? -v.error : result;
}

/// A pipe, close-on-exec and, unless `blocks`, non-blocking at both ends: `ends[0]` is
/// read from.
inline int pipe(int (&ends)[2], bool blocks = false) noexcept {
  if (const Verdict v = admit(SysCall::pipe, -1); v.error != 0) return -v.error;
#if defined(__APPLE__)
  const int result = outcome(::pipe(ends));
  if (result == 0) {
    for (const int fd : ends) {
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
      if (!blocks) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    }
  }
  return result;
#else
  return outcome(::pipe2(ends, blocks ? O_CLOEXEC : O_NONBLOCK | O_CLOEXEC));
#endif
}

inline int fcntl(int fd, int command, int argument = 0) noexcept {
  if (const Verdict v = admit(SysCall::fcntl, fd); v.error != 0) return -v.error;
  return outcome(::fcntl(fd, command, argument));
}

// Processes -----------------------------------------------------------------------

/// Scripts see `id` as the descriptor, for `P_PID` too.
inline int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept {
  const Verdict v = admit(SysCall::waitid, static_cast<int>(id));
  if (v.error != 0) return -v.error;
  return outcome(::waitid(type, id, info, options));
}

#if defined(__linux__)
/// To the process that `pidfd` stands for, which no later one of its number is.
inline int pidfd_send_signal(int pidfd, int number) noexcept {
  if (const Verdict v = admit(SysCall::pidfd_send_signal, pidfd); v.error != 0) return -v.error;
  return static_cast<int>(outcome(::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0)));
}
#endif

// Waiting -------------------------------------------------------------------------

/// `timeout` for calls that take a timespec; null stands for "for ever".
class Timespec {
 public:
  explicit Timespec(Duration timeout) noexcept : forever_(timeout == Duration::max()) {
    if (timeout < Duration::zero()) timeout = Duration::zero();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    value_.tv_sec = static_cast<time_t>(seconds.count());
    value_.tv_nsec = static_cast<decltype(value_.tv_nsec)>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(timeout - seconds).count());
  }
  [[nodiscard]] const timespec* get() const noexcept { return forever_ ? nullptr : &value_; }

 private:
  timespec value_{};
  bool forever_;
};

/// `timeout` for calls that take milliseconds: rounded up, so that nothing is
/// early; -1 stands for "for ever".
inline int to_milliseconds(Duration timeout) noexcept {
  if (timeout == Duration::max()) return -1;
  if (timeout <= Duration::zero()) return 0;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(
      std::min<Duration>(timeout, std::chrono::hours(24)));
  return static_cast<int>(whole.count());
}

/// `timeout` in whole milliseconds, rounded up.
inline Duration whole_milliseconds(Duration timeout) noexcept {
  const int count = to_milliseconds(timeout);
  return count < 0 ? Duration::max() : std::chrono::milliseconds(count);
}

inline int poll(pollfd* set, std::size_t count, Duration timeout) noexcept {
  const int one = count == 1 ? set->fd : -1;
  if (const Verdict v = admit(SysCall::poll, one); v.error != 0) return -v.error;
#if defined(__APPLE__)
  return outcome(::poll(set, static_cast<nfds_t>(count), to_milliseconds(timeout)));
#else
  const Timespec limit(timeout);
  return outcome(::ppoll(set, static_cast<nfds_t>(count), limit.get(), nullptr));
#endif
}

inline int select(int count, fd_set* readable, fd_set* writable, Duration timeout) noexcept {
  if (const Verdict v = admit(SysCall::select, -1); v.error != 0) return -v.error;
  const Timespec limit(timeout);
  return outcome(::pselect(count, readable, writable, nullptr, limit.get(), nullptr));
}

#if defined(__linux__)
inline int epoll_create() noexcept {
  if (const Verdict v = admit(SysCall::epoll_create, -1); v.error != 0) return -v.error;
  return outcome(::epoll_create1(EPOLL_CLOEXEC));
}

/// Scripts see `fd`, not the set.
inline int epoll_ctl(int set, int action, int fd, epoll_event* event) noexcept {
  if (const Verdict v = admit(SysCall::epoll_ctl, fd); v.error != 0) return -v.error;
  return outcome(::epoll_ctl(set, action, fd, event));
}

/// Waits to the millisecond, which every kernel can.
inline int epoll_wait(int set, epoll_event* events, int size, Duration timeout) noexcept {
  if (const Verdict v = admit(SysCall::epoll_wait, set); v.error != 0) return -v.error;
  return outcome(::epoll_wait(set, events, size, to_milliseconds(timeout)));
}

/// Waits to the nanosecond; -ENOSYS before Linux 5.11 and where libc lacks it.
inline int epoll_wait_exact(int set, epoll_event* events, int size, Duration timeout) noexcept {
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 35)
#define ASTER_HAS_EPOLL_PWAIT2 1
#endif
#endif
#if defined(ASTER_HAS_EPOLL_PWAIT2)
  if (const Verdict v = admit(SysCall::epoll_wait, set); v.error != 0) return -v.error;
  const Timespec limit(timeout);
  return outcome(::epoll_pwait2(set, events, size, limit.get(), nullptr));
#else
  static_cast<void>(set), static_cast<void>(events);
  static_cast<void>(size), static_cast<void>(timeout);
  return -ENOSYS;
#endif
}

/// A wake-up counter, non-blocking and close-on-exec.
inline int eventfd() noexcept {
  if (const Verdict v = admit(SysCall::eventfd, -1); v.error != 0) return -v.error;
  return outcome(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

inline std::int64_t getrandom(void* data, std::size_t size) noexcept {
  const Verdict v = admit(SysCall::getrandom, -1, size);
  if (v.error != 0) return -v.error;
  return outcome(::getrandom(data, v.size, 0));
}
#endif

#if ASTER_HAS_KQUEUE
/// Close-on-exec.
inline int kqueue() noexcept {
  if (const Verdict v = admit(SysCall::kqueue, -1); v.error != 0) return -v.error;
  const int queue = outcome(::kqueue());
  if (queue >= 0) ::fcntl(queue, F_SETFD, FD_CLOEXEC);
  return queue;
}

/// Makes `change`, or with null waits for `events`. Scripts see the descriptor of the
/// change.
inline int kevent(int queue, const struct kevent* change, struct kevent* events, int size,
                  Duration timeout) noexcept {
  const int fd = change != nullptr ? static_cast<int>(change->ident) : queue;
  if (const Verdict v = admit(SysCall::kevent, fd); v.error != 0) return -v.error;
  const Timespec limit(timeout);
  return outcome(::kevent(queue, change, change != nullptr ? 1 : 0, events, size, limit.get()));
}
#endif

/// The monotonic clock. Not scripted: tests of time use the simulator.
inline TimePoint now() noexcept { return std::chrono::steady_clock::now(); }

// Processes -----------------------------------------------------------------------

/// The new process's id.
inline pid_t spawn(const char* program, const posix_spawn_file_actions_t* actions,
                   const posix_spawnattr_t* attributes, char* const* argv,
                   char* const* environment) noexcept {
  if (const Verdict v = admit(SysCall::spawn, -1); v.error != 0) return -v.error;
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program, actions, attributes, argv, environment);
  return error != 0 ? -error : pid;
}

/// A descriptor, close-on-exec, that is readable once the process has ended; -ENOSYS where
/// there is no such thing.
inline int pidfd_open(pid_t pid) noexcept {
  if (const Verdict v = admit(SysCall::pidfd_open, -1); v.error != 0) return -v.error;
#if defined(SYS_pidfd_open)
  return static_cast<int>(outcome(::syscall(SYS_pidfd_open, pid, 0)));
#else
  static_cast<void>(pid);
  return -ENOSYS;
#endif
}

inline pid_t waitpid(pid_t pid, int* status, int flags) noexcept {
  if (const Verdict v = admit(SysCall::waitpid, -1); v.error != 0) return -v.error;
  return outcome(::waitpid(pid, status, flags));
}

// Names ---------------------------------------------------------------------------

/// 0 or an EAI_* number, as the system gives it; a script's `error` is one too.
inline int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                       addrinfo** result) noexcept {
  if (const Verdict v = admit(SysCall::getaddrinfo, -1); v.error != 0) return v.error;
  return ::getaddrinfo(host, service, hints, result);
}

/// 0 or an EAI_* number.
inline int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size,
                       char* service, socklen_t service_size, int flags) noexcept {
  if (const Verdict v = admit(SysCall::getnameinfo, -1); v.error != 0) return v.error;
  return ::getnameinfo(address, size, host, host_size, service, service_size, flags);
}

}  // inline namespace scripted or plain
}  // namespace aster::inline v0::detail::sys
