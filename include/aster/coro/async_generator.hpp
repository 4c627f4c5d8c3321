// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/async_generator_state.hpp>
#include <aster/coro/result.hpp>
#include <aster/coro/yielded.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {
template <class T, class Send>
class AsyncGenPromise;
template <class T, class Send>
class AsyncGenStep;
template <class T, class Send>
class AsyncGenAnext;
}  // namespace detail

/// A generator whose body may await: Python's asynchronous generator. For values that
/// are at hand, take `Generator`.
///
///     AsyncGenerator<int> ticks() {
///       for (int i = 0; i < 10; ++i) { co_await sleep(1ms); co_yield i; }
///     }
///     auto generator = ticks();                                      // async for:
///     while (auto tick = co_await generator.next()) use(*tick);
///
/// Lazy: nothing of the body runs before the first step is awaited, and it runs in the
/// task that awaits, which is also who is cancelled. An exception that leaves the body,
/// CancelledError included, leaves the step, and the generator has ended. A step while
/// another task's is under way is a RuntimeError "anext(): asynchronous generator is
/// already running".
///
/// Left before its end, it stays open until `aclose`, best by `aclosing`. Dropped
/// open, it is closed by a task that the loop makes on its next turn, and `run` closes
/// what is left: **its cleanup then runs after the block that held it**. So an open
/// generator must own what its cleanup uses: take parameters by value, capture nothing
/// by reference, or close it. Once the loop is closed only destructors run.
/// Thread: the loop's.
template <class T, class Send = void>
class [[nodiscard("an AsyncGenerator does nothing until a step of it is awaited")]] AsyncGenerator {
  static_assert(!std::is_reference_v<Send>, "aster: a generator is sent values, not references");
  static_assert(std::is_void_v<Send> || std::is_default_constructible_v<Send>,
                "aster: next() sends a default-constructed value; send a std::optional");
  using Action = detail::AsyncGenAction;

 public:
  using promise_type = detail::AsyncGenPromise<T, Send>;
  using value_type = std::remove_cvref_t<T>;

  /// An empty one, as left by a move; asking it for anything is a RuntimeError.
  AsyncGenerator() noexcept = default;

  /// False when empty.
  [[nodiscard]] explicit operator bool() const noexcept { return state_.get() != nullptr; }

  /// Awaited: goes on to the next `co_yield` and gives its value, or nothing at the end
  /// (`std::optional`; references come as `std::reference_wrapper`). The `co_yield`
  /// before gives a default-constructed `Send`.
  [[nodiscard]] detail::AsyncGenStep<T, Send> next() const {
    return detail::AsyncGenStep<T, Send>(request(Action::next));
  }

  /// Awaited: as `next`, but gives the plain value and throws StopAsyncIteration at
  /// the end; Python's `anext`.
  [[nodiscard]] detail::AsyncGenAnext<T, Send> anext() const {
    return detail::AsyncGenAnext<T, Send>(request(Action::next));
  }

  /// Awaited: as `next`, and the `co_yield` at which it waits gives `value`.
  /// TypeError when it has not reached one yet.
  template <class S = Send>
    requires(!std::is_void_v<Send> && std::convertible_to<S, Send>)
  [[nodiscard]] detail::AsyncGenStep<T, Send> asend(S&& value) const {
    return detail::AsyncGenStep<T, Send>(request(Action::send), std::forward<S>(value));
  }

  /// Awaited: throws `error` at the `co_yield` at which it waits, and gives what it
  /// yields next. When the body has not begun it never will, and `error` comes back;
  /// when it has ended, nothing happens.
  [[nodiscard]] detail::AsyncGenStep<T, Send> athrow(std::exception_ptr error) const {
    return detail::AsyncGenStep<T, Send>(request(Action::throw_, std::move(error)));
  }
  /// The same with an exception object.
  template <class E>
    requires(!std::convertible_to<E, std::exception_ptr>)
  [[nodiscard]] detail::AsyncGenStep<T, Send> athrow(E error) const {
    return athrow(std::make_exception_ptr(std::move(error)));
  }

  /// Awaited: throws GeneratorExit at the `co_yield` and waits until the body has
  /// cleaned up, which may await. RuntimeError "async generator ignored GeneratorExit"
  /// when it yields instead; other errors as they come.
  [[nodiscard]] detail::AsyncGenClose aclose() const {
    return detail::AsyncGenClose(request(Action::close));
  }

