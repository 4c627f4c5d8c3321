// SPDX-License-Identifier: MIT
//
// From a plan to a running program
//
// The child is made by clone(2) as vfork(2) makes one: it borrows our memory, on a stack
// of its own, while this thread waits until it has called exec or ended. So nothing is
// copied, however large the process is, and the child says in `Order::outcome` what has
// failed. CLONE_PIDFD gives the descriptor that stands for this child and no other.
//
// Until exec the child makes plain system calls only, from functions without
// instrumentation: no allocation, no lock, no libc function that keeps state (libc's
// setuid would change all threads of ours). All signals are blocked before clone and
// stay so until the child has no handlers any more, as they would run in our memory.
//
// Where memory is not shared (valgrind, emulators: the first spawn finds out; the thread
// sanitizer), the child is a forked one and its outcome comes through a pipe, which
// exec closes.
#include "process/spawn.hpp"

#include "base/sys.hpp"

#include <aster/base/error.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sched.h>
#include <sys/resource.h>

#if defined(__clang__)
#define ASTER_BARE \
  __attribute__((noinline, no_sanitize("address", "memory", "thread", "undefined")))
#else
#define ASTER_BARE __attribute__((noinline, no_sanitize("address,thread,undefined")))
#endif

#if defined(__SANITIZE_THREAD__)
#define ASTER_SPAWN_BY_FORK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ASTER_SPAWN_BY_FORK 1
#endif
#endif

