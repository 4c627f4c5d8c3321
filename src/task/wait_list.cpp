// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/task/wait_list.hpp>

namespace aster::inline v0 {

namespace detail {

bool WaitNode::cancel(Driver& driver, std::string& message) noexcept {
  if (state_ != State::waiting || list_ == nullptr) return false;
  state_ = State::cancelled;
  if (list_->first_waiting_ == this) list_->skip(*this);
  driver.wake_cancelled(message);
  return true;
}

}  // namespace detail

std::size_t WaitList::live_count() const noexcept {
  std::size_t count = 0;
  for (const detail::WaitNode* node = nodes_.first(); node != nullptr; node = nodes_.next(*node)) {
    if (node->state_ != detail::WaitNode::State::cancelled) ++count;
  }
  return count;
}

void WaitList::bind_first(Scheduler& scheduler) {
  if (bound_ != nullptr) {
    throw RuntimeError("the object that is waited for is bound to a different event loop");
  }
  scheduler.add_reference();
  bound_ = &scheduler;
}

void WaitList::abandon() noexcept {
  // Who waits now would wait for ever. When the loop is closed all of them are about to
  // be destroyed, in whichever order.
  if (first_waiting_ != nullptr) require_closed();
  while (!nodes_.empty()) nodes_.pop_front().list_ = nullptr;
}

void WaitList::require_closed() const noexcept {
  const bool no_task_waits_for_an_object_that_is_destroyed = bound_->is_closed();
  ASTER_ASSERT(no_task_waits_for_an_object_that_is_destroyed);
}

}  // namespace aster::inline v0
