// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/sync/semaphore.hpp>

#include "sync/text.hpp"

namespace aster::inline v0 {

Semaphore::Semaphore(std::ptrdiff_t value, std::ptrdiff_t bound) : value_(value), bound_(bound) {
  if (value < 0) throw ValueError("Semaphore initial value must be >= 0");
}

void Semaphore::hand_over() {
  waiters_.check_thread("Semaphore.release");
  waiters_.wake_one();
}

void Semaphore::throw_released_too_often() {
  throw ValueError("BoundedSemaphore released too many times");
}

std::string to_string(const Semaphore& semaphore) {
  const std::string state = semaphore.locked()
                                ? std::string("locked")
                                : "unlocked, value:" + std::to_string(semaphore.value_);
  return detail::primitive_text("Semaphore", state, semaphore.waiters_);
}

}  // namespace aster::inline v0