namespace aster::inline v0::detail {
namespace {

constexpr std::size_t stack_size = 32768;
constexpr int signal_count = 64;
constexpr int first_private_fd = 3;  // Behind the standard streams.

enum class Step : int {
  none,
  stream,
  chdir,
  setsid,
  setpgid,
  limit,
  groups,
  group,
  user,
  pass_fd,
  exec
};

/// What failed in the child: at which step, with what value, and the error number.
struct Outcome {
  Step step = Step::none;
  int value = 0;
  int error = 0;
};

/// All that the child reads; it owns nothing.
struct Order {
  const SpawnPlan* plan;
  const char* cwd;  // Null: ours.
  const char* const* candidates;
  const char* const* argv;
  const char* const* environment;
  const int* pass_fds;
  std::size_t pass_fd_count;
  const ResourceLimit* limits;
  std::size_t limit_count;
  const unsigned* groups;
  std::size_t group_count;
  int streams[3];  // Descriptors; -1: stays as it is.
  int descriptor_count;
  std::uint64_t signal_mask;
  int report = -1;  // Where the outcome is written to when memory is not shared.
  Outcome outcome{};
};

/// As the kernel has it.
struct KernelSigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  std::uint64_t mask;
};

// In the child ----------------------------------------------------------------------

[[noreturn]] ASTER_BARE void fail(Order& order, Step step, int value = 0) {
  order.outcome.step = step;
  order.outcome.value = value;
  order.outcome.error = errno;
  if (order.report >= 0) {
    ::syscall(SYS_write, order.report, &order.outcome, sizeof order.outcome);
  }
  for (;;) ::syscall(SYS_exit_group, 127);
}

ASTER_BARE void reset_signal(int number, bool is_ignored_too) {
  KernelSigaction present;
  if (::syscall(SYS_rt_sigaction, number, nullptr, &present, sizeof present.mask) != 0) return;
  if (present.handler == SIG_DFL || (present.handler == SIG_IGN && !is_ignored_too)) return;
  present.handler = SIG_DFL;
  present.flags = 0;
  present.restorer = nullptr;
  present.mask = 0;
  ::syscall(SYS_rt_sigaction, number, &present, nullptr, sizeof present.mask);
}

ASTER_BARE void reset_signals(const Order& order) {
  for (int number = 1; number <= signal_count; ++number) reset_signal(number, false);
  if (!order.plan->restore_signals) return;
  reset_signal(SIGPIPE, true);
  reset_signal(SIGXFSZ, true);
}

/// Puts the standard streams in their places; none is overwritten that is still wanted.
ASTER_BARE void place_streams(Order& order) {
  if (order.report >= 0 && order.report < first_private_fd) {
    order.report =
        static_cast<int>(::syscall(SYS_fcntl, order.report, F_DUPFD_CLOEXEC, first_private_fd));
  }
  for (int i = 0; i < 3; ++i) {
    int& source = order.streams[i];
    if (source < 0 || source == i || source >= first_private_fd) continue;
    const long moved = ::syscall(SYS_fcntl, source, F_DUPFD_CLOEXEC, first_private_fd);
    if (moved < 0) fail(order, Step::stream, source);
    source = static_cast<int>(moved);
  }
  for (int i = 0; i < 3; ++i) {
    const int source = order.streams[i];
    if (source < 0) continue;
    const long placed =
        source == i ? ::syscall(SYS_fcntl, source, F_SETFD, 0) : ::syscall(SYS_dup3, source, i, 0);
    if (placed < 0) fail(order, Step::stream, source);
  }
}

ASTER_BARE void change_state(Order& order) {
  const SpawnPlan& plan = *order.plan;
  if (order.cwd != nullptr && ::syscall(SYS_chdir, order.cwd) != 0) fail(order, Step::chdir);
  if (plan.umask) ::syscall(SYS_umask, *plan.umask);
  if (plan.start_new_session && ::syscall(SYS_setsid) < 0) fail(order, Step::setsid);
  if (plan.process_group && ::syscall(SYS_setpgid, 0, *plan.process_group) != 0) {
    fail(order, Step::setpgid, *plan.process_group);
  }
  for (std::size_t i = 0; i < order.limit_count; ++i) {
    const std::uint64_t values[2] = {order.limits[i].soft, order.limits[i].hard};
    if (::syscall(SYS_prlimit64, 0, order.limits[i].resource, values, nullptr) != 0) {
      fail(order, Step::limit, order.limits[i].resource);
    }
  }
}

/// Groups first, as afterwards there may be no right to change them.
ASTER_BARE void change_owner(Order& order) {
  const SpawnPlan& plan = *order.plan;
  if (plan.extra_groups && ::syscall(SYS_setgroups, order.group_count, order.groups) != 0) {
    fail(order, Step::groups);
  }
  if (plan.group && ::syscall(SYS_setresgid, *plan.group, *plan.group, *plan.group) != 0) {
    fail(order, Step::group, static_cast<int>(*plan.group));
  }
  if (plan.user && ::syscall(SYS_setresuid, *plan.user, *plan.user, *plan.user) != 0) {
    fail(order, Step::user, static_cast<int>(*plan.user));
  }
}

/// Exec is to close all others; nothing is closed before, as `report` is needed.
ASTER_BARE void choose_descriptors(Order& order) {
  if (order.plan->close_fds) {
    bool done = false;
#if defined(SYS_close_range)
    constexpr unsigned marks_only = 4;  // CLOSE_RANGE_CLOEXEC, since Linux 5.11.
    done = ::syscall(SYS_close_range, first_private_fd, ~0U, marks_only) == 0;
#endif
    for (int fd = first_private_fd; !done && fd < order.descriptor_count; ++fd) {
      ::syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    }
  }
  for (std::size_t i = 0; i < order.pass_fd_count; ++i) {
    if (::syscall(SYS_fcntl, order.pass_fds[i], F_SETFD, 0) != 0) {
      fail(order, Step::pass_fd, order.pass_fds[i]);
    }
  }
}

[[noreturn]] ASTER_BARE void execute(Order& order) {
  int worse = 0;  // Than "not there", which is what is told when no other error was met.
  for (const char* const* path = order.candidates; *path != nullptr; ++path) {
    ::syscall(SYS_execve, *path, order.argv, order.environment);
    if (errno != ENOENT && errno != ENOTDIR && worse == 0) worse = errno;
  }
  if (worse != 0) errno = worse;
  fail(order, Step::exec);
}

ASTER_BARE int run_child(void* argument) {
  Order& order = *static_cast<Order*>(argument);
  reset_signals(order);
  place_streams(order);
  change_state(order);
  change_owner(order);
  choose_descriptors(order);
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &order.signal_mask, nullptr, sizeof order.signal_mask);
  execute(order);
}

ASTER_BARE int run_probe(void* argument) {
  *static_cast<volatile int*>(argument) = 1;
  for (;;) ::syscall(SYS_exit_group, 0);
}

