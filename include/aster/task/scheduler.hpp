// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/forks.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/time.hpp>
#include <aster/coro/driver.hpp>
#include <aster/task/context_slot.hpp>
#include <aster/task/future_details.hpp>
#include <aster/task/inbox.hpp>
#include <aster/task/timer_queue.hpp>

#include <cstdint>
#include <exception>
#include <memory>
#include <utility>

namespace aster::inline v0 {

class EventLoop;
struct ExceptionContext;
struct TaskOptions;

namespace detail {

/// Has forks counted from now on, in `fork_count`.
ASTER_API void count_forks();

class FutureBase;
class TaskBase;
struct Layout;

/// What a failed future leaves for the loop to report on its next turn.
class Report : public ListNode {
 public:
  /// Tells the loop's exception handler; called once.
  virtual void tell(Scheduler& scheduler) = 0;
  /// The loop closes: gives up the reference that `Scheduler::keep` stands for.
  virtual void loop_closed() noexcept {}

 protected:
  ~Report() = default;
};

}  // namespace detail

/// "Run this later": the part of a loop that tasks, futures and primitives see.
///
/// It is counted apart from the loop and outlives it while futures refer to it:
/// a handle kept after the loop is gone gets "Event loop is closed", not freed
/// memory. Thread rule: the loop's thread, but `inbox()`.
class ASTER_API Scheduler {
 public:
  /// Made by the loop.
  explicit Scheduler(EventLoop& loop) noexcept;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// Queues `node` behind all that is ready; it runs in the next turn.
  void post(detail::Runnable& node) noexcept { ready_.push(node); }

  /// Where a driver that this loop's turns step queues its steps.
  [[nodiscard]] detail::ReadyQueue& ready_queue() noexcept { return ready_; }

  /// Runs `timer` when the clock reaches `when`, never earlier; `TimePoint::max()`
  /// is never. Throws RuntimeError when the loop is closed.
  void call_at(detail::Timer& timer, TimePoint when);
  /// Takes `timer` out; nothing when it is not scheduled.
  void cancel_timer(detail::Timer& timer) noexcept { timers_.remove(timer); }
  /// Takes out a node that may be queued or scheduled; slow when it is queued.
  void withdraw(detail::Timer& timer) noexcept {
    if (timer.is_scheduled()) {
      timers_.remove(timer);
    } else {
      ready_.remove(timer);
      batch_.remove(timer);
    }
  }

  /// Takes out a node that was posted, from whichever thread; slow.
  void withdraw_posted(detail::Runnable& node) noexcept {
    inbox_->drain(ready_);
    ready_.remove(node);
    batch_.remove(node);
  }

  /// The loop's clock.
  [[nodiscard]] TimePoint now() noexcept;

  /// The loop; throws RuntimeError "Event loop is closed" when it is gone.
  [[nodiscard]] EventLoop& loop() const;
  /// Whether the loop is closed.
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  /// Whether the loop is in debug mode.
  [[nodiscard]] bool is_debug() const noexcept { return debug_; }

  /// Throws RuntimeError when the loop is closed or was made before a fork; in
  /// debug mode also when this is not the loop's thread.
  void require_open(const char* call) const {
    if (open_ != detail::fork_count.load(std::memory_order_relaxed)) [[unlikely]] {
      check_open(call);
    }
  }

  /// In debug mode, throws RuntimeError when this is not the loop's thread. For calls
  /// that make sense on a closed loop too.
  void check_thread(const char* call) const {
    if (debug_ && !closed_) [[unlikely]]
      check_open(call);
  }

  /// The same for calls that may not throw: true, and an error in the log, when this
  /// is not the loop's thread. The call is then to do nothing.
  [[nodiscard]] bool refuses_thread(const char* call) const noexcept {
    return debug_ && !closed_ && tell_wrong_thread(call);
  }

  /// Posts from any thread; see `Inbox`.
  [[nodiscard]] const std::shared_ptr<detail::Inbox>& inbox() const noexcept { return inbox_; }

  /// Whether `apply_task_factory` has anything to do.
  [[nodiscard]] bool has_task_factory() const noexcept { return has_task_factory_; }
  /// Lets the loop's task factory change `options`.
  void apply_task_factory(TaskOptions& options);

  /// True when nothing is ready, from this thread or another.
  [[nodiscard]] bool is_idle() const noexcept { return ready_.empty() && !inbox_->maybe_full(); }

