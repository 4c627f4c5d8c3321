// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

/// How an await ended, as a value: a result or an exception, `CancelledError`
/// included.
///
///     Outcome<int> o = co_await outcome(add(1, 2));
///     if (!o.has_value()) log(describe(o.exception()));
template <class T = void>
class Outcome {
  using Stored = std::conditional_t<
      std::is_void_v<T>, detail::Nothing,
      std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

 public:
  using value_type = T;

  /// From an exception; it must not be null.
  // NOLINTNEXTLINE(google-explicit-constructor): an exception is an outcome.
  Outcome(std::exception_ptr error) noexcept : error_(std::move(error)) {
    ASTER_REQUIRE(error_ != nullptr, "an Outcome was made of a null exception_ptr");
  }
  /// From a value.
  template <class... Args>
  explicit Outcome(std::in_place_t, Args&&... args) {
    if constexpr (std::is_reference_v<T>) {
      value_.emplace(std::addressof(args)...);
    } else {
      value_.emplace(std::forward<Args>(args)...);
    }
  }

  /// True when it ended with a value.
  [[nodiscard]] bool has_value() const noexcept { return error_ == nullptr; }
  [[nodiscard]] explicit operator bool() const noexcept { return has_value(); }
  /// The exception; null when it ended with a value.
  [[nodiscard]] std::exception_ptr exception() const noexcept { return error_; }
  /// True when it ended with `CancelledError`.
  [[nodiscard]] bool cancelled() const noexcept { return is_cancelled_error(error_); }

  /// The value, or the exception thrown.
  [[nodiscard]] decltype(auto) value() & { return get(*this); }
  /// The value, or the exception thrown.
  [[nodiscard]] decltype(auto) value() const& { return get(*this); }
  /// The value moved out, or the exception thrown.
  T value() && {
    rethrow();
    if constexpr (std::is_reference_v<T>) {
      return **value_;
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*value_);
    }
  }

 private:
  void rethrow() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }
  template <class Self>
  static decltype(auto) get(Self& self) {
    self.rethrow();
    if constexpr (std::is_reference_v<T>) {
      return **self.value_;
    } else if constexpr (!std::is_void_v<T>) {
      return (*self.value_);
    }
  }

  std::exception_ptr error_;
  std::optional<Stored> value_;
};

namespace detail {

/// `co_await` of a coroutine that gives how it ended: where an error is a value in the end,
/// it need not be thrown on the way.
template <class T>
class [[nodiscard]] QuietCallAwaiter final : public CallAwaiter<T> {
 public:
  using CallAwaiter<T>::CallAwaiter;
  Outcome<T> await_resume() {
    if (this->result().has_error()) {
      note_rethrow(this->result().error());  // Its path goes on here.
      return this->result().error();
    }
    if constexpr (std::is_void_v<T>) {
      this->result().require_value();
      return Outcome<T>(std::in_place);
    } else {
      return Outcome<T>(std::in_place, this->result().move_out());
    }
  }
};

/// A coroutine to be awaited so.
template <class T>
class [[nodiscard]] QuietCall {
 public:
  explicit QuietCall(Coroutine<T> coroutine) noexcept : coroutine_(std::move(coroutine)) {}
  [[nodiscard]] QuietCallAwaiter<T> operator co_await() {
    return QuietCallAwaiter<T>(coroutine_.release());
  }
  friend QuietCallAwaiter<T> call_from(PromiseBase& parent, QuietCall& call) {
    return QuietCallAwaiter<T>(parent, call.coroutine_.release());
  }

 private:
  Coroutine<T> coroutine_;
};

}  // namespace detail

/// Awaits `value` and gives how it ended instead of throwing: what to use where a
/// handler must await, as C++ forbids `co_await` inside `catch`. A `CancelledError`
/// that was meant for the caller is in the outcome too: rethrow it after cleaning
/// up.
template <class A>
  requires(awaitable<A>)
Coroutine<Outcome<await_result_t<A>>> outcome(A value) {
  using T = await_result_t<A>;
  try {
    if constexpr (detail::is_coroutine<A>) {
      detail::QuietCall<T> call(std::move(value));
      co_return co_await call;
    } else if constexpr (std::is_void_v<T>) {
      co_await std::move(value);
      co_return Outcome<T>(std::in_place);
    } else {
      co_return Outcome<T>(std::in_place, co_await std::move(value));
    }
  } catch (...) {
    co_return std::current_exception();  // No temporary: g++ 12 warns of its value.
  }
}

namespace detail {

/// `value` when it is an awaitable, else what calling it gives.
template <class A>
decltype(auto) awaitable_or_call(A& value) {
  if constexpr (awaitable<A&> || awaitable<A>) {
    return std::move(value);
  } else {
    return value();
  }
}

}  // namespace detail

/// Awaits `body` (an awaitable, or a callable that gives one), then `cleanup` in
/// the same way, however `body` ended: Python's try … finally with awaits in the
/// finally part. Gives the body's result, or throws its error; an error of
/// `cleanup` is thrown only when the body had none.
///
///     co_await aster::finally(work(file), [&] { return file.close(); });
template <class Body, class Cleanup>
auto finally(Body body, Cleanup cleanup)
    -> Coroutine<await_result_t<decltype(detail::awaitable_or_call(body))>> {
  using T = await_result_t<decltype(detail::awaitable_or_call(body))>;
  detail::Result<T> result;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await detail::awaitable_or_call(body);
      result.emplace();
    } else {
      result.emplace(co_await detail::awaitable_or_call(body));
    }
  } catch (...) {
    result.set_error(std::current_exception());
  }
  std::exception_ptr cleanup_error;
  try {
    static_cast<void>(co_await detail::awaitable_or_call(cleanup));
  } catch (...) {
    cleanup_error = std::current_exception();
  }
  if (cleanup_error != nullptr && !result.has_error()) std::rethrow_exception(cleanup_error);
  co_return result.take();
}

}  // namespace aster::inline v0
