// SPDX-License-Identifier: MIT
#include "executor/pool_support.hpp"

#include <aster/base/error.hpp>

#include <algorithm>
#include <cstddef>
#include <thread>

#include <pthread.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

namespace aster::inline v0::detail {

HomeProcess::HomeProcess() {
  count_forks();
  generation_ = fork_count.load(std::memory_order_relaxed);
}

int usable_cpus() noexcept {
#if defined(__linux__)
  // The kernel refuses a set smaller than its own.
  for (std::size_t cpus = 1024; cpus <= (std::size_t{1} << 20U); cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(cpus);
    const bool known = ::sched_getaffinity(0, size, set) == 0;
    const int count = known ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(count, 1);
  }
#endif
  return std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
}

void check_at_least_one(const char* pool, const char* option, int value) {
  if (value > 0) return;
  throw ValueError(std::string(pool) + ": " + option + " must be greater than 0, not " +
                   std::to_string(value));
}

std::string system_thread_name() {
#if defined(__linux__)
  if (::gettid() == ::getpid()) return "MainThread";
#endif
  char text[64] = {};
  static_cast<void>(::pthread_getname_np(::pthread_self(), text, sizeof text));
  return text;
}

void name_this_thread(const std::string& name) noexcept {
#if defined(__linux__)
  char text[16] = {};  // The kernel's limit, with the final NUL.
  name.copy(text, sizeof text - 1);
  static_cast<void>(::pthread_setname_np(::pthread_self(), text));
#else
  static_cast<void>(name);
#endif
}

}  // namespace aster::inline v0::detail
