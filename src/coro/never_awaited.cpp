// SPDX-License-Identifier: MIT
#include "coro/never_awaited.hpp"

#include "base/debug_text.hpp"

#include <aster/base/log.hpp>

#include <string>

namespace aster::inline v0::detail {

void NeverAwaited::without_loop(const std::source_location& definition,
                                const void* called_from) noexcept {
  if (!debug_by_environment()) return;
  try {
    std::string text = never_awaited_text(definition) + "\n  made at: " + full_place(definition);
    if (called_from != nullptr) text += "\n  " + called_from_text(called_from);
    log_warning(text);
  } catch (...) {  // No memory for more.
    log_warning("a coroutine was never awaited");
  }
}

NeverAwaited& never_awaited() noexcept {
  static constinit thread_local NeverAwaited of_thread;
  return of_thread;
}

}  // namespace aster::inline v0::detail
