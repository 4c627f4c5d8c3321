// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/base/error.hpp>
#include <aster/loop/handle.hpp>
#include <aster/task/exception_context.hpp>

namespace aster::inline v0::detail {

const RunnableOps HandleState::runnable_ops{
    [](Runnable& self) { static_cast<HandleState&>(static_cast<Timer&>(self)).run_and_release(); },
    [](Runnable& self) noexcept {
      static_cast<HandleState&>(static_cast<Timer&>(self)).drop_and_release();
    },
    [](const Runnable& self) {
      return static_cast<const HandleState&>(static_cast<const Timer&>(self)).text();
    }};

std::string HandleState::text() const {
  std::string text = when == TimePoint::max() ? "<Handle" : "<TimerHandle";
  if (is_cancelled()) text += " cancelled";
  if (when != TimePoint::max()) text += " when=" + seconds(when.time_since_epoch());
  return text + " made at " + short_place(source_) + ">";
}

void HandleState::cancel() noexcept {
  if (stage_ != Stage::queued) return;
  stage_ = Stage::cancelled;
  const bool was_timed = is_scheduled();
  if (was_timed) scheduler_->cancel_timer(*this);
  discard();
  if (was_timed) release_reference();  // The heap's.
}

void HandleState::run_and_release() {
  struct Guard {
    HandleState* self;
    ~Guard() { self->release_reference(); }
  } guard{this};
  if (stage_ != Stage::queued) return;
  stage_ = Stage::ran;
  struct Discard {
    HandleState* self;
    ~Discard() { self->discard(); }
  } discard_after{this};
  const ContextEntry context(scheduler_->context_cell(), context_);
  try {
    invoke();
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    scheduler_->call_exception_handler(
        {"Exception in callback", std::current_exception(), AnyTask(), {}, source_});
  }
}

void HandleState::drop_and_release() noexcept {
  if (stage_ == Stage::queued) {
    stage_ = Stage::cancelled;
    discard();
  }
  release_reference();
}

const RunnableOps SharedHandleState::runnable_ops{
    [](Runnable& self) { static_cast<SharedHandleState&>(self).run_and_release(); },
    [](Runnable& self) noexcept {
      auto& handle = static_cast<SharedHandleState&>(self);
      handle.cancel();
      handle.release_reference();
    },
    [](const Runnable& self) { return static_cast<const SharedHandleState&>(self).text(); }};

std::string SharedHandleState::text() const {
  return std::string("<ThreadsafeHandle") + (is_cancelled() ? " cancelled" : "") + " made at " +
         short_place(source_) + ">";
}

namespace {
// What this thread is running; a callback that cancels itself must not wait for its end.
constinit thread_local const SharedHandleState* running_here = nullptr;
}  // namespace

void SharedHandleState::cancel() noexcept {
  Stage seen = Stage::queued;
  if (stage_.compare_exchange_strong(seen, Stage::cancelled, std::memory_order_acq_rel)) {
    discard();
    return;
  }
  // Another thread that cancels a running callback waits for its end.
  while (seen == Stage::running && running_here != this) {
    stage_.wait(Stage::running, std::memory_order_acquire);
    seen = stage_.load(std::memory_order_acquire);
  }
}

void SharedHandleState::run_and_release() {
  if (references_.load(std::memory_order_acquire) == 1) {
    // The handle has been dropped, as it mostly is: from here on this thread has it
    // alone, and nobody can cancel it or wait for its end.
    struct End {
      SharedHandleState* self;
      bool runs;
      ~End() {
        if (runs) self->discard();
        self->destroy();
      }
    } end{this, stage_.load(std::memory_order_relaxed) == Stage::queued};
    if (end.runs) call_reporting();
    return;
  }
  struct Guard {
    SharedHandleState* self;
    ~Guard() { self->release_reference(); }
  } guard{this};
  Stage seen = Stage::queued;
  if (!stage_.compare_exchange_strong(seen, Stage::running, std::memory_order_acq_rel)) return;
  struct Finish {
    SharedHandleState* self;
    ~Finish() {
      self->discard();
      self->stage_.store(Stage::done, std::memory_order_release);
      self->stage_.notify_all();
      running_here = nullptr;
    }
  } finish{this};
  running_here = this;
  call_reporting();
}

void SharedHandleState::call_reporting() {
  const ContextEntry context(context_cell(), context_);
  try {
    invoke();
  } catch (const BaseError&) {
    throw;
  } catch (...) {
    Scheduler* scheduler = running_scheduler();
    scheduler->call_exception_handler(
        {"Exception in callback", std::current_exception(), AnyTask(), {}, source_});
  }
}

}  // namespace aster::inline v0::detail

namespace aster::inline v0 {

std::string to_string(const Handle& handle) {
  return handle.state_ ? handle.state_->text() : "<no handle>";
}

std::string to_string(const ThreadsafeHandle& handle) {
  return handle.state_ ? handle.state_->text() : "<no handle>";
}

}  // namespace aster::inline v0
