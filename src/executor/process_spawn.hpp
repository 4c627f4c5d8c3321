// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <optional>
#include <string>

#include <sys/types.h>

/// Worker processes, from the pool's side.
namespace aster::inline v0::detail {

/// A worker process and this side's end of its socket; owns both descriptors, not the process,
/// which `reap` must have the end of.
class WorkerProcess {
 public:
  WorkerProcess() noexcept = default;
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;
  ~WorkerProcess();

  /// Starts it, from the thread that will outlive it. `std::system_error` naming the call.
  void start();
  /// Nothing more will be asked: the worker ends when it has answered.
  void finish() noexcept;
  /// Sends `signal`, unless it was reaped.
  void signal(int signal) noexcept;
  /// Waits for its end, which has been seen; its return code as `Process` has it, none when
  /// another part of the program has taken that away.
  std::optional<int> reap() noexcept;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] int socket() const noexcept { return socket_; }
  /// Readable when it has ended; -1 where the system has no such descriptors.
  [[nodiscard]] int exit_fd() const noexcept { return exit_fd_; }

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
  int exit_fd_ = -1;
  bool is_reaped_ = false;
};

/// "was killed by signal 9 (Killed)", "exited with status 3".
[[nodiscard]] std::string end_text(std::optional<int> returncode);

}  // namespace aster::inline v0::detail
