// SPDX-License-Identifier: MIT
#include <aster/task/child_watch.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/task_group.hpp>
#include <aster/task/wait_list.hpp>

#include <new>

namespace aster::inline v0 {
namespace detail {
/// The group's memory; shared with the notes of its children.
class TaskGroupState final : public ChildOwner {
 public:
  struct Child final : ListNode, ChildWatch {
    using ChildWatch::ChildWatch;
  };

  Scheduler* scheduler = nullptr;  // Null until entered.
  Driver* parent = nullptr;
  bool exiting = false;
  bool aborting = false;
  bool finished = false;
  bool parent_cancel_requested = false;
  bool cancelled_early = false;  // `cancel` before the entry.
  std::exception_ptr base_error;
  IntrusiveList<Child> children;  // Not done, or their note is still queued.
  IntrusiveList<Child> failed;    // In the order of completion; their tasks keep the errors.
  WaitList all_done;              // The group's end waits here for the last child.
  std::exception_ptr body_error;  // What `exit` was given.
  Coroutine<bool> end;            // Made on entry: leaving must not need memory.
  std::uint32_t references = 1;

  void retain() noexcept override { ++references; }
  void release() noexcept override {
    if (--references == 0) delete this;
  }

  /// Whose block it is.
  void entered_by(Scheduler& by, Driver& driver) noexcept {
    scheduler = &by;
    parent = &driver;
    set_waiter(ChildWaiter(driver));
  }
  /// The group is left, or given up: the parent may go.
  void left() noexcept {
    finished = true;
    set_waiter({});
  }

  void add(void* memory, FutureBase& task) noexcept {
    auto* child = ::new (memory) Child(*this, StateRef<FutureBase>::share(task));
    children.push_back(*child);
    child->start();
    // An eager child may have ended the group while it was being made (TG-17).
    if (aborting && !task.is_done()) task.cancel({});
  }

  void child_done(ChildWatch& watch) override {
    auto& child = static_cast<Child&>(watch);
    const std::exception_ptr error = take_error(child.child());
    child.unlink();
    if (children.empty()) all_done.wake_all();
    if (error == nullptr) {
      destroy_in_frame(&child);
      return;
    }
    failed.push_back(child);
    if (base_error == nullptr && is_base_error(error)) base_error = error;
    if (finished) {
      scheduler->call_exception_handler(
          {"a task of a TaskGroup failed after its group had ended", error, {}, {}, {}});
      return;
    }
    if (!aborting && !parent_cancel_requested) {
      abort();
      cancel_parent();
    }
  }

  /// Cancels all children.
  void abort() noexcept {
    aborting = true;
    for (Child* child = children.first(); child != nullptr; child = children.next(*child)) {
      if (!child->child().is_done()) child->child().cancel({});
    }
  }
  void cancel_parent() noexcept {
    parent_cancel_requested = true;
    parent->cancel({});
  }

  /// What the children threw, then `last` unless that is null.
  [[nodiscard]] std::vector<std::exception_ptr> all_errors(const std::exception_ptr& last) {
    std::vector<std::exception_ptr> errors;
    for (Child* child = failed.first(); child != nullptr; child = failed.next(*child)) {
      errors.push_back(child->child().stored_error());
    }
    if (last != nullptr) errors.push_back(last);
    return errors;
  }

 private:
  ~TaskGroupState() {
    for (IntrusiveList<Child>* list : {&children, &failed}) {
      while (!list->empty()) destroy_in_frame(&list->pop_front());
    }
  }

