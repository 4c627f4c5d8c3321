// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/log.hpp>
#include <aster/task/scheduler.hpp>

#include <new>

namespace aster::inline v0::detail {

/// In debug mode, logs what `text()` gives (DBG-8).
template <class F>
void log_event(const Scheduler& scheduler, F&& text) noexcept {
  if (!scheduler.is_debug()) [[likely]]
    return;
  try {
    log(LogLevel::debug, text());
  } catch (const std::bad_alloc&) {
    log(LogLevel::debug, "a connection was made or lost");
  }
}

}  // namespace aster::inline v0::detail
