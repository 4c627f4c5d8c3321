// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/loop/timeout.hpp>
#include <aster/task/done_awaiter.hpp>

#include <string>

namespace aster::inline v0 {

const detail::RunnableOps Timeout::timer_ops{
    [](Runnable& node) { static_cast<Timeout&>(static_cast<Timer&>(node)).expire(); },
    [](Runnable& node) noexcept {
      static_cast<Timeout&>(static_cast<Timer&>(node)).armed_ = false;
    }};

Timeout::Timeout(std::optional<TimePoint> when) noexcept : Timer(&timer_ops), when_(when) {}

Timeout::Timeout(Timeout&& other) noexcept : Timer(&timer_ops), when_(other.when_) {
  ASTER_ASSERT(other.state_ == State::created);
}

Timeout::~Timeout() { disarm(); }

std::string_view Timeout::state() const noexcept {
  switch (state_) {
    case State::created:
      return "created";
    case State::active:
      return "active";
    case State::expiring:
      return "expiring";
    case State::expired:
      return "expired";
    case State::finished:
      return "finished";
  }
  return "";
}

void Timeout::begin() {
  if (state_ != State::created) throw RuntimeError("Timeout has already been entered");
  Scheduler& scheduler = detail::require_running("timeout");
  if (scheduler.current() == nullptr) {
    throw RuntimeError("Timeout should be used inside a task");
  }
  driver_ = scheduler.current();
  if (detail::TaskBase* task = driver_->task(); task != nullptr) {
    task_ = detail::StateRef<detail::FutureBase>::share(*task);
  }
  cancelling_at_entry_ = driver_->cancelling();
  state_ = State::active;
  reschedule(when_);
}

void Timeout::reschedule(std::optional<TimePoint> when) {
  if (state_ != State::active) {
    if (state_ == State::created) throw RuntimeError("Timeout has not been entered");
    throw RuntimeError("Cannot change state of " + std::string(state()) + " Timeout");
  }
  when_ = when;
  disarm();
  if (!when) return;
  Scheduler& scheduler = driver_->scheduler();
  scheduler.require_open("timeout");
  if (*when <= scheduler.now()) {
    scheduler.post(*this);
  } else {
    scheduler.call_at(*this, *when);
  }
  armed_ = true;
}

void Timeout::disarm() noexcept {
  if (!std::exchange(armed_, false)) return;
  driver_->scheduler().withdraw(*this);
}

void Timeout::expire() {
  armed_ = false;
  state_ = State::expiring;
  driver_->cancel({});
}

void Timeout::end(const std::exception_ptr& error) {
  disarm();
  if (state_ == State::expiring) {
    state_ = State::expired;
    // More requests than at the entry: somebody else wants the task to end.
    if (driver_->uncancel() <= cancelling_at_entry_ && is_cancelled_error(error)) {
      throw TimeoutError(error);
    }
  } else if (state_ == State::active) {
    state_ = State::finished;
  }
}

std::string to_string(const Timeout& timeout) {
  std::string text = "<Timeout [" + std::string(timeout.state()) + "]";
  if (timeout.state_ == Timeout::State::active) {
    text +=
        " when=" + (timeout.when_ ? detail::seconds(timeout.when_->time_since_epoch()) : "none");
  }
  return text + ">";
}

Timeout timeout(Delay delay) {
  const Duration length = delay.checked("timeout");
  Scheduler& scheduler = detail::require_running("timeout");
  if (length == Duration::max()) return Timeout(std::nullopt);
  return Timeout(detail::add_saturated(scheduler.now(), length));
}

Timeout timeout_at(std::optional<TimePoint> when) { return Timeout(when); }

namespace detail {

Coroutine<> cancel_and_wait(StateRef<FutureBase> future) {
  future->cancel({});
  co_await DoneAwaiter(std::move(future));
}

}  // namespace detail
}  // namespace aster::inline v0
