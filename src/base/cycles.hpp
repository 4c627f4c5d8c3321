// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/// The processor's cycle counter: bounds work where a clock would cost too much.
///
/// It runs at about 2 GHz or faster and is read in a few nanoseconds. It is no clock:
/// its pace differs between machines. In a library built with `ASTER_FAULT_INJECTION`
/// a test can put a counter of its own in its place.
namespace aster::inline v0::detail::sys {

#if defined(ASTER_FAULT_INJECTION)
/// What is counted instead; null for the processor's cycles. Tests set it.
ASTER_API std::atomic<std::uint64_t (*)() noexcept>& scripted_cycles() noexcept;

inline namespace scripted {
#else
inline namespace plain {
#endif

inline std::uint64_t cycles() noexcept {
#if defined(ASTER_FAULT_INJECTION)
  if (auto* count = scripted_cycles().load(std::memory_order_relaxed)) return count();
#endif
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks * 64;  // Counts at 25 to 50 MHz on common parts.
#else
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(now.count()) * 2;
#endif
}

}  // namespace
}  // namespace aster::inline v0::detail::sys
