// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/sync/error.hpp>
#include <aster/sync/queue_base.hpp>

namespace aster::inline v0::detail {

void QueueWait::bind(QueueBase& queue, Driver& driver) {
  queue.getters_.waiters.bind(driver.scheduler());
  queue.putters_.waiters.bind(driver.scheduler());
}

bool QueueWait::leave_end() noexcept {
  const bool woken = leave() == State::woken;
  if (woken && claims_) --end_->claims;
  return woken;
}

void QueueWait::waited(QueueBase& queue) {
  Driver& driver = *take_driver();
  const bool woken = leave_end();
  if (driver.has_pending()) [[unlikely]] {
    if (woken) queue.pass_on(*end_);
    driver.throw_pending();
  }
  ASTER_ASSERT(woken);
}

void QueueWait::withdraw(QueueBase& queue) noexcept {
  if (leave_end()) queue.pass_on(*end_);
}

void QueueEnd::wake() noexcept {
  const auto& woken = static_cast<QueueWait&>(*waiters.wake_next());
  if (woken.claims_) ++claims;
}

void QueueBase::check_put_again() {
  if (shut_down_) throw QueueShutDown();
  if (full()) throw QueueFull();
  send_on_detour(putters_, places() - 1);
}

void QueueBase::check_get_again() {
  if (empty()) {
    if (shut_down_) throw QueueShutDown();
    throw QueueEmpty();
  }
  // Once it is shut down, who finds nothing left ends: no detour.
  if (!shut_down_) send_on_detour(getters_, size_ - 1);
}

void QueueBase::pass_on(QueueEnd& end) noexcept {
  if ((&end == &getters_ ? size_ : places()) > end.claims) end.wake_one();
}

void QueueBase::send_on_detour(QueueEnd& end, std::size_t claims) {
  for (WaitNode* node = end.waiters.oldest(); end.claims > claims;) {
    auto& wait = static_cast<QueueWait&>(*node);
    node = end.waiters.behind(*node);
    if (!wait.is_woken() || !wait.claims_) continue;
    wait.start_detour(*wait.frame_);
    static_cast<void>(wait.leave_end());
    wait.claims_ = false;
  }
}

void QueueBase::task_done() {
  if (unfinished_ == 0) throw ValueError("task_done() called too many times");
  if (unfinished_ == 1) joiners_.check_thread("Queue.task_done");
  if (--unfinished_ == 0) joiners_.wake_all();
}

void QueueBase::shut_down(bool immediate) {
  check_thread("Queue.shutdown");
  shut_down_ = true;
  if (immediate) {
    unfinished_ -= unfinished_ < size_ ? unfinished_ : size_;
    size_ = 0;
    if (unfinished_ == 0) joiners_.wake_all();
  }
  // All look again.
  while (!getters_.waiters.empty()) getters_.wake_one();
  while (!putters_.waiters.empty()) putters_.wake_one();
}

void QueueBase::Again::start_detour(PromiseBase&) {
  assert_failed("what claims nothing needs no detour", __FILE__, __LINE__);
}

std::string QueueBase::text(const char* type) const {
  std::string text = std::string("<") + type + " maxsize=" + std::to_string(maxsize_);
  if (size_ != 0) text += " qsize=" + std::to_string(size_);
  if (const std::size_t count = getters_.waiters.live_count(); count != 0) {
    text += " getters[" + std::to_string(count) + "]";
  }
  if (const std::size_t count = putters_.waiters.live_count(); count != 0) {
    text += " putters[" + std::to_string(count) + "]";
  }
  if (unfinished_ != 0) text += " tasks=" + std::to_string(unfinished_);
  if (shut_down_) text += " shutdown";
  return text + ">";
}

}  // namespace aster::inline v0::detail
