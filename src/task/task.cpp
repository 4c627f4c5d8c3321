// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"
#include "task/number.hpp"

#include <aster/base/function_name.hpp>
#include <aster/base/log.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/task.hpp>

#include <cstdint>

namespace aster::inline v0 {
namespace detail {
namespace {

TaskBase& task_of(Runnable& node) noexcept {
  return static_cast<TaskBase&>(static_cast<Driver&>(node));
}
TaskBase& task_of(Driver& driver) noexcept { return static_cast<TaskBase&>(driver); }
const TaskBase& task_of(const Driver& driver) noexcept {
  return static_cast<const TaskBase&>(driver);
}

}  // namespace

const DriverOps TaskBase::driver_ops{
    {[](Runnable& self) { task_of(self).step(); },
     // Queued tasks are taken down with all others when the loop closes.
     [](Runnable&) noexcept {},
     [](const Runnable& self) {
       return static_cast<const TaskBase&>(static_cast<const Driver&>(self)).describe_step();
     }},
    [](Driver& self, std::string&& message) noexcept {
      return task_of(self).cancel(std::move(message));
    },
    [](Driver& self) noexcept { return task_of(self).uncancel(); },
    [](const Driver& self) noexcept { return task_of(self).cancelling(); },
    [](Driver& self, std::string&& message) noexcept {
      static_cast<FutureBase&>(task_of(self)).keep_message(std::move(message));
    },
    [](Driver& self) noexcept { return task_of(self).take_message(); },
    [](Driver& self, std::exception_ptr error) noexcept {
      task_of(self).keep_error(std::move(error));
    },
    [](Driver& self) noexcept {
      std::exception_ptr error = task_of(self).stored_error();
      task_of(self).drop_result();
      return error;
    },
    [](Driver& self) noexcept -> Scheduler& { return task_of(self).FutureBase::scheduler(); },
    [](Driver& self) noexcept { return &task_of(self); },
    [](Driver& self) noexcept {
      Scheduler& scheduler = task_of(self).FutureBase::scheduler();
      if (running_scheduler() == &scheduler) {
        self.wake();
      } else {
        // A closed loop has taken the task down already.
        static_cast<void>(scheduler.inbox()->push(self));
      }
    },
    nullptr};

TaskBase::TaskBase(Scheduler& scheduler, const TaskOptions& options)
    : FutureBase(scheduler, Kind::task, options.source),
      Driver(driver_ops, scheduler.ready_),
      context_(options.context != nullptr ? options.context->slot()
                                          : ContextSlot(scheduler.current_context())) {
  details_ = 2 * static_cast<std::uintptr_t>(next_number<TaskBase>()) + 1;
  if (!options.name.empty()) set_name(options.name);
}

TaskBase::~TaskBase() {
  if (details() != nullptr) [[unlikely]]
    delete given_name();
}

void TaskBase::hold(HeldCallable& callable) noexcept { own_details().held = &callable; }

void TaskBase::begin(PromiseBase& root, bool eager) {
  Scheduler& scheduler = FutureBase::scheduler();
  root.drive_by(*this);
  FutureBase::add_reference();
  scheduler.tasks_.push_back(*this);
  if (eager && running_scheduler() == &scheduler) {
    step();
  } else {
    wake();
  }
}

void TaskBase::step() {
  Scheduler& scheduler = FutureBase::scheduler();
  if ((flags_ & started) == 0) {
    flags_ |= started;
    if ((flags_ & must_cancel) != 0) {  // The body never runs (TASK-21).
      flags_ = 0;
      destroy_frames();
      complete_cancelled();
      return;
    }
  }
  Scheduler::Enter enter(scheduler, *this);
  bool ended;
  {
    const ContextEntry context(scheduler.context_cell(), context_);
    ended = resume();
  }
  if (ended) {
    finish();
  } else if ((flags_ & must_cancel) != 0 && waiter_ != nullptr) [[unlikely]] {
    // It cancelled itself before it suspended (TASK-22).
    std::string message = take_message();
    if (waiter_->cancel(*this, message)) {
      flags_ &= static_cast<std::uint8_t>(~must_cancel);
    } else {
      FutureBase::keep_message(std::move(message));
    }
  }
}

std::string TaskBase::describe_step() const {
  const PromiseBase* frame = innermost();
  if (frame == nullptr) return text();
  const std::source_location& site = frame->await_site();
  return text() + ((flags_ & started) != 0 ? " (resumed in " : " (started in ") +
         short_function_name(site) + " at " + short_place(site) + ")";
}

void TaskBase::destroy_callable() noexcept {
  FutureDetails* const more = details();
  if (more != nullptr && more->held != nullptr) std::exchange(more->held, nullptr)->destroy();
}

void TaskBase::complete_cancelled() noexcept {
  destroy_callable();
  leave_loop(State::cancelled, false);
}

void TaskBase::finish() {
  destroy_frames();
  destroy_callable();
  if (result_has_error()) {
    std::exception_ptr error = stored_error();
    if (is_cancelled_error(error)) {
      leave_loop(State::cancelled, false);
    } else if (is_base_error(error)) {
      // Whoever drives the loop sees it now; that counts as retrieved (ACC-12).
      leave_loop(State::finished, false);
      std::rethrow_exception(std::move(error));
    } else {
      leave_loop(State::finished, true);
    }
  } else if ((flags_ & must_cancel) != 0) {  // Cancelled itself, then returned (TASK-23).
    drop_result();
    leave_loop(State::cancelled, false);
  } else {
    leave_loop(State::finished, false);
  }
}

void TaskBase::leave_loop(State state, bool unretrieved_error) noexcept {
  flags_ = 0;
  ListNode::unlink();
  complete(state, unretrieved_error);
  FutureBase::release_reference();  // The loop's; the object may be gone after this.
}

void TaskBase::destroy_pending() noexcept {
  destroy_frames();
  drop_result();
  complete_cancelled();
}

TaskBase* TaskBase::awaited_task() const noexcept {
  if (waiter_ == nullptr || (flags_ & cancel_delivered) != 0) return nullptr;
  FutureBase* future = waiter_->awaited_future();
  TaskBase* task = future != nullptr ? future->as_task() : nullptr;
  return task != nullptr && !task->is_done() ? task : nullptr;
}

TaskBase* TaskBase::circle_from_here() noexcept {
  // Brent: a mark that jumps ahead in ever longer strides is met again.
  TaskBase* mark = this;
  std::uint32_t stride = 1;
  std::uint32_t steps = 0;
  for (TaskBase* task = awaited_task(); task != nullptr; task = task->awaited_task()) {
    if (task == mark) return mark;
    if (++steps == stride) {
      mark = task;
      stride *= 2;
      steps = 0;
    }
  }
  return nullptr;
}

bool TaskBase::cancel(std::string&& message) noexcept {
  if (is_done()) return false;
  TaskBase* last = nullptr;
  GatherCore* gather = pass_cancel(message, last);
  if (gather != nullptr && !gather->cancel_children(message)) {
    last->keep_cancel(std::move(message));
  }
  return true;
}

GatherCore* TaskBase::pass_cancel(std::string& message, TaskBase*& last) noexcept {
  // Down the chain of tasks that await each other, without recursion. A circle ends
  // where its first member stops waiting.
  TaskBase* const circle = circle_from_here();
  TaskBase* task = this;
  for (;;) {
    task->retrieved_ = true;
    ++task->cancel_count_;
    if (task == circle) {
      task->waiter_->abandon(*task, message);
      return nullptr;
    }
    if (TaskBase* next = task->awaited_task()) {
      task = next;
      continue;
    }
    if ((task->flags_ & cancel_delivered) != 0) return nullptr;  // Its next step throws.
    if (task->waiter_ != nullptr) {
      FutureBase* future = task->waiter_->awaited_future();
      if (future != nullptr && !future->is_done()) {
        last = task;
        if (GatherCore* gather = future->as_gather()) return gather;
      }
      if (task->waiter_->cancel(*task, message)) return nullptr;
    }
    task->keep_cancel(std::move(message));
    return nullptr;
  }
}

void TaskBase::keep_cancel(std::string&& message) noexcept {
  flags_ |= must_cancel;
  FutureBase::keep_message(std::move(message));
}

int TaskBase::uncancel() noexcept {
  if (cancel_count_ > 0 && --cancel_count_ == 0) {
    flags_ &= static_cast<std::uint8_t>(~must_cancel);
  }
  return static_cast<int>(cancel_count_);
}

Context TaskBase::context() { return Context(context_); }

std::string TaskBase::name() const {
  const std::string* given = given_name();
  return given != nullptr ? *given : "Task-" + std::to_string(name_word() / 2);
}

void TaskBase::set_name(std::string_view name) {
  auto* replacement = new std::string(name);
  delete given_name();
  own_details().name = reinterpret_cast<std::uintptr_t>(replacement);
}

}  // namespace detail

std::string to_string(const AnyTask& task) {
  return task ? detail::Access::share(task)->text() : "<no task>";
}

AnyTask current_task() {
  Scheduler& scheduler = detail::require_running("current_task");
  detail::Driver* driver = scheduler.current();
  detail::TaskBase* task = driver != nullptr ? driver->task() : nullptr;
  if (task == nullptr) return {};
  return detail::Access::make<AnyTask>(detail::StateRef<detail::FutureBase>::share(*task));
}

}  // namespace aster::inline v0
