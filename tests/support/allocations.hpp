// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

/// Counts what the calling thread allocates, and lets it run out of memory on demand.
///
/// The program that links `allocations.cpp` gets its malloc and its `operator new`
/// from there, for everything in it: the library, the C++ runtime (which takes the
/// memory of exceptions from malloc) and the test itself.
namespace aster::support {

/// False under sanitizers, which bring a malloc of their own.
extern const bool counts_allocations;

/// How often this thread has asked for memory so far, refused requests included.
[[nodiscard]] std::uint64_t allocation_count() noexcept;

/// While it lives, every request of this thread is refused. Does not nest.
class NoMemory {
 public:
  NoMemory() noexcept;
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  ~NoMemory();
};

/// Refuses one request of this thread: the one after `granted` more.
void refuse_one_after(std::uint64_t granted) noexcept;
/// Takes `refuse_one_after` back; true when it has not come to it.
bool stop_refusing() noexcept;

/// How often `work()` asks for memory.
template <class F>
[[nodiscard]] std::uint64_t allocations_of(F&& work) {
  const std::uint64_t before = allocation_count();
  std::forward<F>(work)();
  return allocation_count() - before;
}

/// The same when it is refused every time.
template <class F>
[[nodiscard]] std::uint64_t allocations_without_memory(F&& work) {
  const std::uint64_t before = allocation_count();
  {
    const NoMemory none;
    std::forward<F>(work)();
  }
  return allocation_count() - before;
}

/// Calls `work()` again and again, refusing its first request, then its second, and
/// so on, until it gets all it asks for; `work` must get by with each. The number of
/// requests that were refused.
template <class F>
[[nodiscard]] std::uint64_t refuse_each_request_of(F&& work) {
  for (std::uint64_t granted = 0; granted < 1000; ++granted) {
    refuse_one_after(granted);
    work();
    if (stop_refusing()) return granted;
  }
  ADD_FAILURE() << "more than 1000 requests";
  return 0;
}

}  // namespace aster::support

/// First in a test that counts.
#define ASTER_NEEDS_COUNTED_ALLOCATIONS()                       \
  if (!aster::support::counts_allocations) {                    \
    GTEST_SKIP() << "the sanitizer brings a malloc of its own"; \
  }                                                             \
  static_assert(true, "takes the semicolon")
