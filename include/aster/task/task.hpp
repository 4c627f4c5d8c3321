// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/task/context.hpp>
#include <aster/task/future.hpp>
#include <aster/task/scheduler.hpp>

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

class AnyTask;

/// Options of `create_task`.
struct TaskOptions {
  /// The task's name; copied. Empty: "Task-N".
  std::string_view name = {};
  /// Runs the first step inside `create_task` when its loop is running.
  std::optional<bool> eager_start = {};
  /// The context it runs in, itself and not a copy; null: a copy of the current one.
  /// Read during the call only.
  const Context* context = nullptr;
  /// Where the task was made, for reports.
  std::source_location source = std::source_location::current();
};

namespace detail {

/// For `Task::get_stack` and `Task::print_stack`.
[[nodiscard]] ASTER_API std::vector<std::source_location> task_stack(TaskBase& task,
                                                                     std::optional<int> limit);
ASTER_API void print_task_stack(TaskBase& task, std::optional<int> limit, std::ostream* out);

/// A task without its result's type: the library's driver, and a future. The list
/// link it has from `Report` holds it in its loop's list of tasks until it ends.
class ASTER_API TaskBase : public FutureBase, public Driver {
 public:
  TaskBase(Scheduler& scheduler, const TaskOptions& options);

  /// Destroys `callable` when the task ends.
  void hold(HeldCallable& callable) noexcept;
  /// Registers the task and queues its first step, or takes it at once.
  void begin(PromiseBase& root, bool eager);

  bool cancel(std::string&& message) noexcept override;
  /// `cancel` for a pending task, up to a gather that it comes to: its children are
  /// the next to be asked. Null when it came to none. `last` is the task that awaits it,
  /// which is to `keep_cancel` if the gather refuses.
  GatherCore* pass_cancel(std::string& message, TaskBase*& last) noexcept;
  /// Its next step, or the next suspension, throws.
  void keep_cancel(std::string&& message) noexcept;
  int uncancel() noexcept;
  [[nodiscard]] int cancelling() const noexcept { return static_cast<int>(cancel_count_); }

  [[nodiscard]] Context context();
  [[nodiscard]] ContextSlot& context_slot() noexcept { return context_; }
  [[nodiscard]] std::string name() const;
  void set_name(std::string_view name);

  /// The loop closes: destroys the frames and ends the task as cancelled.
  void destroy_pending() noexcept;

 protected:
  ~TaskBase() override;
  [[nodiscard]] virtual bool result_has_error() const noexcept = 0;
  virtual void drop_result() noexcept = 0;
  /// Keeps an error where the result will be, while there is none.
  virtual void keep_error(std::exception_ptr error) noexcept = 0;
  void drop_stored_error() noexcept override { drop_result(); }

 private:
  friend struct Layout;
  static const DriverOps driver_ops;
  void step();
  [[nodiscard]] std::string describe_step() const;
  void finish();
  void complete_cancelled() noexcept;
  /// The pending task it awaits, if any.
  [[nodiscard]] TaskBase* awaited_task() const noexcept;
  /// Odd: twice its number and one. Even: the address of the string that it was given.
  [[nodiscard]] std::uintptr_t name_word() const noexcept {
    const FutureDetails* const more = details();
    return more != nullptr ? more->name : details_;
  }
  /// Null when it has a number instead.
  [[nodiscard]] std::string* given_name() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return name_word() % 2 == 0 ? reinterpret_cast<std::string*>(name_word()) : nullptr;
  }
  void destroy_callable() noexcept;
  /// A member of the circle that its chain of awaited tasks runs into; null when
  /// the chain ends.
  [[nodiscard]] TaskBase* circle_from_here() noexcept;
  void leave_loop(State state, bool unretrieved_error) noexcept;

  static constexpr std::uint8_t started = 8;  // A flag: the first step has begun.

  std::uint32_t cancel_count_ = 0;  // First: it fits into the end of the driver's.
  ContextSlot context_;
};

inline TaskBase* FutureBase::as_task() noexcept {
  return kind_ == Kind::task ? static_cast<TaskBase*>(this) : nullptr;
}

