// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <chrono>
#include <cmath>
#include <limits>
#include <type_traits>

/// Time as the loop knows it: monotonic, in nanoseconds, never a bare number.
///
/// A delay may be any `std::chrono::duration`, floating ones included. Infinite
/// and huge delays park for ever, negative ones are due at once, NaN is a
/// `ValueError` of the call it was given to.
namespace aster::inline v0 {

/// The loop's unit of time.
using Duration = std::chrono::steady_clock::duration;

/// A point on the loop's clock; `EventLoop::time()` gives the present one.
using TimePoint = std::chrono::steady_clock::time_point;

/// A length of time made from any duration; what options hold.
///
///     auto waited = co_await wait(tasks, {.timeout = 250ms});
class Delay {
 public:
  /// A delay of nothing.
  constexpr Delay() noexcept = default;

  /// From any duration; never throws. What does not fit becomes infinite.
  template <class Rep, class Period>
  // NOLINTNEXTLINE(google-explicit-constructor): a delay stands for a duration.
  constexpr Delay(std::chrono::duration<Rep, Period> time) noexcept {
    using Wide = std::chrono::duration<long double, Duration::period>;
    if constexpr (std::is_floating_point_v<Rep>) {
      if (time.count() != time.count()) {
        nan_ = true;
        return;
      }
    }
    const long double wide = std::chrono::duration_cast<Wide>(time).count();
    constexpr long double limit = 9.2e18L;
    if (wide >= limit) {
      value_ = Duration::max();
    } else if (wide <= -limit) {
      value_ = Duration::min();
    } else if constexpr (std::is_floating_point_v<Rep>) {
      auto whole = static_cast<Duration::rep>(wide);
      if (static_cast<long double>(whole) < wide) ++whole;  // Never early.
      value_ = Duration(whole);
    } else {
      value_ = std::chrono::duration_cast<Duration>(time);
    }
  }

  /// A delay that never ends.
  [[nodiscard]] static constexpr Delay infinite() noexcept {
    Delay delay;
    delay.value_ = Duration::max();
    return delay;
  }

  /// True when made from NaN; `checked` throws then.
  [[nodiscard]] constexpr bool is_nan() const noexcept { return nan_; }
  /// True when it never ends.
  [[nodiscard]] constexpr bool is_infinite() const noexcept { return value_ == Duration::max(); }

  /// The length; `Duration::max()` when infinite.
  [[nodiscard]] constexpr Duration value() const noexcept { return value_; }

  /// The length, or ValueError "<call>: delay is NaN".
  [[nodiscard]] Duration checked(const char* call) const {
    if (nan_) [[unlikely]]
      throw_nan(call);
    return value_;
  }

 private:
  [[noreturn]] ASTER_API static void throw_nan(const char* call);

  Duration value_{};
  bool nan_ = false;
};

namespace detail {

/// `from + delay` without overflow: `TimePoint::max()` stands for "never".
[[nodiscard]] constexpr TimePoint add_saturated(TimePoint from, Duration delay) noexcept {
  if (delay > Duration::zero() && from > TimePoint::max() - delay) return TimePoint::max();
  if (delay < Duration::zero() && from < TimePoint::min() - delay) return TimePoint::min();
  return from + delay;
}

}  // namespace detail
}  // namespace aster::inline v0
