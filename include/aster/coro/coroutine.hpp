// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/coro/await_path.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/foreign.hpp>
#include <aster/coro/promise.hpp>
#include <aster/coro/result.hpp>

#include <concepts>
#include <coroutine>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

template <class T>
class Coroutine;

namespace detail {

template <class T>
class ResultPromise;
template <class T>
class CoroutinePromise;

template <class>
inline constexpr bool is_coroutine = false;
template <class T>
inline constexpr bool is_coroutine<Coroutine<T>> = true;
template <class T>
class CallAwaiter;

/// Destroys a frame that was never started; in debug mode reports that (CORO-4).
ASTER_API void drop_unstarted(PromiseBase& promise) noexcept;

}  // namespace detail

/// A coroutine that has been called but not started: nothing of its body runs
/// until it is awaited (inline, in the same task, without a trip through the
/// loop) or made a task. The counterpart of asyncio's coroutine object.
///
///     Coroutine<int> add(int a, int b) {
///       co_await sleep(1ms);
///       co_return a + b;
///     }
///     Coroutine<> amain() { int three = co_await add(1, 2); use(three); }
///
/// Awaiting consumes it: a second await, or awaiting a moved-from one, is a
/// RuntimeError (CORO-3). Dropping it unawaited destroys the frame, and is reported in
/// debug mode.
///
/// Lifetime: parameters passed by reference must outlive the await; a capturing
/// lambda's captures live only as long as the lambda, so give the lambda itself
/// to `create_task`. Thread: one loop's thread.
template <class T = void>
class [[nodiscard("a Coroutine does nothing until it is awaited or made a task")]] Coroutine {
 public:
  using promise_type = detail::CoroutinePromise<T>;
  using value_type = T;

  /// An empty one, as left by a move; awaiting it is a RuntimeError.
  Coroutine() noexcept = default;
  Coroutine(Coroutine&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  Coroutine& operator=(Coroutine&& other) noexcept {
    if (this != &other) {
      drop();
      promise_ = std::exchange(other.promise_, nullptr);
    }
    return *this;
  }
  ~Coroutine() { drop(); }

  /// True until it is awaited, made a task, or moved from.
  [[nodiscard]] explicit operator bool() const noexcept { return promise_ != nullptr; }

  /// Runs it inline in the awaiting coroutine and gives its result. The coroutine
  /// is used up by this, also when awaited by its name.
  [[nodiscard]] detail::CallAwaiter<T> operator co_await() {
    return detail::CallAwaiter<T>(release());
  }

  /// Destroys the frame without running it, on purpose: no report. Nothing when it is
  /// used up.
  void close() noexcept {
    if (promise_ != nullptr) detail::PromiseBase::destroy(*std::exchange(promise_, nullptr));
  }

  /// Takes the promise out, for drivers: whoever does so owns the frame.
  [[nodiscard]] promise_type& release() {
    if (promise_ == nullptr) [[unlikely]] {
      throw RuntimeError("cannot reuse already awaited coroutine");
    }
    return *std::exchange(promise_, nullptr);
  }

 private:
  template <class U>
  friend class detail::ResultPromise;
  explicit Coroutine(promise_type& promise) noexcept : promise_(&promise) {}
  void drop() noexcept {
    if (promise_ != nullptr) detail::drop_unstarted(*std::exchange(promise_, nullptr));
  }

  promise_type* promise_ = nullptr;
};

// -------------------------------------------------------------------------------

namespace detail {

/// The part of a coroutine's promise that does not depend on how `co_return` is
/// spelled: where the result goes.
template <class T>
class ResultPromise : public PromiseBase {
 public:
  [[gnu::always_inline]] inline Coroutine<T> get_return_object() noexcept;
  void unhandled_exception() noexcept {
    Result<T>& place = result();
    place.set_error(std::current_exception());
    note_left(place.error(), await_site());
  }
  /// Where the result of a root goes; set before the first step. That of a frame
  /// that is awaited goes to its awaiter.
  void deliver_to(Result<T>& place) noexcept { set_root_result(&place); }

 protected:
  ~ResultPromise() = default;
  [[nodiscard]] Result<T>& result() const noexcept {
    return *static_cast<Result<T>*>(result_place());
  }
};

template <class T>
class CoroutinePromise : public ResultPromise<T> {
 public:
  CoroutinePromise() noexcept = default;
  template <class U = T>
    requires(std::is_constructible_v<typename Result<T>::Stored, U> ||
             (std::is_reference_v<T> && std::is_convertible_v<U, T>))
  void return_value(U&& value) {
    if constexpr (std::is_arithmetic_v<T> && std::is_arithmetic_v<std::remove_cvref_t<U>>) {
      this->result().emplace(static_cast<T>(value));  // `co_return 1` of Coroutine<std::size_t>.
    } else {
      this->result().emplace(std::forward<U>(value));
    }
  }
};

template <>
class CoroutinePromise<void> : public ResultPromise<void> {
 public:
  CoroutinePromise() noexcept = default;
  inline void return_void() noexcept;
};

/// `co_await` of a coroutine: owns the called frame and receives its result.
template <class T>
class [[nodiscard]] CallAwaiter : CallLink {
 public:
  using aster_awaiter = void;
  explicit CallAwaiter(CoroutinePromise<T>& child) noexcept { child_ = &child; }
  /// Where the awaiting frame is known beforehand, the called one may run at once.
  CallAwaiter(PromiseBase& parent, CoroutinePromise<T>& child) noexcept : CallAwaiter(child) {
    parent_ = &parent;
  }
  CallAwaiter(const CallAwaiter&) = delete;
  CallAwaiter& operator=(const CallAwaiter&) = delete;
  ~CallAwaiter() {
    if (child_ != nullptr) PromiseBase::destroy(*child_);
  }

  [[nodiscard]] bool await_ready() noexcept { return parent_ != nullptr && run(*parent_, *child_); }

  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> parent) noexcept {
    require_driver<Promise>();
    if (parent_ == nullptr) call(parent.promise(), *child_);
  }

  T await_resume() { return result_.move_out(); }  // The frame goes with this object.

 protected:
  [[nodiscard]] Result<T>& result() noexcept { return result_; }

 private:
  static_assert(alignof(Result<T>) <= sizeof(CallLink) && sizeof(CallLink) == 2 * sizeof(void*));
  Result<T> result_;  // Right behind the link, where `PromiseBase` looks for it.
};

/// How a promise's `await_transform` calls a coroutine.
template <class T>
[[nodiscard]] CallAwaiter<T> call_from(PromiseBase& parent, Coroutine<T>& child) {
  return CallAwaiter<T>(parent, child.release());
}

template <class T>
inline Coroutine<T> ResultPromise<T>::get_return_object() noexcept {
#if defined(__GNUC__)  // Inlined into the coroutine's first part: the address is its caller's.
  this->note_call(__builtin_return_address(0));
#endif
  return Coroutine<T>(static_cast<CoroutinePromise<T>&>(*this));
}

void CoroutinePromise<void>::return_void() noexcept { result().emplace(); }

}  // namespace detail
}  // namespace aster::inline v0
