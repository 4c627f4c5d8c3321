// SPDX-License-Identifier: MIT
#pragma once

#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/result.hpp>
#include <aster/task/scheduler.hpp>
#include <aster/task/task.hpp>

#include <exception>
#include <string>
#include <utility>

namespace aster::support {

/// A second kind of driver, cranked by the test: no task, no loop of its own.
/// It counts how often it was woken instead of running.
template <class T = void>
class HandDriver final : public detail::Driver {
 public:
  explicit HandDriver(Coroutine<T> coroutine, Scheduler* scheduler = nullptr)
      : Driver(table, woken_), scheduler_(scheduler) {
    auto& promise = coroutine.release();
    promise.deliver_to(result);
    promise.drive_by(*this);
  }
  ~HandDriver() { destroy_frames(); }

  /// One step; true when the coroutine has ended.
  bool crank() {
    while (!woken_.empty()) woken_.pop();
    ++steps;
    return resume();
  }
  [[nodiscard]] bool is_woken() const { return !woken_.empty(); }

  bool cancel_now(std::string message = {}) {
    if (detail::Waiter* waiting = waiter(); waiting != nullptr && waiting->cancel(*this, message)) {
      return true;
    }
    flags_ |= must_cancel;
    message_ = std::move(message);
    return false;
  }

  detail::Result<T> result;
  int steps = 0;

 private:
  static HandDriver& self_of(detail::Driver& driver) { return static_cast<HandDriver&>(driver); }
  static inline const detail::DriverOps table{
      {[](detail::Runnable&) {}, [](detail::Runnable&) noexcept {}},
      [](detail::Driver& self, std::string&& message) noexcept {
        self_of(self).cancel_now(std::move(message));
        return true;
      },
      [](detail::Driver&) noexcept { return 0; },
      [](const detail::Driver&) noexcept { return 0; },
      [](detail::Driver& self, std::string&& message) noexcept {
        self_of(self).message_ = std::move(message);
      },
      [](detail::Driver& self) noexcept { return std::exchange(self_of(self).message_, {}); },
      [](detail::Driver& self) noexcept -> Scheduler& { return *self_of(self).scheduler_; },
      [](detail::Driver&) noexcept -> detail::TaskBase* { return nullptr; },
      [](detail::Driver& self) noexcept { self.wake(); },
      nullptr};

  detail::ReadyQueue woken_;
  Scheduler* scheduler_;
  std::string message_;
};

}  // namespace aster::support
