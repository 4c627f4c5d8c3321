// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"
#include "task/number.hpp"

#include <aster/base/log.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>

#include <new>

namespace aster::inline v0::detail {
namespace {

/// One `add_done_callback`: linked to the future while that is pending, then
/// queued; holds the future while queued.
class Callback final : public Runnable {
 public:
  Callback(FutureBase& future, CallbackId id, ContextSlot&& context, Function<void()>&& function)
      : Runnable(&ops),
        future_(&future),
        context_(std::move(context)),
        function_(std::move(function)) {
    link.set_target(*this);
    link.id_ = id;
    link.owner_ = this;
    link.queued_ = [](DoneHook& self) noexcept { static_cast<Callback*>(self.owner_)->hold(); };
    link.discard_ = [](DoneHook& self) noexcept {
      destroy_in_frame(static_cast<Callback*>(self.owner_));
    };
  }

  void hold() noexcept { future_->add_reference(); }

  DoneHook link;

 private:
  static const RunnableOps ops;

  static void run(Runnable& self) {
    auto& callback = static_cast<Callback&>(self);
    StateRef<FutureBase> future(callback.future_);
    struct Guard {
      Callback* callback;
      ~Guard() { destroy_in_frame(callback); }
    } guard{&callback};
    const ContextEntry context(future->scheduler().context_cell(), callback.context_);
    try {
      callback.function_();
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      future->scheduler().call_exception_handler(
          {"Exception in callback of a future",
           std::current_exception(),
           future->is_task() ? Access::make<AnyTask>(future) : AnyTask(),
           {},
           future->source()});
    }
  }
  static void drop(Runnable& self) noexcept {
    auto& callback = static_cast<Callback&>(self);
    FutureBase* future = callback.future_;
    destroy_in_frame(&callback);
    future->release_reference();
  }
  static std::string describe(const Runnable& self) {
    return "<callback of " + static_cast<const Callback&>(self).future_->text() + ">";
  }

