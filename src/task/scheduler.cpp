// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/task/scheduler.hpp>

namespace aster::inline v0::detail {

constinit std::atomic<std::uint32_t> fork_count{1};

namespace {
constinit thread_local Scheduler* running = nullptr;
}

Scheduler*& running_scheduler() noexcept { return running; }

Scheduler& require_running(const char* call) {
  if (running == nullptr) [[unlikely]] {
    throw RuntimeError(std::string(call) + ": no running event loop in this thread");
  }
  return *running;
}

}  // namespace aster::inline v0::detail