// In the parent ---------------------------------------------------------------------

/// Blocks all signals, those too that libc keeps to itself.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    const std::uint64_t all = ~std::uint64_t{0};
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before_, sizeof before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() {
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before_, nullptr, sizeof before_);
  }
  [[nodiscard]] std::uint64_t before() const noexcept { return before_; }

 private:
  std::uint64_t before_ = 0;
};

/// A child that runs `function(argument)`, or minus errno. Signals are blocked.
int make_child(int (*function)(void*), void* argument, const SpawnWay& way, char* stack,
               int end_signal, int& pidfd) noexcept {
  pidfd = -1;
  const int flags = end_signal | (way.has_pidfd ? CLONE_PIDFD : 0);
  if (way.shares_memory) {
    return sys::outcome(
        ::clone(function, stack + stack_size, flags | CLONE_VM | CLONE_VFORK, argument, &pidfd));
  }
  const int pid =
      static_cast<int>(sys::outcome(::syscall(SYS_clone, flags, nullptr, &pidfd, nullptr, 0)));
  if (pid == 0) function(argument);
  return pid;
}

/// Waits for a child that is about to end, and takes its pid back.
void reap_now(int pid) noexcept {
  siginfo_t info;
  static_cast<void>(sys::uninterrupted([&] {
    return sys::outcome(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | __WALL));
  }));
}

/// Makes a child that does nothing but write to our memory. It ends without a signal.
SpawnWay find_way() {
#if defined(ASTER_SPAWN_BY_FORK)
  constexpr bool may_share = false;
#else
  constexpr bool may_share = true;
#endif
  const auto stack = std::make_unique<char[]>(stack_size);
  volatile int was_here = 0;
  int pidfd = -1;
  const SpawnWay tried{may_share, true};
  int pid;
  {
    const SignalsBlocked blocked;
    pid = make_child(&run_probe, const_cast<int*>(&was_here), tried, stack.get(), 0, pidfd);
  }
  if (pid == -EINVAL || pid == -ENOSYS || pid == -EPERM) return {false, false};
  if (pid < 0) throw_system_error(-pid, "clone");  // It may pass: not for good.
  reap_now(pid);
  const OwnedFd owned(pidfd);
  return {was_here != 0, pidfd >= 0};
}

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> result;
  result.reserve(texts.size() + 1);
  for (const std::string& text : texts) result.push_back(text.c_str());
  result.push_back(nullptr);
  return result;
}

[[noreturn]] void fail_call(const SpawnPlan& plan, int error, const std::string& what) {
  throw_system_error(error, std::string(plan.call) + what);
}

int checked(const SpawnPlan& plan, int result, const char* what) {
  if (result < 0) fail_call(plan, -result, what);
  return result;
}

[[noreturn]] void throw_outcome(const SpawnPlan& plan, const Outcome& outcome) {
  const std::string value = std::to_string(outcome.value);
  std::string what;
  switch (outcome.step) {
    case Step::stream:
    case Step::pass_fd:
      what = ": descriptor " + value;
      break;
    case Step::chdir:
      what = ": chdir " + plan.cwd;
      break;
    case Step::setsid:
      what = ": setsid";
      break;
    case Step::setpgid:
      what = ": setpgid " + value;
      break;
    case Step::limit:
      what = ": setrlimit of resource " + value;
      break;
    case Step::groups:
      what = ": setgroups";
      break;
    case Step::group:
      what = ": setgid " + value;
      break;
    case Step::user:
      what = ": setuid " + value;
      break;
    case Step::none:
    case Step::exec:
      what = " " + plan.program();
      break;
  }
  fail_call(plan, outcome.error, what);
}

/// The child's descriptors, and our ends of its pipes.
class Streams {
 public:
  Streams(const SpawnPlan& plan, std::array<OwnedFd, 3>& ours) {
    for (std::size_t i = 0; i < 3; ++i) sources[i] = source_of(plan, i, ours[i]);
  }
  int sources[3];

