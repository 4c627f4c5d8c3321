// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/scheduler.hpp>

#include <atomic>
#include <cstdint>
#include <string>

/// What the pools share.
namespace aster::inline v0::detail {

/// The CPUs this process may run on (EXE-2).
[[nodiscard]] int usable_cpus() noexcept;

/// ValueError "<pool>: <option> must be greater than 0, not <value>".
void check_at_least_one(const char* pool, const char* option, int value);

/// Knows whether it is still in the process that made it: a pool is of no use in a forked child.
class HomeProcess {
 public:
  HomeProcess();
  [[nodiscard]] bool is_left() const noexcept {
    return generation_ != fork_count.load(std::memory_order_relaxed);
  }

 private:
  std::uint32_t generation_;
};

/// What the system shows as the name of this thread; "MainThread" for the first one.
[[nodiscard]] std::string system_thread_name();
/// Sets that; the system takes 15 bytes.
void name_this_thread(const std::string& name) noexcept;

}  // namespace aster::inline v0::detail
