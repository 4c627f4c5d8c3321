// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ready_queue.hpp>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>
#include <utility>

/// What steps a coroutine: the narrow interface between coroutines and tasks.
///
/// A coroutine chain (one frame awaiting the next) runs under one `Driver`. The
/// library's own is `Task`; another runtime's task, or a test that cranks a
/// coroutine by hand, can be one too. Everything that suspends (futures, timers,
/// primitives) talks to the driver and never to the task type.
///
/// How a call runs: awaiting a coroutine makes it the driver's innermost frame and,
/// while little native stack is in use, runs it at once, inside the awaiting frame. When
/// it ends so, the awaiting frame goes on; when it waits, all frames of the step return
/// to the driver. Beyond `native_call_depth`, and after every wait, control returns to the
/// driver's step between frames, which resumes whichever is innermost (the "trampoline"):
/// depth and number of ready awaits use a bounded native stack. Something that waits
/// records itself as the driver's `Waiter`, says `suspend`, and later `wake`s the driver,
/// which queues it for a step.
namespace aster::inline v0 {

class Scheduler;

namespace detail {

class Driver;
class PromiseBase;
class FutureBase;
class TaskBase;

/// The one thing a suspended driver waits for; lives in the awaiting frame.
class ASTER_API Waiter {
 public:
  Waiter() noexcept = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  /// Asks what is waited for to end early. True: the request was taken, the
  /// driver will be woken, and the await will throw; `message` may have been
  /// moved from. False: the wake-up is on its way already (or there is nothing
  /// to cancel) and the driver must deliver the cancellation itself.
  virtual bool cancel(Driver& driver, std::string& message) noexcept = 0;

  /// The future waited for, if that is what it is; cancelling goes there.
  [[nodiscard]] virtual FutureBase* awaited_future() const noexcept { return nullptr; }

  /// Ends the wait for `awaited_future()`, pending, without asking that to end:
  /// wakes the driver cancelled. For tasks that await each other in a circle.
  virtual void abandon(Driver&, std::string&) noexcept {}

 protected:
  ~Waiter() = default;
};

/// The function table of a kind of driver. `run` is called by the turn of a loop that
/// the driver was queued with, by `wake` or by a future that is done: it takes the next
/// step, or tells whoever will.
struct DriverOps : RunnableOps {
  /// `Task::cancel` and its kin; see there. Never throw, never allocate.
  bool (*cancel)(Driver&, std::string&& message) noexcept;
  int (*uncancel)(Driver&) noexcept;
  int (*cancelling)(const Driver&) noexcept;
  /// Keeps the text of a cancellation until it is delivered.
  void (*keep_message)(Driver&, std::string&& message) noexcept;
  std::string (*take_message)(Driver&) noexcept;
  /// Keeps an error until it is thrown at the await; null when there is none.
  void (*keep_error)(Driver&, std::exception_ptr error) noexcept;
  std::exception_ptr (*take_error)(Driver&) noexcept;
  /// The loop it runs on.
  Scheduler& (*scheduler)(Driver&) noexcept;
  /// The task, where the driver is one; else null.
  TaskBase* (*task)(Driver&) noexcept;
  /// `Driver::wake` from any thread.
  void (*wake_threadsafe)(Driver&) noexcept;
  /// Hands a value up to whoever steps the driver (generators); may be null.
  void (*yielded)(Driver&, void* value) noexcept;
};

/// One line of control: a chain of suspended frames and what it waits for.
class ASTER_API Driver : public Runnable {
 public:
  Driver(const DriverOps& ops, ReadyQueue& queue) noexcept : Runnable(&ops), queue_(&queue) {}

  // For awaiters -------------------------------------------------------------

  /// From `await_suspend`: the innermost frame now waits for `waiter`.
  void suspend(Waiter& waiter) noexcept {
    waiter_ = &waiter;
    phase_ = Phase::suspended;
  }
  /// From `await_suspend`: waits for nothing that could be cancelled; a step is
  /// queued already (a bare yield).
  void suspend() noexcept { phase_ = Phase::suspended; }
  /// From `await_suspend` that finds it need not suspend after all.
  void unsuspend() noexcept {
    waiter_ = nullptr;
    phase_ = Phase::running;
  }

  /// Queues the next step; once for each `suspend`.
  void wake() noexcept { queue_->push(*this); }

  /// `wake` from any thread.
  void wake_threadsafe() noexcept { ops().wake_threadsafe(*this); }

  /// Wakes the driver so that its await throws `CancelledError`; what a waiter's
  /// `cancel` does after it has detached itself. Not undone by `uncancel`.
  void wake_cancelled(std::string& message) noexcept {
    keep_message(std::move(message));
    flags_ |= cancel_delivered;
    wake();
  }

  /// Wakes the driver so that its await throws `error`.
  void wake_with(std::exception_ptr error) noexcept {
    ops().keep_error(*this, std::move(error));
    flags_ |= throw_requested;
    wake();
  }

