// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <source_location>

namespace aster::inline v0::detail {

/// Who is told of coroutines that are dropped without having been awaited.
struct NeverAwaited {
  /// `definition`: of the coroutine. `called_from`: an address in what called it, or null.
  void (*tell)(const std::source_location& definition,
               const void* called_from) noexcept = &without_loop;

  /// While no loop runs in the thread: the log, when `ASTER_DEBUG` is set.
  static void without_loop(const std::source_location& definition,
                           const void* called_from) noexcept;
};

/// Of this thread: the running loop sets it.
[[nodiscard]] NeverAwaited& never_awaited() noexcept;

}  // namespace aster::inline v0::detail