  FutureBase* future_;
  ContextSlot context_;
  Function<void()> function_;
};

const RunnableOps Callback::ops{&Callback::run, &Callback::drop, &Callback::describe};

}  // namespace

std::string copy_or_empty(const std::string& text) noexcept {
  try {
    return text;
  } catch (const std::bad_alloc&) {
    return {};
  }
}

FutureBase::~FutureBase() {
  while (!links_.empty()) {
    DoneLink& link = links_.pop_front();
    DoneHook* hook = link.as_hook();
    if (hook != nullptr && hook->discard_ != nullptr) hook->discard_(*hook);
  }
  if (FutureDetails* const more = details()) scheduler_->details().give_back(*more);
  scheduler_->remove_future();
}

FutureDetails& FutureBase::own_details() noexcept {
  if (details() == nullptr) {
    details_ = reinterpret_cast<std::uintptr_t>(&scheduler_->details().take(details_));
  }
  return *details();
}

void FutureBase::keep_message(std::string&& message) noexcept {
  if (details() != nullptr || !message.empty()) own_details().message = std::move(message);
}

std::string FutureBase::take_message() noexcept {
  FutureDetails* const more = details();
  return more != nullptr ? std::exchange(more->message, {}) : std::string();
}

std::string FutureBase::message_copy() const noexcept {
  const FutureDetails* const more = details();
  return more != nullptr ? copy_or_empty(more->message) : std::string();
}

bool FutureBase::cancel(std::string&& message) noexcept {
  if (is_done()) return false;
  keep_message(std::move(message));
  complete(State::cancelled, false);
  return true;
}

void FutureBase::complete(State state, bool unretrieved_error) noexcept {
  state_ = state;
  retrieved_ = !unretrieved_error;
  while (!links_.empty()) {
    DoneLink& link = links_.pop_front();
    DoneHook* hook = link.as_hook();
    if (scheduler_->is_closed()) [[unlikely]] {  // Nobody will run it.
      if (hook != nullptr && hook->discard_ != nullptr) hook->discard_(*hook);
      continue;
    }
    if (hook != nullptr && hook->queued_ != nullptr) hook->queued_(*hook);
    scheduler_->post(*link.target());
  }
}

CallbackId FutureBase::add_callback(Function<void()> function, const Context* context) {
  scheduler_->require_open("add_done_callback");
  const CallbackId id = next_number<Callback>();
  auto* callback = make_in_frame<Callback>(
      *this, id, context != nullptr ? context->slot() : ContextSlot(scheduler_->current_context()),
      std::move(function));
  if (is_done()) {
    callback->hold();
    scheduler_->post(*callback);
  } else {
    links_.push_back(callback->link);
  }
  return id;
}

std::size_t FutureBase::remove_callback(CallbackId id) noexcept {
  for (DoneLink* link = links_.first(); link != nullptr; link = links_.next(*link)) {
    DoneHook* hook = link->as_hook();
    if (hook != nullptr && hook->id_ == id && id != 0) {
      hook->unlink();
      hook->discard_(*hook);
      return 1;
    }
  }
  return 0;
}

std::exception_ptr FutureBase::exception_or_throw() {
  require_done("Exception is not set.");
  if (is_cancelled()) throw_cancelled();
  retrieved_ = true;
  return stored_error();
}

std::string FutureBase::text() const {
  const auto* task = is_task() ? static_cast<const TaskBase*>(this) : nullptr;
  std::string text = task != nullptr ? "<Task " : "<Future ";
  if (state_ == State::cancelled) {
    text += "cancelled";
  } else if (state_ == State::finished) {
    text += "finished";
  } else {
    text += task != nullptr && task->cancelling() > 0 ? "cancelling" : "pending";
  }
  if (task != nullptr) {
    text += " name='" + task->name() + "'";
    const Waiter* waiter = task->waiter();
    const FutureBase* awaited = waiter != nullptr ? waiter->awaited_future() : nullptr;
    if (awaited != nullptr && awaited->is_task()) {
      text += " wait_for=<Task name='" + static_cast<const TaskBase*>(awaited)->name() + "'>";
    } else if (awaited != nullptr) {
      text += " wait_for=" + awaited->text();
    }
  }
  if (state_ == State::finished && stored_error() != nullptr) {
    text += " exception=" + describe(stored_error());
  }
  return text + " made at " + short_place(source_) + ">";
}

void FutureBase::require_done(const char* message) {
  if (!is_done()) throw InvalidStateError(message);
}

void FutureBase::require_result() {
  require_done("Result is not ready.");
  if (is_cancelled()) throw_cancelled();
  retrieved_ = true;
  // Where no coroutine runs, the await path of an error ends: nothing is noted, so that a
  // later exception at its address does not go on with it.
  if (scheduler_->current() != nullptr) return;
  if (std::exception_ptr error = stored_error()) std::rethrow_exception(std::move(error));
}

void FutureBase::throw_cancelled() {
  // The first to ask gets the very exception that ended the task, with its
  // history; it is not kept longer, as it may hold on to much (TASK-28).
  if (std::exception_ptr error = stored_error()) {
    drop_stored_error();
    std::rethrow_exception(std::move(error));
  }
  throw CancelledError(message_copy());
}

void FutureBase::throw_already_done(const char* call) const {
  throw InvalidStateError(std::string(call) + ": the future is done already" +
                          (is_cancelled() ? " (cancelled)" : ""));
}

void throw_task_not_settable(const char* call) {
  throw RuntimeError(std::string("Task does not support ") + call + " operation");
}

void FutureBase::last_reference_gone() noexcept {
  if (!retrieved_ && !reported_ && stored_error() != nullptr) {
    reported_ = true;
    if (!scheduler_->is_closed()) {
      references_ = 1;  // The report list's.
      scheduler_->report(*this);
      return;
    }
    log_error(is_task() ? "Task exception was never retrieved (its loop is closed)"
                        : "Future exception was never retrieved (its loop is closed)");
  }
  destroy();
}

void FutureBase::destroy_unnested() noexcept {
  static constinit thread_local IntrusiveList<Report>* delayed = nullptr;
  if (delayed != nullptr) {
    delayed->push_back(*this);
    return;
  }
  IntrusiveList<Report> after;
  delayed = &after;
  destroy_now();
  while (!after.empty()) static_cast<FutureBase&>(after.pop_front()).destroy_now();
  delayed = nullptr;
}

void FutureBase::tell(Scheduler& scheduler) {
  StateRef<FutureBase> self(this);
  ContextSlot none;
  const ContextEntry context(scheduler.context_cell(),
                             is_task() ? as_task()->context_slot() : none);  // ERR-5.
  scheduler.call_exception_handler(
      {is_task() ? "Task exception was never retrieved" : "Future exception was never retrieved",
       stored_error(),
       is_task() ? Access::make<AnyTask>(self) : AnyTask(),
       {},
       source_});
}

void FutureAwaiterBase::wait(Driver& driver) {
  if (future_->is_task() && future_->as_task() == driver.task()) {
    throw RuntimeError("Task cannot await on itself: " + driver.task()->name());
  }
  if (&future_->scheduler() != &driver.scheduler()) {
    throw RuntimeError("co_await: the future is attached to a different loop");
  }
  link_.set_target(driver);
  future_->add_link(link_);
  driver.suspend(*this);
}

bool FutureAwaiterBase::cancel(Driver&, std::string& message) noexcept {
  return future_->cancel(std::move(message));
}

void FutureAwaiterBase::abandon(Driver& driver, std::string& message) noexcept {
  link_.unlink();
  driver.wake_cancelled(message);
}

}  // namespace aster::inline v0::detail
