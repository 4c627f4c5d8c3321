// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/wait_list.hpp>

#include <string>

namespace aster::inline v0 {

namespace detail {
class EventWait;
}  // namespace detail

/// A flag that tasks of one loop can wait for; the counterpart of asyncio.Event.
///
/// Use it to announce that something has happened. To pass values along use
/// `Queue`; to guard shared state use `Lock`.
///
///     Coroutine<> server(Event& ready) { co_await listen(); ready.set(); }
///     Coroutine<> client(Event& ready) { co_await ready.wait(); co_await dial(); }
///
/// Bound to the first loop that a task waits on (RuntimeError on another). Thread rule:
/// that loop's thread; elsewhere, go through `EventLoop::call_soon_threadsafe`. Must
/// outlive the tasks that wait (asserted); those that `set` has woken need it no more.
class ASTER_API Event {
 public:
  /// Not set.
  Event() noexcept = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Whether the flag is up.
  [[nodiscard]] bool is_set() const noexcept { return set_; }

  /// Raises the flag and schedules all waiters, oldest first. They run on a
  /// later turn of the loop, so it is safe to hold state across this call.
  void set() {
    if (set_) return;
    if (!waiters_.empty()) waiters_.check_thread("Event.set");
    set_ = true;
    waiters_.wake_all();
  }

  /// Lowers the flag. Waiters that `set()` has already scheduled still wake.
  void clear() noexcept { set_ = false; }

  /// Completes with true once the flag is up; without suspending if it is up when
  /// awaited. Cancelling the waiting task takes it out of the queue.
  [[nodiscard]] WaitList::Wait<detail::EventWait> wait() noexcept;

  /// The event in one line for people: "<Event [unset, waiters:2]>".
  friend ASTER_API std::string to_string(const Event& event);

 private:
  friend class detail::EventWait;
  bool set_ = false;
  WaitList waiters_;  // None waits while set_ is true.
};

// -------------------------------------------------------------------------------

namespace detail {

/// What `wait` waits for.
class EventWait {
 public:
  explicit EventWait(Event& event) noexcept : event_(&event) {}
  [[nodiscard]] WaitList& list() const noexcept { return event_->waiters_; }
  [[nodiscard]] bool ready() const noexcept { return event_->set_; }
  void granted() const noexcept {}
  void withdraw(bool) const noexcept {}
  [[nodiscard]] bool result() const noexcept { return true; }

 private:
  Event* event_;
};

}  // namespace detail

inline WaitList::Wait<detail::EventWait> Event::wait() noexcept {
  return WaitList::Wait<detail::EventWait>(detail::EventWait(*this));
}

}  // namespace aster::inline v0
