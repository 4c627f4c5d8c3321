// SPDX-License-Identifier: MIT
//
// asyncio's barrier holds a lock that is never held across a suspension, so there is
// none here; what remains is its states and the points where it wakes all waiters, each
// of whom looks at the state again as it runs.
#include <aster/base/error.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/error.hpp>

#include <string_view>

namespace aster::inline v0 {

/// One task inside the barrier, until it leaves in whichever way.
class Barrier::Party final : public detail::ListNode {
 public:
  explicit Party(Barrier& barrier) noexcept : barrier_(barrier) {
    ++barrier_.count_;
    barrier_.inside_.push_back(*this);
  }
  ~Party() {
    if (!is_linked()) return;  // The barrier is gone, as its loop is closed.
    unlink();
    if (--barrier_.count_ > 0) return;
    if (barrier_.state_ == State::resetting || barrier_.state_ == State::draining) {
      barrier_.state_ = State::filling;
    }
    barrier_.waiters_.wake_all();
  }

  std::ptrdiff_t number = 0;  // Known once all are here, as some may leave before.

 private:
  Barrier& barrier_;
};

Barrier::~Barrier() {
  waiters_.check_unused();
  while (!inside_.empty()) inside_.pop_front();
}

Barrier::Barrier(std::ptrdiff_t parties) : parties_(parties) {
  if (parties < 1) throw ValueError("parties must be >= 1");
}

Coroutine<std::ptrdiff_t> Barrier::wait() {
  while (state_ == State::draining || state_ == State::resetting) co_await waiters_.park();
  if (state_ == State::broken) throw BrokenBarrierError("Barrier aborted");
  Party party(*this);  // Its number is written by the last to come.
  if (count_ == parties_) {
    state_ = State::draining;
    std::ptrdiff_t number = 0;
    for (Party* each = inside_.first(); each != nullptr; each = inside_.next(*each)) {
      each->number = number++;
    }
    waiters_.wake_all();
    co_return party.number;
  }
  while (state_ == State::filling) co_await waiters_.park();
  if (state_ != State::draining) throw BrokenBarrierError("Abort or reset of barrier");
  co_return party.number;
}

Coroutine<> Barrier::reset() {
  state_ = count_ > 0 ? State::resetting : State::filling;
  waiters_.check_thread("Barrier.reset");
  waiters_.wake_all();
  co_return;
}

Coroutine<> Barrier::abort() {
  state_ = State::broken;
  waiters_.check_thread("Barrier.abort");
  waiters_.wake_all();
  co_return;
}

std::string to_string(const Barrier& barrier) {
  static constexpr std::string_view names[] = {"filling", "draining", "resetting", "broken"};
  std::string text = "<Barrier [";
  text += names[static_cast<std::size_t>(barrier.state_)];
  if (!barrier.broken()) {
    text +=
        ", waiters:" + std::to_string(barrier.n_waiting()) + "/" + std::to_string(barrier.parties_);
  }
  return text + "]>";
}

}  // namespace aster::inline v0
