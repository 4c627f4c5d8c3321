// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>

#include <atomic>

/// The machine's steady clock, which times work in debug mode: a loop's own clock may be
/// virtual. In a library built with `ASTER_FAULT_INJECTION` a test can put another in its
/// place.
namespace aster::inline v0::detail::sys {

#if defined(ASTER_FAULT_INJECTION)
/// What is asked instead; null for the machine's clock. Tests set it.
ASTER_API std::atomic<TimePoint (*)() noexcept>& scripted_clock() noexcept;

inline namespace scripted {
#else
inline namespace plain {
#endif

inline TimePoint steady_now() noexcept {
#if defined(ASTER_FAULT_INJECTION)
  if (auto* clock = scripted_clock().load(std::memory_order_relaxed)) return clock();
#endif
  return std::chrono::steady_clock::now();
}

}  // namespace
}  // namespace aster::inline v0::detail::sys
