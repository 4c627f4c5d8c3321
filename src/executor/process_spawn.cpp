// SPDX-License-Identifier: MIT
#include "executor/process_spawn.hpp"

#include "base/sys.hpp"
#include "executor/process_worker.hpp"

#include <aster/base/error.hpp>

#include <csignal>
#include <cstring>
#include <string_view>
#include <vector>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" char** environ;  // NOLINT(readability-redundant-declaration)

namespace aster::inline v0::detail {
namespace {

void check(int error, const char* call) {
  if (error != 0) throw_system_error(error, std::string("ProcessPoolExecutor: ") + call);
}

/// What happens between fork and exec: the socket moves to its place, nothing else is inherited
/// but the output, and no signal is blocked.
class Spawn {
 public:
  explicit Spawn(int socket) {
    check(::posix_spawn_file_actions_init(&actions_), "posix_spawn");
    check(::posix_spawnattr_init(&attributes_), "posix_spawn");
    check(::posix_spawn_file_actions_adddup2(&actions_, socket, worker::socket_fd), "posix_spawn");
    check(::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0),
          "posix_spawn");
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
    check(::posix_spawn_file_actions_addclosefrom_np(&actions_, worker::socket_fd + 1),
          "posix_spawn");
#endif
#endif
    sigset_t none;
    ::sigemptyset(&none);
    check(::posix_spawnattr_setsigmask(&attributes_, &none), "posix_spawn");
    check(::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK), "posix_spawn");
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  [[nodiscard]] pid_t run(char* const* argv, char* const* environment) const {
    return sys::spawn("/proc/self/exe", &actions_, &attributes_, argv, environment);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

/// This process's environment with the variable that makes a worker.
class WorkerEnvironment {
 public:
  WorkerEnvironment()
      : mark_(std::string(worker::variable) + '=' + std::to_string(worker::socket_fd) + ' ' +
              std::to_string(::getpid())) {
    const std::string name = std::string(worker::variable) + '=';
    for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
      if (!std::string_view(*each).starts_with(name)) list_.push_back(*each);
    }
    list_.push_back(mark_.data());
    list_.push_back(nullptr);
  }
  WorkerEnvironment(const WorkerEnvironment&) = delete;
  WorkerEnvironment& operator=(const WorkerEnvironment&) = delete;
  ~WorkerEnvironment() = default;
  [[nodiscard]] char* const* list() const noexcept { return list_.data(); }

 private:
  std::string mark_;
  std::vector<char*> list_;
};

void close_fd(int& fd) noexcept {
  if (fd >= 0) static_cast<void>(sys::close(fd));
  fd = -1;
}

}  // namespace

WorkerProcess::~WorkerProcess() {
  close_fd(socket_);
  close_fd(exit_fd_);
}

void WorkerProcess::start() {
  int ends[2] = {-1, -1};
  check(-sys::socketpair(ends), "socketpair");
  socket_ = ends[0];
  // Large messages then take fewer turns; the system gives less where it has to.
  const int room = 1 << 20;
  for (const int end : ends) {
    static_cast<void>(sys::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
  }
  struct Guard {
    int fd;
    ~Guard() { close_fd(fd); }
  } theirs{ends[1]};
  const WorkerEnvironment environment;
  const Spawn spawn(theirs.fd);
  char* argv[] = {program_invocation_name, nullptr};
  const pid_t pid = spawn.run(argv, environment.list());
  if (pid < 0) throw_system_error(-pid, "ProcessPoolExecutor: posix_spawn /proc/self/exe");
  pid_ = pid;
  exit_fd_ = sys::pidfd_open(pid);  // Nobody else waits for it, so the number is its own.
}

void WorkerProcess::finish() noexcept { static_cast<void>(sys::shutdown(socket_, SHUT_WR)); }

void WorkerProcess::signal(int signal) noexcept {
  // Not reaped, so its number is not another's.
  if (pid_ > 0 && !is_reaped_) ::kill(pid_, signal);
}

std::optional<int> WorkerProcess::reap() noexcept {
  int status = 0;
  const pid_t found = sys::uninterrupted([&] { return sys::waitpid(pid_, &status, 0); });
  is_reaped_ = true;
  if (found != pid_) return std::nullopt;
  if (WIFSIGNALED(status)) return -WTERMSIG(status);
  return WEXITSTATUS(status);
}

std::string end_text(std::optional<int> returncode) {
  if (!returncode) return "ended in a way that is not known";
  if (*returncode >= 0) return "exited with status " + std::to_string(*returncode);
  const int signal = -*returncode;
  const char* name = ::sigdescr_np(signal);
  return "was killed by signal " + std::to_string(signal) +
         (name != nullptr ? " (" + std::string(name) + ")" : "");
}

}  // namespace aster::inline v0::detail