template <class T>
class TaskState final : public TaskBase {
 public:
  using TaskBase::TaskBase;
  Result<T> result_;

  [[nodiscard]] std::exception_ptr stored_error() const noexcept override {
    return result_.has_error() ? result_.error() : nullptr;
  }

 private:
  ~TaskState() override = default;
  void destroy() noexcept override {
    this->~TaskState();
    release_frame(this, sizeof(TaskState));
  }
  [[nodiscard]] bool result_has_error() const noexcept override { return result_.has_error(); }
  void drop_result() noexcept override { result_.reset(); }
  void keep_error(std::exception_ptr error) noexcept override {
    result_.set_error(std::move(error));
  }
};

template <class T>
Result<T>& result_of(FutureBase& future) noexcept {
  return future.is_task() ? static_cast<TaskState<T>&>(future).result_
                          : static_cast<FutureState<T>&>(future).result_;
}

}  // namespace detail

/// A coroutine that runs on its own, concurrently with its creator: the
/// counterpart of asyncio.Task. A handle; copies refer to the same task, and
/// dropping all of them neither cancels nor loses it.
///
///     Task<int> t = create_task(add(3, 4), {.name = "adder"});
///     int seven = co_await t;
///
/// It is a `Future` of the coroutine's result that nobody can set by hand. See
/// `cancel` for how it ends early. Thread rule: the loop's thread only.
template <class T = void>
class Task : public Future<T> {
 public:
  /// An empty handle, as left by a move.
  Task() noexcept = default;

  /// Asks the task to end: `CancelledError` is thrown at what it awaits, or on its
  /// next step. It may clean up first, or refuse. False when it is done already;
  /// every other call counts (see `cancelling`). Never throws, never allocates.
  /// In debug mode a call from a wrong thread is logged, and does nothing.
  bool cancel(std::string message = {}) noexcept {
    return !this->state().scheduler().refuses_thread("Task::cancel") &&
           this->state().cancel(std::move(message));
  }
  /// Takes one cancel request back: the number that remain. For code that handled
  /// a cancellation of its own making.
  int uncancel() noexcept { return task().uncancel(); }
  /// How many cancel requests have not been taken back.
  [[nodiscard]] int cancelling() const noexcept { return task().cancelling(); }

  /// The context it runs in: what is set there is seen by its next step.
  [[nodiscard]] Context get_context() const { return task().context(); }

  /// Its name; "Task-N" when it was given none.
  [[nodiscard]] std::string get_name() const { return task().name(); }
  /// Renames it.
  void set_name(std::string_view name) { task().set_name(name); }

  /// Where it stands: the awaits it is in, oldest (outermost) first; of a frame that is
  /// running, its last one. Of a failed task the awaits that the exception came through
  /// (see `await_path`). Empty before the first await and when it has a value or was
  /// cancelled. At most `limit`: the newest of a stack, the oldest of an exception's.
  [[nodiscard]] std::vector<std::source_location> get_stack(std::optional<int> limit = {}) const {
    return detail::task_stack(task(), limit);
  }
  /// Writes that in Python's form, to stderr.
  void print_stack(std::optional<int> limit = {}) const {
    detail::print_task_stack(task(), limit, nullptr);
  }
  /// The same to `out`.
  void print_stack(std::optional<int> limit, std::ostream& out) const {
    detail::print_task_stack(task(), limit, &out);
  }

  /// Calls `callback(task)` once it is done; see `Future::add_done_callback`.
  template <std::invocable<Task> F>
  CallbackId add_done_callback(F&& callback) {
    detail::check_done_callback<F, Task>();
    return this->template add_callback<Task>(std::forward<F>(callback), nullptr);
  }
  /// The same in `context`.
  template <std::invocable<Task> F>
  CallbackId add_done_callback(F&& callback, const Context& context) {
    detail::check_done_callback<F, Task>();
    return this->template add_callback<Task>(std::forward<F>(callback), &context);
  }

  void set_result() = delete;
  void set_exception() = delete;