 private:
  template <class, class>
  friend class detail::AsyncGenPromise;
  explicit AsyncGenerator(detail::AsyncGenRef state) noexcept : state_(std::move(state)) {}

  [[nodiscard]] detail::AsyncGenRequest request(Action action,
                                                std::exception_ptr error = nullptr) const {
    if (state_.get() == nullptr) throw RuntimeError("this AsyncGenerator is empty");
    return detail::AsyncGenRequest(state_, action, std::move(error));
  }

  detail::AsyncGenRef state_;
};

// -------------------------------------------------------------------------------

namespace detail {

/// `co_yield` in an asynchronous generator: holds the value until the next step.
template <class T, class Send>
class AsyncYieldAwaiter {
 public:
  using aster_awaiter = void;
  template <class U>
  explicit AsyncYieldAwaiter(std::in_place_t, U&& value)
      : value_(Yielded<T>::store(std::forward<U>(value))) {}
  AsyncYieldAwaiter(const AsyncYieldAwaiter&) = delete;
  AsyncYieldAwaiter& operator=(const AsyncYieldAwaiter&) = delete;
  ~AsyncYieldAwaiter() = default;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> self) noexcept {
    state_ = &self.promise().state();
    state_->yield(&value_);
    FinalAwaiter().await_suspend(self);  // Back to the awaiting frame, as at the end.
  }
  Send await_resume() { return sent_or_default<Send>(state_->take_sent()); }

 private:
  typename Yielded<T>::Stored value_;
  AsyncGenState* state_ = nullptr;
};

template <class T, class Send>
class AsyncGenPromise : public AsyncGenFrame {
 public:
  AsyncGenPromise() noexcept = default;
  AsyncGenerator<T, Send> get_return_object() { return AsyncGenerator<T, Send>(make_state()); }
  template <class U = T>
    requires(YieldableAs<T, U>)
  AsyncYieldAwaiter<T, Send> yield_value(U&& value) {
    return AsyncYieldAwaiter<T, Send>(std::in_place, std::forward<U>(value));
  }
};

/// The await of `next`, `asend` or `athrow`.
template <class T, class Send, bool throws_at_end>
class [[nodiscard]] AsyncGenNext final : public AsyncGenCall {
  using Sent = std::conditional_t<std::is_void_v<Send>, Nothing, Send>;
  using Optional = typename Yielded<T>::Optional;

 public:
  AsyncGenNext(AsyncGenRequest&& request, std::optional<Sent>&& sent)
      : AsyncGenCall(std::move(request)), sent_(std::move(sent)) {
    if (sent_) will_send(&*sent_);
  }
  auto await_resume() -> std::conditional_t<throws_at_end, T, std::optional<Optional>> {
    void* yielded = finish();
    if constexpr (throws_at_end) {
      if (yielded == nullptr) throw StopAsyncIteration("the asynchronous generator has ended");
      return static_cast<T>(Yielded<T>::take(yielded));
    } else {
      if (yielded == nullptr) return std::nullopt;
      return std::optional<Optional>(Yielded<T>::take(yielded));
    }
  }

 private:
  std::optional<Sent> sent_;
};

/// What `next`, `asend` and `athrow` give; awaited once.
template <class T, class Send>
class [[nodiscard("a step does nothing until it is awaited")]] AsyncGenStep {
  using Sent = std::conditional_t<std::is_void_v<Send>, Nothing, Send>;

 public:
  explicit AsyncGenStep(AsyncGenRequest request) noexcept : request_(std::move(request)) {}
  template <class S>
  AsyncGenStep(AsyncGenRequest request, S&& value)
      : request_(std::move(request)), sent_(std::in_place, std::forward<S>(value)) {}
  [[nodiscard]] AsyncGenNext<T, Send, false> operator co_await() {
    return AsyncGenNext<T, Send, false>(std::move(request_), std::move(sent_));
  }

 private:
  AsyncGenRequest request_;
  std::optional<Sent> sent_;
};

/// What `anext` gives; awaited once.
template <class T, class Send>
class [[nodiscard("a step does nothing until it is awaited")]] AsyncGenAnext {
 public:
  explicit AsyncGenAnext(AsyncGenRequest request) noexcept : request_(std::move(request)) {}
  [[nodiscard]] AsyncGenNext<T, Send, true> operator co_await() {
    return AsyncGenNext<T, Send, true>(std::move(request_), std::nullopt);
  }

 private:
  AsyncGenRequest request_;
};

}  // namespace detail
}  // namespace aster::inline v0