  /// The context that what is made now inherits.
  [[nodiscard]] const detail::ContextSlot& current_context() const noexcept {
    if (context_cell_ == nullptr) return detail::current_context();
    const detail::ContextSlot* const slot = *context_cell_;
    return slot != nullptr ? *slot : detail::current_context();
  }
  /// Where this thread, which runs the loop, keeps what context is current.
  [[nodiscard]] detail::ContextSlot*& context_cell() const noexcept {
    return context_cell_ != nullptr ? *context_cell_ : detail::context_cell();
  }

  /// The driver whose step is running; null inside plain callbacks.
  [[nodiscard]] detail::Driver* current() const noexcept { return current_; }

  /// Tells the loop's exception handler, or the log when the loop is gone. What a
  /// handler throws is handled by the loop; base errors come through.
  void call_exception_handler(const ExceptionContext& context);

  /// Hands an error nobody retrieved to the exception handler on the next turn.
  void report(detail::Report& report) noexcept { reports_.push_back(report); }

  /// For a future that holds itself while another is pending: unlinked by itself
  /// when that ends, told by `loop_closed` when the loop closes before.
  void keep(detail::Report& future) noexcept { kept_.push_back(future); }

  /// The tasks that have not ended, oldest first.
  [[nodiscard]] detail::IntrusiveList<detail::TaskBase>& tasks() noexcept { return tasks_; }

  /// Counts one more future, a holder that can have details. Throws `std::bad_alloc`.
  void add_future() { details_.add_future(); }
  /// The counterpart of `add_future`.
  void remove_future() noexcept {
    if (details_.remove_future() == 0 && references_ == 0) delete this;
  }
  /// The details of its futures.
  [[nodiscard]] detail::DetailsReserve& details() noexcept { return details_; }

  /// Counts one more holder.
  void add_reference() noexcept { ++references_; }
  /// Counts one holder less; the last one frees it.
  void release_reference() noexcept {
    if (--references_ == 0 && details_.future_count() == 0) delete this;
  }

 private:
  friend class EventLoop;
  friend class detail::TaskBase;
  friend struct detail::Layout;
  ~Scheduler();
  void check_open(const char* call) const;
  [[nodiscard]] bool is_wrong_thread() const noexcept;
  [[nodiscard]] bool tell_wrong_thread(const char* call) const noexcept;

  detail::ReadyQueue ready_;
  detail::ReadyQueue batch_;  // What is left to run of the present turn; empty between turns.
  detail::TimerQueue timers_;
  detail::Driver* current_ = nullptr;
  detail::ContextSlot** context_cell_ = nullptr;  // Of the thread it runs in; else null.
  EventLoop* loop_;                               // Null once the loop is destroyed.
  // The fork count of the loop's making; 0 when closed or in debug mode, so that one
  // comparison tells whether the slow check is due.
  std::uint32_t open_ = 0;
  bool closed_ = false;
  bool debug_ = false;
  bool has_task_factory_ = false;
  std::uint32_t references_ = 1;                   // The loop's own, and those of handles.
  detail::IntrusiveList<detail::TaskBase> tasks_;  // All that have not ended; one reference each.
  detail::IntrusiveList<detail::Report> reports_;
  detail::IntrusiveList<detail::Report> kept_;
  detail::DetailsReserve details_;
  // In the list of all, for introspection.
  Scheduler* next_scheduler_ = nullptr;
  Scheduler* previous_scheduler_ = nullptr;
  TimePoint last_now_{};  // What the clock said last: timers before it are due.
  std::shared_ptr<detail::Inbox> inbox_;

 public:
  /// For drivers of other kinds: makes `driver` the current one while it lives.
  class Enter {
   public:
    /// `driver` is current from here on.
    Enter(Scheduler& scheduler, detail::Driver& driver) noexcept
        : scheduler_(scheduler), previous_(std::exchange(scheduler.current_, &driver)) {}
    Enter(const Enter&) = delete;
    Enter& operator=(const Enter&) = delete;
    ~Enter() { scheduler_.current_ = previous_; }

   private:
    Scheduler& scheduler_;
    detail::Driver* previous_;
  };
};

namespace detail {

/// Of this thread; for `running_scheduler`.
ASTER_THREAD_POINTER ASTER_API extern constinit thread_local Scheduler* this_threads_scheduler;

/// The scheduler of the loop that runs in this thread; null when none does.
[[nodiscard]] inline Scheduler*& running_scheduler() noexcept { return this_threads_scheduler; }

[[noreturn]] ASTER_API void throw_no_running_loop(const char* call);

/// The running loop's scheduler; RuntimeError "no running event loop" with the
/// call's name when there is none.
[[nodiscard]] inline Scheduler& require_running(const char* call) {
  if (running_scheduler() == nullptr) [[unlikely]]
    throw_no_running_loop(call);
  return *running_scheduler();
}

}  // namespace detail
}  // namespace aster::inline v0
