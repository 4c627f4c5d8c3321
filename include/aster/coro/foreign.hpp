// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>

#include <coroutine>
#include <type_traits>
#include <utility>

/// Awaitables that know nothing of aster: callbacks, other threads, other
/// coroutine libraries.
///
/// Such an awaiter is not given the awaiting frame's handle but that of a relay,
/// a tiny coroutine whose resumption, on whatever thread, queues the task's next
/// step. So user code keeps running on its loop's thread only, and a handle that
/// is resumed twice is a reported error instead of a corrupted frame.
///
///     struct Callback {                     // An awaitable of one's own.
///       bool await_ready() { return false; }
///       void await_suspend(std::coroutine_handle<> h) { on_event([h] { h.resume(); }); }
///       void await_resume() {}
///       void cancel() noexcept { forget_event(); resume(); }   // Optional.
///     };
///
/// Cancelling a task that waits for one calls the awaiter's `cancel() noexcept`
/// when it has one; in any case `CancelledError` is thrown when it resumes.
namespace aster::inline v0::detail {

class RelayState;

/// The loop-thread end of a relay.
class ASTER_API Relay {
 public:
  Relay() noexcept = default;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay() { abandon(); }

  /// Readies a relay that wakes `driver`; its handle may be resumed once.
  std::coroutine_handle<> arm(Driver& driver);
  /// Whether the handle is out and has not been resumed.
  [[nodiscard]] bool is_armed() const noexcept;
  /// The wake-up has been consumed, or will not come as the awaiter did not
  /// suspend.
  void disarm() noexcept;
  /// The awaiter threw instead of suspending, perhaps after it had given the handle
  /// away: a resume of that is reported for as long as can be.
  void distrust() noexcept;
  /// The wait ends, maybe while the handle is still out: then a later resume of the
  /// handle does nothing but free the relay.
  void abandon() noexcept;

 private:
  RelayState* state_ = nullptr;
};

template <class Awaiter>
concept HasCancel = requires(Awaiter& awaiter) { awaiter.cancel(); };

/// Adapts an awaiter that takes a plain `std::coroutine_handle<>`.
template <class Inner>
class [[nodiscard]] ForeignAwaiter final : Waiter {
 public:
  using aster_awaiter = void;

  template <class U>
  explicit ForeignAwaiter(U&& inner) : inner_(std::forward<U>(inner)) {}

  [[nodiscard]] bool await_ready() { return static_cast<bool>(inner_.await_ready()); }

  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    driver_ = &driver_of(handle);
    const std::coroutine_handle<> relay = relay_.arm(*driver_);
    driver_->suspend(*this);
    try {
      using Outcome = decltype(inner_.await_suspend(relay));
      if constexpr (std::is_void_v<Outcome>) {
        inner_.await_suspend(relay);
      } else if constexpr (std::is_same_v<Outcome, bool>) {
        if (!inner_.await_suspend(relay)) {
          relay_.disarm();
          driver_->unsuspend();
        }
      } else {
        const std::coroutine_handle<> next = inner_.await_suspend(relay);
        next.resume();
      }
    } catch (...) {
      relay_.distrust();
      driver_->unsuspend();
      throw;
    }
  }

  decltype(auto) await_resume() {
    relay_.abandon();  // The handle is still out when its driver threw into the await.
    if (driver_ != nullptr) driver_->check();
    return inner_.await_resume();
  }

 private:
  bool cancel(Driver&, std::string&) noexcept override {
    if constexpr (HasCancel<std::remove_reference_t<Inner>>) {
      static_assert(noexcept(inner_.cancel()), "aster: an awaiter's cancel() must be noexcept");
      // Once, and not when it has resumed: it would resume a second time.
      if (relay_.is_armed() && !std::exchange(cancel_called_, true)) inner_.cancel();
    }
    return false;  // The task keeps the request and throws when the awaiter resumes.
  }

  Inner inner_;
  Driver* driver_ = nullptr;  // Null until it suspends.
  bool cancel_called_ = false;
  Relay relay_;
};

}  // namespace aster::inline v0::detail
