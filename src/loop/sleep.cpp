// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>

namespace aster::inline v0::detail {

// When due, the timer runs as a callback that queues the driver: a sleeper goes
// on one turn after its deadline is noticed, as in asyncio, where the timer
// completes a future.
const RunnableOps SleepAwaiter::timer_ops{
    [](Runnable& node) {
      auto& self = static_cast<SleepAwaiter&>(static_cast<Timer&>(node));
      if (self.stage_ != Stage::waiting) return;
      self.stage_ = Stage::over;
      self.driver_->wake();
    },
    [](Runnable&) noexcept {}};

void SleepAwaiter::start() {
  Scheduler& scheduler = driver_->scheduler();
  scheduler.call_at(*this, add_saturated(scheduler.now(), delay_));
  stage_ = Stage::waiting;
  driver_->suspend(*this);
}

bool SleepAwaiter::cancel(Driver& driver, std::string& message) noexcept {
  if (stage_ != Stage::waiting) return false;
  withdraw();
  driver.wake_cancelled(message);
  return true;
}

void SleepAwaiter::withdraw() noexcept {
  stage_ = Stage::over;
  driver_->scheduler().withdraw(*this);
}

}  // namespace aster::inline v0::detail
