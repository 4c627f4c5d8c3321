// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/function.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/time.hpp>
#include <aster/coro/result.hpp>

#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

class CompletionQueue;

/// What a queue leaves in a future to be told of its end; see concurrent_wait.hpp.
struct CompletionWatch : ListNode {
  CompletionWatch() noexcept = default;
  CompletionQueue* queue = nullptr;
  std::size_t index = 0;  // The future's number in the queue.
};

/// The shared state of a `ConcurrentFuture`, without the result's type.
class ASTER_API ConcurrentStateBase {
 public:
  enum class State : std::uint8_t { pending, running, cancelled, cancelled_and_notified, finished };
  using Callback = Function<void()>;

  ConcurrentStateBase() noexcept = default;
  ConcurrentStateBase(const ConcurrentStateBase&) = delete;
  ConcurrentStateBase& operator=(const ConcurrentStateBase&) = delete;

  bool cancel() noexcept;
  bool set_running_or_notify_cancel();
  [[nodiscard]] bool is_cancelled() const noexcept;
  [[nodiscard]] bool is_running() const noexcept;
  [[nodiscard]] bool is_done() const noexcept;
  void add_callback(Callback callback);
  /// Tells the queue of `watch` when it is done, or at once when it is done already.
  void watch(CompletionWatch& watch) noexcept;
  /// Nothing is told any more when this returns.
  void unwatch(CompletionWatch& watch) noexcept;

 protected:
  ~ConcurrentStateBase();
  using Lock = std::unique_lock<std::mutex>;

  /// Waits until it is done: ValueError for NaN, TimeoutError, CancelledError.
  [[nodiscard]] Lock lock_when_done(Delay timeout, const char* call);
  /// InvalidStateError when it is done already.
  [[nodiscard]] Lock lock_to_set(const char* call);
  /// The value or error is stored: wakes the waiters and runs the callbacks.
  void finish(Lock lock, bool failed) noexcept {
    failed_ = failed;
    complete(std::move(lock), State::finished);
  }

 private:
  void complete(Lock lock, State state) noexcept;
  [[nodiscard]] bool is_final() const noexcept { return state_ >= State::cancelled; }

  mutable std::mutex mutex_;  // Guards all that follows, and the result.
  std::condition_variable done_;
  State state_ = State::pending;
  bool failed_ = false;                     // Finished, with an error.
  std::vector<Callback> callbacks_;         // In order of registration; empty once done.
  IntrusiveList<CompletionWatch> watches_;  // Empty once done.
};

template <class T>
class ConcurrentState : public ConcurrentStateBase {
 public:
  template <class... Args>
  void set_result(Args&&... args) {
    Lock lock = lock_to_set("set_result");
    result_.emplace(std::forward<Args>(args)...);
    finish(std::move(lock), false);
  }
  void set_error(std::exception_ptr error) {
    Lock lock = lock_to_set("set_exception");
    result_.set_error(std::move(error));
    finish(std::move(lock), true);
  }
  [[nodiscard]] T get(Delay timeout) {
    const Lock lock = lock_when_done(timeout, "result");
    return asked().get();
  }
  [[nodiscard]] T take(Delay timeout) {
    const Lock lock = lock_when_done(timeout, "take");
    return asked().take();
  }
  [[nodiscard]] std::exception_ptr error(Delay timeout) {
    const Lock lock = lock_when_done(timeout, "exception");
    return result_.has_error() ? result_.error() : nullptr;
  }

 private:
  /// The result, or its error thrown: not as by an await, whose path would go on.
  [[nodiscard]] Result<T>& asked() {
    if (result_.has_error()) std::rethrow_exception(result_.error());
    return result_;
  }
  Result<T> result_;
};

}  // namespace detail

/// The result of work that another thread does: the counterpart of
/// concurrent.futures.Future. Give it to threads that may block; a coroutine
/// awaits `wrap_future(f)` instead, and must not call `result`.
///
///     ConcurrentFuture<int> sum = pool.submit(add, 1, 2);
///     int three = sum.result(5s);          // Blocks; TimeoutError after 5 seconds.
///
/// A handle; copies refer to the same future. One made by its constructor is
/// pending and yours to complete. Thread rule: all members from any thread; one
/// handle object, as any object, by one thread at a time. Calls on a moved-from
/// handle are a precondition violation (checked).
template <class T = void>
class ConcurrentFuture {
 public:
  using value_type = T;

