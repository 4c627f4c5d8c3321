// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/sync/lock.hpp>
#include <aster/task/wait_list.hpp>

#include <cstddef>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

/// A lock whose holder can wait until another task says that something has changed;
/// the counterpart of asyncio.Condition.
///
///     Coroutine<Job> next_job(Condition& changed, Jobs& jobs) {
///       auto held = co_await changed.scoped();
///       co_await changed.wait_for([&] { return !jobs.empty(); });
///       co_return jobs.pop();
///     }
///     // Elsewhere, with the lock held: jobs.push(job); changed.notify();
///
/// For values that are passed along `Queue` is simpler, for "it has happened" `Event`.
/// Cancellation: `wait` takes the lock again before it throws, and hands on a
/// notification that it had got. Bound to the first loop that a task waits on
/// (RuntimeError on another). Thread rule: that loop's thread. Must outlive its waiters
/// (asserted), and so must a lock given to it.
class ASTER_API Condition {
 public:
  /// With a lock of its own.
  Condition() noexcept : lock_(&own_) {}
  /// With `lock`, which others may use as well.
  explicit Condition(Lock& lock) noexcept : lock_(&lock) {}
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition() { waiters_.check_unused(); }

  /// `Lock::acquire` of its lock.
  [[nodiscard]] auto acquire() noexcept { return lock_->acquire(); }
  /// `Lock::scoped` of its lock: the way to lock.
  [[nodiscard]] auto scoped() noexcept { return lock_->scoped(); }
  /// `Lock::release` of its lock.
  void release() { lock_->release(); }
  /// Whether its lock is locked.
  [[nodiscard]] bool locked() const noexcept { return lock_->locked(); }

  /// Releases the lock, waits for a notification, takes the lock again, and gives true.
  /// What was waited for may be over by then: look again, or use `wait_for`.
  /// RuntimeError when the lock is not held. When cancelled it waits for the lock all
  /// the same, then throws the last CancelledError.
  [[nodiscard]] Coroutine<bool> wait();

  /// `wait`s until `predicate()` is true, which it may be at once; gives that value.
  template <class Predicate>
  [[nodiscard]] auto wait_for(Predicate predicate)
      -> Coroutine<std::decay_t<std::invoke_result_t<Predicate&>>> {
    for (;;) {
      auto result = predicate();
      if (static_cast<bool>(result)) co_return result;
      co_await wait();
    }
  }

  /// Wakes up to `n` tasks that wait, oldest first. They go on one after the other as
  /// they get the lock. RuntimeError when the lock is not held.
  void notify(std::ptrdiff_t n = 1);
  /// Wakes all tasks that wait now.
  void notify_all();

  /// For `with(condition, body)`: acquires.
  [[nodiscard]] auto enter() noexcept { return lock_->enter(); }
  /// For `with`: releases.
  [[nodiscard]] auto exit(const std::exception_ptr& error) { return lock_->exit(error); }

  /// The condition in one line for people: "<Condition [locked, waiters:2]>".
  friend ASTER_API std::string to_string(const Condition& condition);

 private:
  class Notification;
  class Waiting;
  void require_locked(const char* call) const;

  Lock own_;
  Lock* lock_;  // `own_`, or the one that was given.
  WaitList waiters_;
};

}  // namespace aster::inline v0
