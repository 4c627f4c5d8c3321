// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>
#include <aster/coro/immediately.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/scheduler.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace aster::inline v0 {

/// A deadline for a block of code: the counterpart of asyncio.Timeout. Made by
/// `timeout` or `timeout_at`, used with `with`:
///
///     co_await with(timeout(50ms), [&](Timeout& limit) -> Coroutine<> {
///       co_await step_one();
///       limit.reschedule(loop.time() + 1s);
///       co_await step_two();
///     });
///
/// At the deadline the task is cancelled; outside the block that shows as
/// `TimeoutError`, inside it only as `CancelledError`. A cancellation from elsewhere
/// stays a `CancelledError`. The TimeoutError's `cause()` is the CancelledError. Moves until it is
/// entered, then never (checked).
class ASTER_API Timeout : detail::Timer {
 public:
  /// A deadline; use `timeout` or `timeout_at`.
  explicit Timeout(std::optional<TimePoint> when) noexcept;
  Timeout(Timeout&& other) noexcept;
  Timeout& operator=(Timeout&&) = delete;
  ~Timeout();

  /// The deadline; nothing when there is none.
  [[nodiscard]] std::optional<TimePoint> when() const noexcept { return when_; }
  /// Moves the deadline; nothing removes it. RuntimeError unless entered and not
  /// yet expired or left.
  void reschedule(std::optional<TimePoint> when);
  /// Whether the deadline came while the block ran.
  [[nodiscard]] bool expired() const noexcept {
    return state_ == State::expiring || state_ == State::expired;
  }
  /// "created", "active", "expiring", "expired" or "finished".
  [[nodiscard]] std::string_view state() const noexcept;

  /// For `with`: starts the clock. RuntimeError on a second entry and outside a task.
  [[nodiscard]] detail::Immediately<Timeout&> enter() {
    begin();
    return detail::Immediately<Timeout&>(*this);
  }
  /// For `with`: turns an expiry's CancelledError into TimeoutError.
  [[nodiscard]] detail::Immediately<bool> exit(const std::exception_ptr& error) {
    end(error);
    return detail::Immediately<bool>(false);
  }

  /// `enter` for code without `with`.
  void begin();
  /// `exit` for code without `with`: throws TimeoutError when that is what `error` means.
  void end(const std::exception_ptr& error);

 private:
  enum class State : std::uint8_t { created, active, expiring, expired, finished };
  friend ASTER_API std::string to_string(const Timeout& timeout);
  static const detail::RunnableOps timer_ops;
  void expire();
  void disarm() noexcept;

  std::optional<TimePoint> when_;
  detail::Driver* driver_ = nullptr;  // Of the task that entered.
  // That task, which one that was entered by hand may outlive.
  detail::StateRef<detail::FutureBase> task_;
  int cancelling_at_entry_ = 0;
  State state_ = State::created;
  bool armed_ = false;  // Scheduled or queued.
};

/// A deadline in one line for people: "<Timeout [active] when=12.500>", in seconds of the
/// loop's clock. The form may change.
[[nodiscard]] ASTER_API std::string to_string(const Timeout& timeout);

/// A deadline `delay` after this call (not after the entry); infinite: none.
/// ValueError for NaN, RuntimeError without a running loop.
[[nodiscard]] ASTER_API Timeout timeout(Delay delay);
/// A deadline at a time of the loop's clock; nothing: none.
[[nodiscard]] ASTER_API Timeout timeout_at(std::optional<TimePoint> when);

namespace detail {

/// Cancels `future` and waits until it has really ended.
ASTER_API Coroutine<> cancel_and_wait(StateRef<FutureBase> future);

template <class A>
Coroutine<await_result_t<A>> await_at_most(A value, Duration limit) {
  using T = await_result_t<A>;
  if (limit <= Duration::zero()) {
    auto future = ensure_future(std::move(value));
    if (!future.done()) {
      co_await cancel_and_wait(StateRef<FutureBase>::share(Access::state(future)));
      if (future.cancelled()) {
        throw TimeoutError("wait_for: timed out", Access::state(future).stored_error());
      }
    }
    co_return std::move(future).take_or_copy();
  }
  Timeout deadline = aster::timeout(limit);
  deadline.begin();
  Result<T> result;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(value);
      result.emplace();
    } else {
      result.emplace(co_await std::move(value));
    }
  } catch (...) {
    result.set_error(std::current_exception());
  }
  deadline.end(result.has_error() ? result.error() : nullptr);
  co_return result.take();
}

}  // namespace detail

/// Awaits `value`, at most for `limit`: the counterpart of asyncio.wait_for. When
/// the time is over the awaitable is cancelled, waited for until it has ended, and
/// `TimeoutError` is thrown; if it swallows the cancellation and returns, its value
/// is given. A coroutine runs inline in the calling task. A cancellation of the
/// caller always comes through. Infinite: no limit; zero or less: a coroutine's body
/// never starts. ValueError for NaN.
///
///     int v = co_await wait_for(add(1, 2), 1s);
template <class A>
  requires(awaitable<A>)
Coroutine<await_result_t<A>> wait_for(A value, Delay limit) {
  return detail::await_at_most<A>(std::move(value), limit.checked("wait_for"));
}

}  // namespace aster::inline v0