  /// The error of a child, null when it has a value or was cancelled.
  static std::exception_ptr take_error(FutureBase& task) noexcept {
    if (task.is_cancelled()) return nullptr;
    task.mark_retrieved();
    return task.stored_error();
  }
};

TaskGroupPlace::TaskGroupPlace(TaskGroupState& group)
    : group_(group), memory_(allocate_frame(sizeof(TaskGroupState::Child))) {}

TaskGroupPlace::~TaskGroupPlace() {
  if (memory_ != nullptr) release_frame(memory_, sizeof(TaskGroupState::Child));
}

void TaskGroupPlace::fill(FutureBase& task) noexcept {
  group_.add(std::exchange(memory_, nullptr), task);
}

}  // namespace detail

using detail::TaskGroupState;

TaskGroup::TaskGroup() : state_(new TaskGroupState) {}

TaskGroup::TaskGroup(TaskGroup&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {
  ASTER_ASSERT(state_ != nullptr && state_->scheduler == nullptr);
}

TaskGroup::~TaskGroup() {
  if (state_ == nullptr) return;
  state_->end.close();  // Never used when it was entered by hand and not left.
  state_->left();       // Entered by hand and never left: the parent may go as well.
  state_->release();
}

const char* TaskGroup::refusal() const noexcept {
  if (state_->scheduler == nullptr) return "TaskGroup has not been entered";
  if (state_->finished || (state_->exiting && state_->children.empty())) {
    return "TaskGroup is finished";
  }
  return state_->aborting ? "TaskGroup is shutting down" : nullptr;
}

bool TaskGroup::refuses() const noexcept { return refusal() != nullptr; }

Scheduler& TaskGroup::check() const {
  if (const char* reason = refusal()) throw RuntimeError(reason);
  return *state_->scheduler;
}

std::string to_string(const TaskGroup& group) {
  if (group.state_ == nullptr) return "<TaskGroup moved from>";
  const auto count = [](const auto& list) {
    std::size_t number = 0;
    for (auto* each = list.first(); each != nullptr; each = list.next(*each)) ++number;
    return number;
  };
  const TaskGroupState& state = *group.state_;
  std::string text = "<TaskGroup";
  if (const std::size_t tasks = count(state.children)) text += " tasks=" + std::to_string(tasks);
  if (const std::size_t errors = count(state.failed)) text += " errors=" + std::to_string(errors);
  if (state.aborting) {
    text += " cancelling";
  } else if (state.scheduler != nullptr) {
    text += " entered";
  }
  return text + ">";
}

void TaskGroup::cancel() noexcept {
  if (state_->scheduler == nullptr) {
    state_->cancelled_early = true;
    return;
  }
  if (state_->finished || state_->aborting) return;
  state_->abort();
  state_->cancel_parent();
}

namespace {

Coroutine<bool> end_group(TaskGroupState& state) {
  std::exception_ptr error = std::exchange(state.body_error, nullptr);
  std::exception_ptr cancellation;
  if (is_base_error(error) && state.base_error == nullptr) state.base_error = error;
  const bool body_cancelled = is_cancelled_error(error);
  if (body_cancelled) cancellation = error;
  if (error != nullptr && !state.aborting) state.abort();

  // A repeated cancellation interrupts the wait, but not the group's end.
  while (!state.children.empty()) {
    try {
      co_await state.all_done.park();
    } catch (const CancelledError&) {
      if (!state.aborting) {
        cancellation = std::current_exception();
        state.abort();
      }
    }
  }
  state.left();

  if (state.base_error != nullptr) {
    for (const std::exception_ptr& other : state.all_errors(nullptr)) {
      if (other == state.base_error) continue;
      state.scheduler->call_exception_handler(
          {"TaskGroup task exception was not propagated because the TaskGroup body is being "
           "closed with a BaseException",
           other,
           {},
           {},
           {}});
    }
    std::rethrow_exception(state.base_error);
  }
  const bool child_failed = !state.failed.empty();
  // Our own request must not leak out; others' must not be lost.
  if (state.parent_cancel_requested) {
    if (state.parent->uncancel() == 0) {
      cancellation = nullptr;
    } else if (cancellation == nullptr && !child_failed) {
      cancellation = std::make_exception_ptr(CancelledError());
    }
  }
  if (cancellation != nullptr && !child_failed) std::rethrow_exception(cancellation);
  if (body_cancelled) error = nullptr;
  if (!child_failed && detail::is_generator_exit(error)) std::rethrow_exception(error);
  if (child_failed || error != nullptr) {
    if (state.parent->cancelling() > 0) {
      // Somebody outside wants the task to end: the next await says so, the count
      // stays (TG-12).
      state.parent->uncancel();
      state.parent->cancel({});
    }
    throw ExceptionGroup("unhandled errors in a TaskGroup", state.all_errors(error));
  }
  co_return true;
}

}  // namespace

Coroutine<TaskGroup&> TaskGroup::enter() {
  TaskGroupState& state = *state_;
  if (state.scheduler != nullptr) throw RuntimeError("TaskGroup has already been entered");
  Scheduler& scheduler = detail::require_running("TaskGroup");
  if (scheduler.current() == nullptr) {
    throw RuntimeError("TaskGroup cannot determine the parent task");
  }
  state.end = end_group(state);
  state.entered_by(scheduler, *scheduler.current());
  if (state.cancelled_early) cancel();
  co_return *this;
}

Coroutine<bool> TaskGroup::exit(std::exception_ptr error) {
  TaskGroupState& state = *state_;
  if (state.scheduler == nullptr) throw RuntimeError("TaskGroup has not been entered");
  state.exiting = true;
  state.body_error = std::move(error);
  return std::move(state.end);
}

}  // namespace aster::inline v0
