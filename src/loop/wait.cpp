// SPDX-License-Identifier: MIT
#include <aster/loop/event_loop.hpp>
#include <aster/loop/wait.hpp>

#include <algorithm>

namespace aster::inline v0::detail {

Coroutine<> WaitState::run(OwnerRef<WaitState> state, Duration timeout) {
  struct Stop {
    WaitState& state;
    TimerHandle timer;
    explicit Stop(WaitState& waited) noexcept : state(waited) {}
    ~Stop() {
      timer.cancel();
      for (ChildWatch& child : state.children_) child.stop();
    }
  } stop(*state);
  EventLoop& loop = state->scheduler_.loop();
  state->waiter_ = loop.create_future<>();
  state->set_waiter(ChildWaiter(Access::state(state->waiter_)));
  state->pending_count_ = state->children_.size();
  if (timeout != Duration::max()) {
    auto expire = [hold = OwnerRef<WaitState>::share(*state)]() mutable {
      if (!hold->waiter_.done()) hold->waiter_.set_result();
    };
    stop.timer = loop.call_later(timeout, std::move(expire));
  }
  for (ChildWatch& child : state->children_) child.start();
  co_await state->waiter_;
}

void WaitState::child_done(ChildWatch& watch) {
  const FutureBase& child = watch.child();
  --pending_count_;
  if (waiter_.done()) return;
  const bool failed = !child.is_cancelled() && child.stored_error() != nullptr;
  if (pending_count_ == 0 || return_when_ == ReturnWhen::FIRST_COMPLETED ||
      (return_when_ == ReturnWhen::FIRST_EXCEPTION && failed)) {
    waiter_.set_result();
  }
}

/// The time limit of an `as_completed`; gone before its state is.
class CompletionState::Deadline final : public Timer {
 public:
  explicit Deadline(CompletionState& owner) noexcept : Timer(&timer_ops), owner_(owner) {}
  bool armed = true;

 private:
  static const RunnableOps timer_ops;
  CompletionState& owner_;
};

const RunnableOps CompletionState::Deadline::timer_ops{
    [](Runnable& node) {
      auto& self = static_cast<Deadline&>(static_cast<Timer&>(node));
      self.armed = false;
      self.owner_.timed_out_ = true;
      for (Child& child : self.owner_.children_) child.stop();
      self.owner_.waiters_.wake_all();
    },
    [](Runnable& node) noexcept {
      static_cast<Deadline&>(static_cast<Timer&>(node)).armed = false;
    }};

CompletionState::CompletionState(Scheduler& scheduler) : scheduler_(scheduler) {
  set_waiter(ChildWaiter(waiters_));
}
CompletionState::~CompletionState() {
  while (!done_.empty()) done_.pop_front();
}

void CompletionState::watch(FutureBase& future) {
  for (const Child& child : children_) {
    if (&child.child() == &future) return;
  }
  children_.emplace_back(*this, StateRef<FutureBase>::share(future));
}

void CompletionState::start(Duration timeout) {
  if (timeout != Duration::max() && !children_.empty()) {
    deadline_ = std::make_unique<Deadline>(*this);
    scheduler_.call_at(*deadline_, add_saturated(scheduler_.now(), timeout));
  }
  for (Child& child : children_) child.start();
}

void CompletionState::stop() noexcept {
  if (deadline_ != nullptr && deadline_->armed) scheduler_.withdraw(*deadline_);
  deadline_.reset();
  for (Child& child : children_) child.stop();
  while (!done_.empty()) done_.pop_front();
  given_count_ = children_.size();
  waiters_.wake_all();
}

void CompletionState::child_done(ChildWatch& watch) {
  // Too late, in the same turn: the time is over, or nobody wants more.
  if (timed_out_ || given_count_ == children_.size()) return;
  done_.push_back(static_cast<Child&>(watch));
  waiters_.wake_one();
}

Coroutine<StateRef<FutureBase>> CompletionState::next() {
  while (done_.empty()) {
    if (given_count_ == children_.size()) co_return StateRef<FutureBase>();
    if (timed_out_) {
      ++given_count_;
      throw TimeoutError("as_completed: timed out");
    }
    co_await waiters_.park([this]() noexcept { waiters_.wake_one(); });
  }
  const auto found = StateRef<FutureBase>::share(done_.pop_front().child());
  if (++given_count_ == children_.size()) {
    if (deadline_ != nullptr && std::exchange(deadline_->armed, false)) {
      scheduler_.withdraw(*deadline_);
    }
    waiters_.wake_all();
  }
  co_return found;
}

}  // namespace aster::inline v0::detail
