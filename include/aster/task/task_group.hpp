// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/task.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

class TaskGroupState;

/// A child's place in a group. Made before the child's task, as nothing may fail
/// once that can run.
class ASTER_API TaskGroupPlace {
 public:
  explicit TaskGroupPlace(TaskGroupState& group);
  TaskGroupPlace(const TaskGroupPlace&) = delete;
  TaskGroupPlace& operator=(const TaskGroupPlace&) = delete;
  ~TaskGroupPlace();

  template <class T>
  [[nodiscard]] Task<T> take(Task<T> task) noexcept {
    fill(Access::state(task));
    return task;
  }

 private:
  void fill(FutureBase& task) noexcept;

  TaskGroupState& group_;
  void* memory_;  // Null once filled.
};

}  // namespace detail

/// Tasks that end together: the counterpart of asyncio.TaskGroup. Used with `with`:
///
///     co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
///       group.create_task(add(1, 2));
///       group.create_task([&]() -> Coroutine<> { co_await other(); });
///       co_return;
///     });
///
/// The block is left when all children have ended. When one fails, the others and
/// the body are cancelled, and all errors leave the block in one `ExceptionGroup`
/// "unhandled errors in a TaskGroup", in the order of completion, the body's last.
/// A cancelled child is no error. A cancellation from outside reaches all children
/// and then the caller. A base error is thrown bare.
///
/// Moves until it is entered, then never (checked). Thread rule: the loop's thread.
class ASTER_API TaskGroup {
 public:
  /// A group that has not been entered.
  TaskGroup();
  TaskGroup(TaskGroup&&) noexcept;
  TaskGroup& operator=(TaskGroup&&) = delete;
  ~TaskGroup();

  /// A task of the group; options as for `aster::create_task`. RuntimeError before
  /// the entry, after the end, or while the group is shutting down: the coroutine
  /// is then destroyed without running.
  template <class T>
  Task<T> create_task(Coroutine<T> coroutine, TaskOptions options = {}) {
    if (refuses()) coroutine.close();  // Refused, not forgotten: no report.
    Scheduler& scheduler = check();
    detail::TaskGroupPlace place(*state_);
    return place.take(detail::spawn(scheduler, std::move(coroutine), nullptr, options));
  }
  /// The same with a callable, which lives until its task ends.
  template <class F>
    requires(detail::CoroutineFunction<std::decay_t<F>>)
  auto create_task(F&& callable, TaskOptions options = {}) {
    Scheduler& scheduler = check();
    detail::TaskGroupPlace place(*state_);
    return place.take(detail::spawn_call(scheduler, options, std::forward<F>(callable)));
  }
  /// The same with a callable and its arguments.
  template <class F, class... Args>
    requires(detail::CoroutineFunction<std::decay_t<F>, std::decay_t<Args>...>)
  auto create_task(TaskOptions options, F&& callable, Args&&... args) {
    Scheduler& scheduler = check();
    detail::TaskGroupPlace place(*state_);
    return place.take(detail::spawn_call(scheduler, options, std::forward<F>(callable),
                                         std::forward<Args>(args)...));
  }

  /// Ends the group early: children and body are cancelled and the block is left
  /// normally, unless something failed. Before the entry it takes effect there;
  /// after the end it does nothing. Never throws.
  void cancel() noexcept;

  /// For `with`. RuntimeError on a second entry and outside a task.
  Coroutine<TaskGroup&> enter();
  /// For `with`: waits for all children; true when the body's error is swallowed.
  Coroutine<bool> exit(std::exception_ptr error);

 private:
  friend ASTER_API std::string to_string(const TaskGroup& group);
  Scheduler& check() const;
  [[nodiscard]] bool refuses() const noexcept;
  [[nodiscard]] const char* refusal() const noexcept;

  detail::TaskGroupState* state_;  // Counted: notes of children may outlive the group.
};

/// A group in one line for people: "<TaskGroup tasks=2 errors=1 cancelling>". The form
/// may change.
[[nodiscard]] ASTER_API std::string to_string(const TaskGroup& group);

}  // namespace aster::inline v0