 private:
  friend struct detail::Access;
  friend class AnyTask;
  explicit Task(detail::StateRef<detail::FutureBase> state) noexcept
      : Future<T>(std::move(state)) {}
  [[nodiscard]] detail::TaskBase& task() const noexcept { return *this->state().as_task(); }
};

/// A task whose result type is not known: what `current_task` and `all_tasks`
/// give. Every `Task<T>` converts to it.
class ASTER_API AnyTask {
 public:
  /// No task.
  AnyTask() noexcept = default;
  template <class T>
  // NOLINTNEXTLINE(google-explicit-constructor): every Task is one.
  AnyTask(const Task<T>& task) noexcept
      : state_(task ? detail::StateRef<detail::FutureBase>::share(task.state())
                    : detail::StateRef<detail::FutureBase>()) {}

  /// True when it refers to a task.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(state_); }

  /// As `Task::cancel`.
  bool cancel(std::string message = {}) noexcept {
    return !state().scheduler().refuses_thread("Task::cancel") &&
           state().cancel(std::move(message));
  }
  /// As `Task::uncancel`.
  int uncancel() noexcept { return state().as_task()->uncancel(); }
  /// As `Task::cancelling`.
  [[nodiscard]] int cancelling() const noexcept { return state().as_task()->cancelling(); }
  /// As `Task::get_context`.
  [[nodiscard]] Context get_context() const { return state().as_task()->context(); }
  /// As `Task::get_name`.
  [[nodiscard]] std::string get_name() const { return state().as_task()->name(); }
  /// As `Task::set_name`.
  void set_name(std::string_view name) { state().as_task()->set_name(name); }
  /// As `Task::get_stack`.
  [[nodiscard]] std::vector<std::source_location> get_stack(std::optional<int> limit = {}) const {
    return detail::task_stack(*state().as_task(), limit);
  }
  /// As `Task::print_stack`.
  void print_stack(std::optional<int> limit = {}) const {
    detail::print_task_stack(*state().as_task(), limit, nullptr);
  }
  /// The same to `out`.
  void print_stack(std::optional<int> limit, std::ostream& out) const {
    detail::print_task_stack(*state().as_task(), limit, &out);
  }
  /// As `Future::done`.
  [[nodiscard]] bool done() const noexcept { return state().is_done(); }
  /// As `Future::cancelled`.
  [[nodiscard]] bool cancelled() const noexcept { return state().is_cancelled(); }
  /// As `Future::exception`.
  [[nodiscard]] std::exception_ptr exception() const { return state().exception_or_throw(); }
  /// Where the task was made.
  [[nodiscard]] const std::source_location& source() const noexcept { return state().source(); }
  /// The loop it runs on.
  [[nodiscard]] EventLoop& get_loop() const { return state().scheduler().loop(); }

  /// Equal when both refer to the same task, or to none.
  friend bool operator==(const AnyTask& a, const AnyTask& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

 private:
  friend struct detail::Access;
  explicit AnyTask(detail::StateRef<detail::FutureBase> state) noexcept
      : state_(std::move(state)) {}
  [[nodiscard]] detail::FutureBase& state() const noexcept {
    ASTER_REQUIRE(state_.get() != nullptr,
                  "this AnyTask refers to no task: current_task() gives none outside of tasks; "
                  "test it with `if (task)`");
    return *state_;
  }
  detail::StateRef<detail::FutureBase> state_;
};

/// A task in one line for people; see `to_string` of futures.
[[nodiscard]] ASTER_API std::string to_string(const AnyTask& task);

/// The task whose step is running in this thread, or none inside a plain callback.
/// RuntimeError without a running loop.
[[nodiscard]] ASTER_API AnyTask current_task();

/// All tasks of the running loop that have not ended, oldest first. RuntimeError
/// without a running loop.
[[nodiscard]] ASTER_API std::vector<AnyTask> all_tasks();
/// The same of a given loop; its thread only.
[[nodiscard]] ASTER_API std::vector<AnyTask> all_tasks(const EventLoop& loop);

namespace detail {

template <class F, class... Args>
concept CoroutineFunction = std::invocable<F&, Args...> &&
                            is_coroutine<std::remove_cvref_t<std::invoke_result_t<F&, Args...>>>;

template <class F, class... Args>
using CoroutineValue = typename std::invoke_result_t<F&, Args...>::value_type;

template <class F, class... Args>
class HeldCall final : public HeldCallable {
 public:
  template <class G, class... Given>
  explicit HeldCall(G&& callable, Given&&... args)
      : callable_(std::forward<G>(callable)), args_(std::forward<Given>(args)...) {}
  auto operator()() {
    return std::apply([this](Args&... args) { return callable_(std::move(args)...); }, args_);
  }
  void destroy() noexcept override { destroy_in_frame(this); }

