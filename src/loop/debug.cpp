// SPDX-License-Identifier: MIT
// What debug mode does beyond the checks in place: what the loop tells of slow callbacks,
// of coroutines that were never awaited, and of itself.
#include "base/clock.hpp"
#include "base/debug_text.hpp"

#include <aster/base/log.hpp>
#include <aster/loop/event_loop.hpp>

#include <new>
#include <string>

namespace aster::inline v0 {

// What ran is described before it runs: afterwards it may be gone.
void EventLoop::run_timed(detail::Runnable& node) {
  std::string what;
  try {
    what = node.describe();
  } catch (const std::bad_alloc&) {  // It is run all the same.
  }
  const TimePoint start = detail::sys::steady_now();
  node.run();
  const Duration taken = detail::sys::steady_now() - start;
  if (taken < slow_callback_duration || !get_debug()) return;
  try {
    detail::log_warning("Executing " + (what.empty() ? "<a callback of the library>" : what) +
                        " took " + detail::seconds(taken) + " seconds");
  } catch (const std::bad_alloc&) {
    detail::log_warning("a callback was slow");
  }
}

void EventLoop::tell_never_awaited(const std::source_location& definition,
                                   const void* called_from) noexcept {
  Scheduler& scheduler = *detail::running_scheduler();
  if (!scheduler.is_debug()) return;
  try {
    scheduler.call_exception_handler(
        {detail::never_awaited_text(definition), nullptr, current_task(),
         called_from != nullptr ? detail::called_from_text(called_from) : "", definition});
  } catch (...) {  // No memory, or a base error: this is a destructor.
    detail::log_warning("a coroutine was never awaited");
  }
}

void EventLoop::warn_unclosed() const noexcept {
  try {
    detail::log_warning("unclosed event loop " + to_string(*this) +
                        "\n  made at: " + detail::full_place(source_));
  } catch (const std::bad_alloc&) {
    detail::log_warning("unclosed event loop");
  }
}

std::string to_string(const EventLoop& loop) {
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  std::string text = "<EventLoop ";
  if (!loop.is_closed()) text += "backend=" + std::string(loop.backend().name()) + ' ';
  return text + "running=" + flag(loop.is_running()) + " closed=" + flag(loop.is_closed()) +
         " debug=" + flag(loop.get_debug()) + '>';
}

}  // namespace aster::inline v0
