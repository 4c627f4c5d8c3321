// SPDX-License-Identifier: MIT
#pragma once

#include "process/spawn_plan.hpp"

#include <array>
#include <utility>

namespace aster::inline v0::detail {

/// A descriptor that is closed with it; -1 for none.
class OwnedFd {
 public:
  OwnedFd() noexcept = default;
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// What the system can do for us; found out by the first spawn.
struct SpawnWay {
  bool shares_memory;  // As vfork(2) does; else as fork(2).
  bool has_pidfd;
};

/// The way all later spawns of this process go. Tests change it.
[[nodiscard]] SpawnWay& spawn_way();

/// A child that runs its program.
struct Spawned {
  int pid = -1;
  OwnedFd pidfd;                // None where the system has no such thing.
  std::array<OwnedFd, 3> ends;  // Our ends of the child's pipes, non-blocking.
};

/// Starts the program. When it cannot, a `std::system_error` that names the call and
/// what failed, in the child too; then no child is left.
[[nodiscard]] Spawned spawn(const SpawnPlan& plan);

}  // namespace aster::inline v0::detail