 private:
  F callable_;
  std::tuple<Args...> args_;
};

/// Makes a task for a coroutine.
template <class T>
[[nodiscard]] Task<T> spawn_with(Scheduler& scheduler, Coroutine<T>&& coroutine,
                                 HeldCallable*&& held, const TaskOptions& options) {
  // The coroutine is taken last: until then an error leaves it to its owner.
  auto* state = make_in_frame<TaskState<T>>(scheduler, options);
  StateRef<FutureBase> owner(state);
  auto& promise = coroutine.release();
  promise.deliver_to(state->result_);
  // From here on the task owns both, also when its eager first step throws.
  if (held != nullptr) state->hold(*std::exchange(held, nullptr));
  state->begin(promise, options.eager_start.value_or(false));
  return Access::make<Task<T>>(std::move(owner));
}

/// The same after asking `Scheduler::require_open` and the task factory.
template <class T>
[[nodiscard]] Task<T> spawn(Scheduler& scheduler, Coroutine<T>&& coroutine, HeldCallable*&& held,
                            const TaskOptions& options) {
  scheduler.require_open("create_task");
  if (scheduler.has_task_factory()) [[unlikely]] {
    TaskOptions changed = options;
    scheduler.apply_task_factory(changed);
    return spawn_with(scheduler, std::move(coroutine), std::move(held), changed);
  }
  return spawn_with(scheduler, std::move(coroutine), std::move(held), options);
}

template <class F, class... Args>
[[nodiscard]] auto spawn_call(Scheduler& scheduler, const TaskOptions& options, F&& callable,
                              Args&&... args) {
  using Held = HeldCall<std::decay_t<F>, std::decay_t<Args>...>;
  struct Guard {
    HeldCallable* held;
    ~Guard() {
      if (held != nullptr) held->destroy();
    }
  };
  auto* made = make_in_frame<Held>(std::forward<F>(callable), std::forward<Args>(args)...);
  Guard guard{made};
  return spawn(scheduler, (*made)(), std::move(guard.held), options);
}

}  // namespace detail

/// Makes `coroutine` a task of the running loop; its first step runs in the next
/// turn, after what is ready already. The counterpart of asyncio.create_task.
///
///     auto t = create_task(add(3, 4), {.name = "adder"});
///
/// RuntimeError without a running loop, or for a used-up coroutine.
template <class T>
Task<T> create_task(Coroutine<T> coroutine, TaskOptions options = {}) {
  return detail::spawn(detail::require_running("create_task"), std::move(coroutine), nullptr,
                       options);
}

/// Makes a task of what `callable()` returns, a `Coroutine`. The callable moves
/// into the task first and lives until the task ends, so captures stay alive.
///
///     auto t = create_task([x]() -> Coroutine<> { co_await sleep(x * 1ms); });
template <class F>
  requires(detail::CoroutineFunction<std::decay_t<F>>)
auto create_task(F&& callable, TaskOptions options = {}) {
  return detail::spawn_call(detail::require_running("create_task"), options,
                            std::forward<F>(callable));
}

/// The same with arguments, which are copied or moved into the task; options come
/// first, `{}` when there are none.
///
///     auto w = create_task({.name = "w"}, worker, 1, std::move(queue));
template <class F, class... Args>
  requires(detail::CoroutineFunction<std::decay_t<F>, std::decay_t<Args>...>)
auto create_task(TaskOptions options, F&& callable, Args&&... args) {
  return detail::spawn_call(detail::require_running("create_task"), options,
                            std::forward<F>(callable), std::forward<Args>(args)...);
}

}  // namespace aster::inline v0
