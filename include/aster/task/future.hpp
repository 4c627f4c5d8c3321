// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/function.hpp>
#include <aster/base/narrow_list.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/coro/await_path.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/result.hpp>
#include <aster/task/context.hpp>
#include <aster/task/future_details.hpp>
#include <aster/task/scheduler.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

template <class T>
class Future;
template <class T>
class Task;

/// Names one done callback, for `remove_done_callback`. Zero names none.
using CallbackId = std::uint64_t;

namespace detail {

class DoneHook;

/// A link in the list of what is to be queued when a future is done: an awaiting
/// driver, or a hook.
class DoneLink : public NarrowNode {
 public:
  DoneLink() noexcept = default;
  ~DoneLink() { unlink(); }

  /// What is to be queued.
  void set_target(Runnable& target) noexcept {
    target_ = reinterpret_cast<std::uintptr_t>(&target) | (target_ & hook_tag);
  }
  /// Null before `set_target`.
  [[nodiscard]] Runnable* target() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return reinterpret_cast<Runnable*>(target_ & ~hook_tag);
  }
  [[nodiscard]] inline DoneHook* as_hook() noexcept;

 protected:
  struct Tagged {};
  explicit DoneLink(Tagged) noexcept : target_(hook_tag) {}

 private:
  friend struct Layout;
  static constexpr std::uintptr_t hook_tag = 1;
  std::uintptr_t target_ = 0;  // With the tag when it is a hook.
};

/// The link of a callback, or of whoever else has to know that its target is about to
/// be queued.
class DoneHook : public DoneLink {
 public:
  DoneHook() noexcept : DoneLink(Tagged()) {}
  CallbackId id_ = 0;
  void* owner_ = nullptr;
  void (*queued_)(DoneHook&) noexcept = nullptr;   // It is about to be queued.
  void (*discard_)(DoneHook&) noexcept = nullptr;  // It never will be: free the owner.
};

inline DoneHook* DoneLink::as_hook() noexcept {
  return (target_ & hook_tag) != 0 ? static_cast<DoneHook*>(this) : nullptr;
}

/// A copy of `text`, or an empty one when there is no memory for it.
[[nodiscard]] ASTER_API std::string copy_or_empty(const std::string& text) noexcept;
class GatherCore;

/// The shared state of futures and tasks, without the result's type. Counted
/// without locks: all handles belong to the loop's thread.
class ASTER_API FutureBase : public Report {
 public:
  enum class State : std::uint8_t { pending, cancelled, finished };
  enum class Kind : std::uint8_t { future, task };

  FutureBase(Scheduler& scheduler, Kind kind, std::source_location source)
      : scheduler_(&scheduler), kind_(kind), source_(source) {
    scheduler.add_future();
  }
  FutureBase(const FutureBase&) = delete;
  FutureBase& operator=(const FutureBase&) = delete;

