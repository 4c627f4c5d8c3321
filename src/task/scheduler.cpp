// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/task/scheduler.hpp>

namespace aster::inline v0::detail {

constinit thread_local Scheduler* this_threads_scheduler = nullptr;

void throw_no_running_loop(const char* call) {
  throw RuntimeError(std::string(call) + ": no running event loop in this thread");
}

}  // namespace aster::inline v0::detail