  /// A pending future that nobody works on yet.
  ConcurrentFuture() : state_(std::make_shared<detail::ConcurrentState<T>>()) {}

  /// The value by copy, waiting for it at most `timeout`. Throws the stored
  /// exception; CancelledError; TimeoutError when the time is over; ValueError for
  /// a NaN; InvalidStateError when the value was taken.
  [[nodiscard]] T result(Delay timeout = Delay::infinite()) const {
    static_assert(std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>,
                  "aster: result() copies; this type cannot be copied: use take()");
    return state().get(timeout);
  }
  /// As `result`, but moves the value out: a later call is an InvalidStateError.
  [[nodiscard]] T take(Delay timeout = Delay::infinite()) { return state().take(timeout); }
  /// The stored exception, null when there is a value. Waits and throws as `result`.
  [[nodiscard]] std::exception_ptr exception(Delay timeout = Delay::infinite()) const {
    return state().error(timeout);
  }

  /// Takes the work back. False when it runs or has finished; else waiters get
  /// CancelledError, and callbacks run now, in this thread.
  bool cancel() noexcept {
    const auto keep = state_;  // A callback may end this very handle.
    return state().cancel();
  }

  /// Whether `cancel` came in time.
  [[nodiscard]] bool cancelled() const noexcept { return state().is_cancelled(); }
  /// Whether the work has begun and not ended; it cannot be cancelled then.
  [[nodiscard]] bool running() const noexcept { return state().is_running(); }
  /// Whether it has a result, an exception, or was cancelled.
  [[nodiscard]] bool done() const noexcept { return state().is_done(); }

  /// Calls `callback(future)` when it is done, in the thread that completes or
  /// cancels it, or at once in this one when it is done already; in order of
  /// registration. What a callback throws is logged and else ignored.
  template <std::invocable<ConcurrentFuture> F>
  void add_done_callback(F&& callback) {
    // Whoever completes the state holds it, so it is alive when its callbacks run.
    state().add_callback([weak = std::weak_ptr<detail::ConcurrentState<T>>(state_),
                          callback = std::forward<F>(callback)]() mutable {
      callback(ConcurrentFuture(weak.lock()));
    });
  }

  // For whoever does the work -------------------------------------------------

  /// Before the work begins: true, and it is running; false when it was cancelled
  /// and must not be done. RuntimeError in any other state.
  [[nodiscard]] bool set_running_or_notify_cancel() {
    return state().set_running_or_notify_cancel();
  }
  /// Completes it with a value; InvalidStateError when it is done already.
  template <class... Args>
    requires(std::is_void_v<T> ? sizeof...(Args) == 0 : true)
  void set_result(Args&&... args) {
    const auto keep = state_;
    state().set_result(std::forward<Args>(args)...);
  }
  /// Completes it with an exception, given as such or as `exception_ptr` (ValueError
  /// when null); InvalidStateError when it is done already.
  void set_exception(std::exception_ptr error) {
    if (error == nullptr) throw ValueError("set_exception: null exception_ptr");
    const auto keep = state_;
    state().set_error(std::move(error));
  }
  /// The same, for an exception object.
  template <class E>
    requires(!std::is_convertible_v<E, std::exception_ptr>)
  void set_exception(E&& error) {
    set_exception(std::make_exception_ptr(std::forward<E>(error)));
  }

  /// Handles are equal when they refer to the same future.
  friend bool operator==(const ConcurrentFuture& a, const ConcurrentFuture& b) noexcept {
    return a.state_ == b.state_;
  }

  /// For the library: a handle on a state.
  explicit ConcurrentFuture(std::shared_ptr<detail::ConcurrentState<T>> state) noexcept
      : state_(std::move(state)) {}
  /// For the library: the state.
  [[nodiscard]] const std::shared_ptr<detail::ConcurrentState<T>>& shared_state() const noexcept {
    return state_;
  }

 private:
  [[nodiscard]] detail::ConcurrentState<T>& state() const noexcept {
    ASTER_REQUIRE(state_ != nullptr,
                  "this ConcurrentFuture refers to nothing: it was moved from, or never assigned");
    return *state_;
  }

  std::shared_ptr<detail::ConcurrentState<T>> state_;
};

}  // namespace aster::inline v0