  [[nodiscard]] bool is_done() const noexcept { return state_ != State::pending; }
  [[nodiscard]] bool is_cancelled() const noexcept { return state_ == State::cancelled; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  [[nodiscard]] const std::source_location& source() const noexcept { return source_; }
  [[nodiscard]] std::uint32_t reference_count() const noexcept { return references_; }

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) last_reference_gone();
  }
  /// What a copied handle says, for `StateRef`.
  void note_copied() const noexcept {
    static_cast<void>(scheduler_->refuses_thread("copying a Future or Task"));
  }

  /// See `Future::cancel`.
  virtual bool cancel(std::string&& message) noexcept;
  [[nodiscard]] bool is_task() const noexcept { return kind_ == Kind::task; }
  [[nodiscard]] inline TaskBase* as_task() noexcept;
  /// What it is made of if it is a gather's; cancelling goes to the children.
  [[nodiscard]] virtual GatherCore* as_gather() noexcept { return nullptr; }

  /// Queues `link`'s target when the future is done; it must not be yet.
  void add_link(DoneLink& link) noexcept { links_.push_back(link); }
  /// Those who wait for it, oldest first.
  [[nodiscard]] NarrowList<DoneLink>& links() noexcept { return links_; }
  /// `Future::add_done_callback`: queued now when the future is done already.
  CallbackId add_callback(Function<void()> callback, const Context* context);
  std::size_t remove_callback(CallbackId id) noexcept;

  /// The error, null when the result is a value; marks it as retrieved.
  [[nodiscard]] std::exception_ptr exception_or_throw();
  /// Throws the CancelledError of a cancelled future.
  [[noreturn]] void throw_cancelled();
  /// Throws unless a value or an error can be read.
  void require_done(const char* message);
  /// The same for a result that is asked for, not awaited; the error may be thrown here.
  void require_result();
  /// No report of an error that nobody looks at from here on.
  void mark_retrieved() noexcept { retrieved_ = true; }
  /// Keeps the text of a cancellation that is on its way.
  void keep_message(std::string&& message) noexcept;
  /// Gives it out.
  [[nodiscard]] std::string take_message() noexcept;
  /// A copy of it; empty when there is no memory, as the cancellation matters more.
  [[nodiscard]] std::string message_copy() const noexcept;

  /// For people, as `to_string` gives it.
  [[nodiscard]] std::string text() const;

  /// The exception that ended it, the CancelledError of a task included; null
  /// when there is none or (cancelled) it has been given out.
  [[nodiscard]] virtual std::exception_ptr stored_error() const noexcept = 0;

 protected:
  virtual ~FutureBase();
  /// Destroys and frees the object; it knows its size.
  virtual void destroy() noexcept = 0;
  /// `destroy` of what holds other futures: by `destroy_now`, either at once or, when
  /// that of another one has led here, after it. So long chains of them need no stack.
  void destroy_unnested() noexcept;
  virtual void destroy_now() noexcept { destroy(); }
  virtual void drop_stored_error() noexcept = 0;
  /// The state becomes final and all links are queued.
  void complete(State state, bool unretrieved_error) noexcept;
  void tell(Scheduler& scheduler) override;
  void last_reference_gone() noexcept;
  /// Null while it has none.
  [[nodiscard]] FutureDetails* details() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return details_ % 2 == 0 ? reinterpret_cast<FutureDetails*>(details_) : nullptr;
  }
  /// Made when it has none.
  [[nodiscard]] FutureDetails& own_details() noexcept;
  [[noreturn]] void throw_already_done(const char* call) const;

  friend struct Layout;
  Scheduler* scheduler_;
  std::uint32_t references_ = 1;
  State state_ = State::pending;
  const Kind kind_;
  bool retrieved_ = true;        // False while an error is stored that nobody saw.
  bool reported_ = false;        // On the loop's report list, or told.
  NarrowList<DoneLink> links_;   // In order of registration; empty once done.
  std::uintptr_t details_ = 1;   // Odd: it has none; of a task twice its number and one.
  std::source_location source_;  // Where it was made.
};

/// A future that is completed by hand, or by a helper such as `gather`.
template <class T>
class FutureState : public FutureBase {
 public:
  FutureState(Scheduler& scheduler, std::source_location source)
      : FutureBase(scheduler, Kind::future, source) {}

  template <class... Args>
  void set_result(Args&&... args) {
    scheduler().check_thread("set_result");
    if (is_done()) throw_already_done("set_result");
    result_.emplace(std::forward<Args>(args)...);
    complete(State::finished, false);
  }
  void set_error(std::exception_ptr error) {
    scheduler().check_thread("set_exception");
    if (is_done()) throw_already_done("set_exception");
    result_.set_error(std::move(error));
    complete(State::finished, true);
  }
  [[nodiscard]] std::exception_ptr stored_error() const noexcept override {
    return result_.has_error() ? result_.error() : nullptr;
  }

  Result<T> result_;

 protected:
  ~FutureState() override = default;
  void drop_stored_error() noexcept override { result_.reset(); }
  void destroy() noexcept override {
    this->~FutureState();
    release_frame(this, sizeof(FutureState));
  }
};

/// The awaiting of a future, without its type.
class ASTER_API FutureAwaiterBase : public Waiter {
 public:
  using aster_awaiter = void;
  explicit FutureAwaiterBase(StateRef<FutureBase> future) noexcept : future_(std::move(future)) {}
  ~FutureAwaiterBase() { link_.unlink(); }

  [[nodiscard]] bool await_ready() const noexcept { return future_->is_done(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) {
    wait(driver_of(handle));
  }
  [[nodiscard]] FutureBase* awaited_future() const noexcept override { return future_.get(); }

 protected:
  /// Throws RuntimeError for a task that awaits itself or another loop's future.
  void wait(Driver& driver);
  bool cancel(Driver& driver, std::string& message) noexcept override;
  void abandon(Driver& driver, std::string& message) noexcept override;
  /// To be called by await_resume before the result is read.
  void resumed() {
    auto* driver = static_cast<Driver*>(link_.target());  // Null when it did not suspend.
    if (driver != nullptr && driver->has_pending()) [[unlikely]] {
      // Of two cancellations the future's own is what the task sees (TASK-28).
      if (!future_->is_cancelled() || !driver->settle_cancel()) driver->throw_pending();
    }
    if (future_->is_cancelled()) [[unlikely]]
      future_->throw_cancelled();
    future_->mark_retrieved();
  }

  StateRef<FutureBase> future_;
  DoneLink link_;
};

/// Where a future or task of result type `T` keeps its result.
template <class T>
[[nodiscard]] Result<T>& result_of(FutureBase& future) noexcept;

template <class T, bool Consume>
class [[nodiscard]] FutureAwaiter final : public FutureAwaiterBase {
 public:
  using FutureAwaiterBase::FutureAwaiterBase;

