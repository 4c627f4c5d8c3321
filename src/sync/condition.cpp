// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/sync/condition.hpp>

#include "sync/text.hpp"

namespace aster::inline v0 {

/// What a `wait` has got. A notification that is still here at its end, because it
/// throws or its frame is destroyed, goes to the next task.
class Condition::Notification {
 public:
  explicit Notification(WaitList& waiters) noexcept : waiters_(waiters) {}
  Notification(const Notification&) = delete;
  Notification& operator=(const Notification&) = delete;
  ~Notification() {
    if (notified) waiters_.wake_one();
  }
  bool released = false;  // The lock, to wait.
  bool notified = false;

 private:
  WaitList& waiters_;
};

class Condition::Waiting {
 public:
  Waiting(Condition& condition, Notification& notification) noexcept
      : condition_(condition), notification_(notification) {}
  [[nodiscard]] WaitList& list() const noexcept { return condition_.waiters_; }
  [[nodiscard]] bool ready() const noexcept { return false; }
  void begun() const noexcept {
    notification_.released = true;
    condition_.lock_->unlock();
  }
  void granted() const noexcept { notification_.notified = true; }
  void withdraw(bool woken) const noexcept { notification_.notified = woken; }
  void result() const noexcept {}

 private:
  Condition& condition_;
  Notification& notification_;
};

void Condition::require_locked(const char* call) const {
  if (!lock_->locked()) {
    throw RuntimeError(std::string("cannot ") + call + " on un-acquired lock");
  }
}

Coroutine<bool> Condition::wait() {
  require_locked("wait");
  Notification notification(waiters_);
  // The lock stays the caller's, also for the caller's guard.
  const std::uint64_t holder = lock_->holder_;
  std::exception_ptr error;
  try {
    co_await WaitList::Wait<Waiting>(Waiting(*this, notification));
  } catch (...) {
    if (!notification.released) throw;  // The wait never began.
    error = std::current_exception();
  }
  for (;;) {
    try {
      co_await lock_->acquire();
      break;
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
  }
  lock_->holder_ = holder;
  if (error != nullptr) std::rethrow_exception(std::move(error));
  notification.notified = false;
  co_return true;
}

void Condition::notify(std::ptrdiff_t n) {
  require_locked("notify");
  waiters_.check_thread("Condition.notify");
  for (; n > 0 && waiters_.wake_one(); --n) {
  }
}

void Condition::notify_all() {
  require_locked("notify");
  waiters_.check_thread("Condition.notify_all");
  waiters_.wake_all();
}

std::string to_string(const Condition& condition) {
  return detail::primitive_text("Condition", condition.locked() ? "locked" : "unlocked",
                                condition.waiters_);
}

}  // namespace aster::inline v0