  /// True when the await must throw instead of giving its result: undo what was
  /// granted (pass it on), then call `throw_pending`.
  [[nodiscard]] bool has_pending() const noexcept { return (flags_ & pending_mask) != 0; }

  /// First thing in `await_resume` of what suspended and has nothing to undo.
  void check() {
    if (has_pending()) [[unlikely]]
      throw_pending();
  }
  [[noreturn]] void throw_pending();

  /// For an await that throws a CancelledError of its own accord: what was asked
  /// for has happened, so the next one does not throw again. False when something
  /// else must be thrown, by `throw_pending`.
  [[nodiscard]] bool settle_cancel() noexcept {
    if ((flags_ & throw_requested) != 0) return false;
    flags_ &= static_cast<std::uint8_t>(~pending_mask);
    return true;
  }

  // For managers (timeout, TaskGroup) ------------------------------------------

  bool cancel(std::string&& message) noexcept { return ops().cancel(*this, std::move(message)); }
  int uncancel() noexcept { return ops().uncancel(*this); }
  [[nodiscard]] int cancelling() const noexcept { return ops().cancelling(*this); }
  [[nodiscard]] Scheduler& scheduler() noexcept { return ops().scheduler(*this); }
  [[nodiscard]] TaskBase* task() noexcept { return ops().task(*this); }
  void yielded(void* value) noexcept { ops().yielded(*this, value); }

  // For whoever steps it ---------------------------------------------------------

  enum class Phase : std::uint8_t { suspended, running, ended };

  /// Makes `root` the frame that the first step starts.
  void start(PromiseBase& root) noexcept { leaf_ = &root; }

  /// Runs the chain until it waits or ends; true when it has ended. What the
  /// root returned or threw is in the result it was given.
  inline bool resume();

  /// Destroys every frame, innermost first, without recursion. Destructors of
  /// the frames' locals run.
  void destroy_frames() noexcept;

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  /// What the innermost frame waits for; null when it runs, was never started,
  /// or has been given a step by `suspend()`.
  [[nodiscard]] Waiter* waiter() const noexcept { return waiter_; }
  /// The innermost frame; null when there are none.
  [[nodiscard]] PromiseBase* innermost() const noexcept { return leaf_; }

 protected:
  ~Driver() = default;

  static constexpr std::uint8_t must_cancel = 1;       // The next step throws; `uncancel` may
                                                       // take it back.
  static constexpr std::uint8_t cancel_delivered = 2;  // The waiter took it; the step throws.
  static constexpr std::uint8_t throw_requested = 4;   // The step throws `take_error`.
  static constexpr std::uint8_t pending_mask = must_cancel | cancel_delivered | throw_requested;

  void keep_message(std::string&& message) noexcept {
    ops().keep_message(*this, std::move(message));
  }
  [[nodiscard]] const DriverOps& ops() const noexcept {
    return *static_cast<const DriverOps*>(ops_);
  }

  ReadyQueue* queue_;
  PromiseBase* leaf_ = nullptr;
  Waiter* waiter_ = nullptr;
  Phase phase_ = Phase::suspended;
  std::uint8_t flags_ = 0;

 private:
  friend struct Layout;
  friend class PromiseBase;
  friend struct FinalAwaiter;
  friend class CallLink;
};

/// How many bytes of native stack a step may use for frames that run inside one another.
inline constexpr std::uintptr_t native_call_depth = 32768;

/// Where the native stack of this thread's innermost step begins.
ASTER_THREAD_POINTER ASTER_API extern constinit thread_local std::uintptr_t step_stack;

/// The link from an awaiting frame to the frame it awaits; lives in the former
/// and is found from the latter, so that a suspended chain can be taken down from
/// its innermost end.
class CallLink {
 public:
  CallLink() noexcept = default;
  CallLink(const CallLink&) = delete;
  CallLink& operator=(const CallLink&) = delete;

 protected:
  ~CallLink() = default;

  /// Makes `child` the driver's innermost frame, called from `parent`.
  inline void call(PromiseBase& parent, PromiseBase& child) noexcept;
  /// The same, and runs it if there is native stack left; true when it has ended.
  [[nodiscard]] inline bool run(PromiseBase& parent, PromiseBase& child) noexcept;

  PromiseBase* parent_ = nullptr;
  PromiseBase* child_ = nullptr;  // Owned; null before the call and after the return.

 private:
  friend struct Layout;
  friend class Driver;
  friend class PromiseBase;
  friend struct FinalAwaiter;
};

/// At the end of every coroutine: control goes to the awaiting frame, or the
/// driver has ended.
struct FinalAwaiter {
  using aster_awaiter = void;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> self) const noexcept;
  void await_resume() const noexcept {}
};

}  // namespace detail
}  // namespace aster::inline v0