  T await_resume() {
    resumed();
    Result<T>& result = result_of<T>(*future_);
    if constexpr (Consume) {
      // Ours is one reference; a move-only value goes to whoever asks first.
      if constexpr (!std::is_copy_constructible_v<typename Result<T>::Stored>) {
        return result.take();
      } else {
        if (future_->reference_count() == 1) return result.take();
      }
    }
    return get_copy(result);
  }

 private:
  static T get_copy(Result<T>& result) {
    if constexpr (std::is_copy_constructible_v<typename Result<T>::Stored>) {
      return result.get();
    } else {
      return result.take();  // Not reached: only consuming awaits exist for such a T.
    }
  }
};

struct FutureTag {};

/// Makes handles from states and back, for the library.
struct Access {
  template <class Handle>
  [[nodiscard]] static Handle make(StateRef<FutureBase> state) noexcept {
    return Handle(std::move(state));
  }
  template <class Handle>
  [[nodiscard]] static FutureBase& state(const Handle& handle) noexcept {
    return handle.state();
  }
  template <class Handle>
  [[nodiscard]] static StateRef<FutureBase> share(const Handle& handle) noexcept {
    return StateRef<FutureBase>::share(handle.state());
  }
};

[[noreturn]] ASTER_API void throw_task_not_settable(const char* call);

template <class F, class Handle>
constexpr void check_done_callback() noexcept {
  static_assert(!is_coroutine<std::remove_cvref_t<std::invoke_result_t<F&, Handle>>>,
                "aster: a done callback that gives a coroutine would do nothing: give it to "
                "create_task, and await the future there");
}

template <class T>
concept Copyable = std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>;

}  // namespace detail

/// A value that will be there later, or an error, or a cancellation: the
/// counterpart of asyncio.Future. A handle; copies refer to the same future.
///
///     Future<std::string> f = loop.create_future<std::string>();
///     loop.call_later(1s, [f]() mutable { f.set_result("done"); });
///     std::string text = co_await f;
///
/// Any number of tasks may await it; each gets a copy, or the same exception.
/// Completing it never runs anything inside the call: waiters and callbacks are
/// queued for the next turn, in the order of registration.
///
/// When the last handle goes and its exception was never looked at, the loop's
/// exception handler is told. Thread rule: the loop's thread only, copies and
/// destruction included, as nothing in it is locked; from others use
/// `call_soon_threadsafe` with a lambda that refers to the future. Calls on an empty (moved-from)
/// handle are a precondition violation (checked).
template <class T = void>
class Future : public detail::FutureTag {
 public:
  using value_type = T;

  /// An empty handle, as left by a move.
  Future() noexcept = default;

  /// True unless the handle is empty.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(state_); }

  /// Whether it has a result, an exception, or was cancelled.
  [[nodiscard]] bool done() const noexcept { return state().is_done(); }
  /// Whether it was cancelled.
  [[nodiscard]] bool cancelled() const noexcept { return state().is_cancelled(); }

  /// The value, by copy. Throws the stored exception; CancelledError when
  /// cancelled; InvalidStateError while pending or after the value was taken.
  [[nodiscard]] T result() const {
    static_assert(detail::Copyable<T>,
                  "aster: result() copies; this type cannot be copied: use take() or co_await "
                  "std::move(future)");
    require_result();
    return detail::result_of<T>(state()).get();
  }

  /// The value, moved out: a later `result` or await is an InvalidStateError.
  [[nodiscard]] T take() {
    require_result();
    return detail::result_of<T>(state()).take();
  }

  /// The value moved out when this is the last handle or it cannot be copied, else
  /// by copy. Throws as `result`.
  [[nodiscard]] T take_or_copy() && {
    require_result();
    auto& result = detail::result_of<T>(state());
    if constexpr (detail::Copyable<T>) {
      if (state().reference_count() > 1) return result.get();
    }
    return result.take();
  }

  /// The value in place, valid while a handle lives. Throws as `result`.
  [[nodiscard]] const auto& peek() const
    requires(!std::is_void_v<T>)
  {
    require_result();
    detail::Result<T>& result = detail::result_of<T>(state());
    result.require_value();
    if constexpr (std::is_reference_v<T>) {
      return *result.value();
    } else {
      return result.value();
    }
  }

  /// The stored exception, null when there is a value. CancelledError when
  /// cancelled, InvalidStateError while pending.
  [[nodiscard]] std::exception_ptr exception() const { return state().exception_or_throw(); }

  /// Completes it with a value; InvalidStateError when done already.
  template <class... Args>
    requires(std::is_void_v<T> == (sizeof...(Args) == 0))
  void set_result(Args&&... args) {
    settable("set_result").set_result(std::forward<Args>(args)...);
  }