 private:
  int source_of(const SpawnPlan& plan, std::size_t stream, OwnedFd& ours) {
    switch (const int value = plan.streams[stream]) {
      case Redirection::inherited:
        return -1;
      case Redirection(STDOUT).value():
        return sources[1] < 0 ? 1 : sources[1];
      case Redirection(DEVNULL).value():
        if (!null_) null_ = OwnedFd(checked(plan, sys::open("/dev/null", O_RDWR), ": /dev/null"));
        return null_.get();
      case Redirection(PIPE).value():
        return open_pipe(plan, stream, ours);
      default:
        return value;
    }
  }
  int open_pipe(const SpawnPlan& plan, std::size_t stream, OwnedFd& ours) {
    int ends[2];
    checked(plan, sys::pipe(ends, true), ": pipe");
    const std::size_t mine = stream == 0 ? 1 : 0;
    ours = OwnedFd(ends[mine]);
    owned_[stream] = OwnedFd(ends[1 - mine]);
    checked(plan, sys::fcntl(ends[mine], F_SETFL, O_NONBLOCK), ": pipe");
    return ends[1 - mine];
  }
  std::array<OwnedFd, 3> owned_;
  OwnedFd null_;
};

int descriptor_count() noexcept {
  rlimit limit{};
  constexpr rlim_t most = 1 << 20;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return static_cast<int>(std::min(limit.rlim_cur, most));
}

/// Where a forked child's outcome comes from.
class ReportPipe {
 public:
  ReportPipe(const SpawnPlan& plan, Order& order) {
    int ends[2];
    checked(plan, sys::pipe(ends, true), ": pipe");
    read_ = OwnedFd(ends[0]);
    write_ = OwnedFd(ends[1]);
    order.report = ends[1];
  }
  /// Returns once the child runs its program or has failed.
  void read(Outcome& outcome) noexcept {
    write_ = OwnedFd();
    Outcome told;
    const auto size =
        sys::uninterrupted([&] { return sys::read(read_.get(), &told, sizeof told); });
    if (size == static_cast<std::int64_t>(sizeof told)) outcome = told;
  }

 private:
  OwnedFd read_;
  OwnedFd write_;
};

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) static_cast<void>(sys::close(fd_));
}

SpawnWay& spawn_way() {
  static SpawnWay way = find_way();
  return way;
}

Spawned spawn(const SpawnPlan& plan) {
  Spawned result;
  const std::vector<std::string> candidates = plan.candidates();
  const auto candidate_pointers = pointers(candidates);
  const auto argv = pointers(plan.argv);
  std::vector<const char*> environment;
  if (plan.environment) environment = pointers(*plan.environment);
  const SpawnWay way = spawn_way();
  const std::unique_ptr<char[]> stack(way.shares_memory ? new char[stack_size] : nullptr);
  Streams streams(plan, result.ends);

  Order order{};
  order.plan = &plan;
  order.cwd = plan.cwd.empty() ? nullptr : plan.cwd.c_str();
  order.candidates = candidate_pointers.data();
  order.argv = argv.data();
  order.environment = plan.environment ? environment.data() : environ;
  order.pass_fds = plan.pass_fds.data();
  order.pass_fd_count = plan.pass_fds.size();
  order.limits = plan.limits.data();
  order.limit_count = plan.limits.size();
  if (plan.extra_groups) {
    order.groups = plan.extra_groups->data();
    order.group_count = plan.extra_groups->size();
  }
  std::copy(std::begin(streams.sources), std::end(streams.sources), std::begin(order.streams));
  order.descriptor_count = descriptor_count();
  order.report = -1;
  std::optional<ReportPipe> report;
  if (!way.shares_memory) report.emplace(plan, order);

  if (const sys::Verdict v = sys::admit(SysCall::clone, -1); v.error != 0) {
    fail_call(plan, v.error, " " + plan.program());
  }
  int pidfd = -1;
  {
    const SignalsBlocked blocked;
    order.signal_mask = blocked.before();
    result.pid = make_child(&run_child, &order, way, stack.get(), SIGCHLD, pidfd);
  }
  result.pidfd = OwnedFd(pidfd);
  if (result.pid < 0) fail_call(plan, -result.pid, " " + plan.program());
  if (report) report->read(order.outcome);
  if (order.outcome.step == Step::none) return result;
  reap_now(result.pid);
  throw_outcome(plan, order.outcome);
}

}  // namespace aster::inline v0::detail
