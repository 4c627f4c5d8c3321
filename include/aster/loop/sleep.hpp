// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/coro/promise.hpp>
#include <aster/task/scheduler.hpp>

#include <concepts>
#include <coroutine>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// Waits for a time, or for one turn; lives in the awaiting frame.
class ASTER_API SleepAwaiter : Waiter, Timer {
 public:
  using aster_awaiter = void;
  explicit SleepAwaiter(Duration delay) noexcept : Timer(&timer_ops), delay_(delay) {}
  ~SleepAwaiter() {
    if (stage_ == Stage::waiting) [[unlikely]]
      withdraw();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    driver_ = &driver_of(handle);
    if (delay_ <= Duration::zero()) {
      driver_->suspend();
      driver_->wake();
    } else {
      start();
    }
  }
  void await_resume() { driver_->check(); }

 private:
  enum class Stage : std::uint8_t { idle, waiting, over };
  static const RunnableOps timer_ops;
  void start();
  void withdraw() noexcept;
  bool cancel(Driver& driver, std::string& message) noexcept override;

  Driver* driver_ = nullptr;
  Duration delay_;
  Stage stage_ = Stage::idle;
};

template <class T>
class SleepWithResultAwaiter final : public SleepAwaiter {
 public:
  template <class U>
  SleepWithResultAwaiter(Duration delay, U&& result)
      : SleepAwaiter(delay), result_(std::forward<U>(result)) {}
  T await_resume() {
    SleepAwaiter::await_resume();
    return std::move(result_);
  }

 private:
  T result_;
};

}  // namespace detail

/// What `sleep` gives: a wait that has not begun.
class [[nodiscard("sleep does nothing until it is awaited")]] Sleep {
 public:
  /// A wait of `delay`; use `sleep`.
  explicit Sleep(Duration delay) noexcept : delay_(delay) {}
  /// Begins the wait.
  [[nodiscard]] detail::SleepAwaiter operator co_await() const noexcept {
    return detail::SleepAwaiter(delay_);
  }

 private:
  Duration delay_;
};

/// What `sleep` with a result gives.
template <class T>
class [[nodiscard("sleep does nothing until it is awaited")]] SleepWithResult {
 public:
  /// A wait of `delay`; use `sleep`.
  template <class U>
  SleepWithResult(Duration delay, U&& result) : delay_(delay), result_(std::forward<U>(result)) {}
  /// Begins the wait.
  [[nodiscard]] detail::SleepWithResultAwaiter<T> operator co_await() && {
    return detail::SleepWithResultAwaiter<T>(delay_, std::move(result_));
  }
  /// Begins the wait, with a copy of the result.
  [[nodiscard]] detail::SleepWithResultAwaiter<T> operator co_await() const& {
    return detail::SleepWithResultAwaiter<T>(delay_, result_);
  }

 private:
  Duration delay_;
  T result_;
};

/// Suspends the task for `delay`, counted from the await: the counterpart of
/// asyncio.sleep. Zero or less: exactly one turn, without a timer; infinite: until
/// cancelled. ValueError for NaN. Never early; allocates nothing.
///
///     co_await sleep(250ms);
[[nodiscard("sleep does nothing until it is awaited")]] inline Sleep sleep(Delay delay) {
  return Sleep(delay.checked("sleep"));
}

/// The same, giving `result` when it is over.
template <class T>
[[nodiscard("sleep does nothing until it is awaited")]] SleepWithResult<std::decay_t<T>> sleep(
    Delay delay, T&& result) {
  return SleepWithResult<std::decay_t<T>>(delay.checked("sleep"), std::forward<T>(result));
}

/// Bare numbers have no unit: say `sleep(1s)`, `sleep(0s)`.
template <class Number, class... T>
  requires(std::is_arithmetic_v<Number>)
void sleep(Number seconds, T&&... result) = delete;

/// Gives way to everything that is ready; the task goes on in the next turn. As
/// `sleep(0s)`.
[[nodiscard("yield_now does nothing until it is awaited")]] inline Sleep yield_now() noexcept {
  return Sleep(Duration::zero());
}

}  // namespace aster::inline v0