  /// Completes it with an exception, given as such or as `exception_ptr` (ValueError
  /// when null); InvalidStateError when done already. A StopIteration becomes a
  /// RuntimeError: it would look like a generator's end.
  void set_exception(std::exception_ptr error) {
    if (error == nullptr) throw ValueError("set_exception: null exception_ptr");
    if (detail::is_stop_iteration(error)) [[unlikely]] {
      error = std::make_exception_ptr(RuntimeError(
          "StopIteration interacts badly with generators and cannot be raised into a Future"));
    }
    settable("set_exception").set_error(std::move(error));
  }
  /// The same, for an exception object.
  template <class E>
    requires(!std::is_convertible_v<E, std::exception_ptr>)
  void set_exception(E&& error) {
    std::exception_ptr made = std::make_exception_ptr(std::forward<E>(error));
    detail::note_made(made);
    set_exception(std::move(made));
  }

  /// Cancels it: waiters and callbacks are queued, awaits throw CancelledError.
  /// False when it is done already. A `gather` passes it on to its children.
  /// In debug mode a call from a wrong thread is logged, and does nothing.
  bool cancel(std::string message = {}) noexcept {
    return !state().scheduler().refuses_thread("Future::cancel") &&
           state().cancel(std::move(message));
  }

  /// Calls `callback(future)` once it is done, from the loop, never inline; in the
  /// order of registration, in a copy of the current context. Gives an id for
  /// `remove_done_callback`.
  template <std::invocable<Future> F>
  CallbackId add_done_callback(F&& callback) {
    detail::check_done_callback<F, Future>();
    return add_callback<Future>(std::forward<F>(callback), nullptr);
  }
  /// The same in `context`.
  template <std::invocable<Future> F>
  CallbackId add_done_callback(F&& callback, const Context& context) {
    detail::check_done_callback<F, Future>();
    return add_callback<Future>(std::forward<F>(callback), &context);
  }
  /// Takes a callback out that has not been queued yet; the number removed, 0 or 1.
  std::size_t remove_done_callback(CallbackId id) noexcept {
    return state().scheduler().refuses_thread("remove_done_callback") ? 0
                                                                      : state().remove_callback(id);
  }

  /// The loop it belongs to; RuntimeError when that is gone.
  [[nodiscard]] EventLoop& get_loop() const { return state().scheduler().loop(); }

  /// Handles are equal when they refer to the same future.
  friend bool operator==(const Future& a, const Future& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

  /// Awaiting gives a copy of the value; for a done future without suspension.
  [[nodiscard]] auto operator co_await() const& {
    static_assert(detail::Copyable<T>,
                  "aster: awaiting a named future copies its value; this type cannot be copied: "
                  "use co_await std::move(future)");
    require_handle();
    return detail::FutureAwaiter<T, false>(state_);
  }
  /// Awaiting a temporary, or `std::move(future)`, moves the value out when this
  /// is the last handle, or when it cannot be copied.
  [[nodiscard]] auto operator co_await() && {
    require_handle();
    return detail::FutureAwaiter<T, true>(std::move(state_));
  }

 protected:
  friend struct detail::Access;
  template <class Self, class F>
  CallbackId add_callback(F&& callback, const Context* context) {
    // The future is alive when its callbacks run: the queued call holds it.
    return state().add_callback(
        [raw = &state(), callback = std::forward<F>(callback)]() mutable {
          callback(detail::Access::make<Self>(detail::StateRef<detail::FutureBase>::share(*raw)));
        },
        context);
  }
  explicit Future(detail::StateRef<detail::FutureBase> state) noexcept : state_(std::move(state)) {}

  void require_handle() const noexcept {
    ASTER_REQUIRE(state_.get() != nullptr,
                  "this Future or Task refers to nothing: it was moved from, as by `co_await "
                  "std::move(f)`, or never assigned; test it with `if (f)`");
  }
  [[nodiscard]] detail::FutureBase& state() const noexcept {
    require_handle();
    return *state_;
  }
  [[nodiscard]] detail::FutureState<T>& settable(const char* call) {
    if (state().is_task()) detail::throw_task_not_settable(call);
    return static_cast<detail::FutureState<T>&>(state());
  }
  void require_result() const { state().require_result(); }

  detail::StateRef<detail::FutureBase> state_;
};

/// A future in one line for people, as Python's repr: "<Future pending>",
/// "<Task cancelling name='fetch' wait_for=<Future pending> made at crawl.cpp:12>".
/// The form may change.
template <class T>
[[nodiscard]] std::string to_string(const Future<T>& future) {
  return future ? detail::Access::state(future).text() : "<Future moved from>";
}

}  // namespace aster::inline v0
