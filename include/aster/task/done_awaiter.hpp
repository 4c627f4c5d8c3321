// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/promise.hpp>
#include <aster/task/future.hpp>

#include <coroutine>
#include <string>
#include <utility>

namespace aster::inline v0::detail {

/// Completes when a future is done, whatever its result; cancelling the waiting
/// task leaves the future alone.
class DoneAwaiter final : Waiter {
 public:
  using aster_awaiter = void;
  explicit DoneAwaiter(StateRef<FutureBase> future) noexcept : future_(std::move(future)) {}
  [[nodiscard]] bool await_ready() const noexcept { return future_->is_done(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    Driver& driver = driver_of(handle);
    link_.set_target(driver);
    future_->add_link(link_);
    driver.suspend(*this);
  }
  void await_resume() {
    auto* driver = static_cast<Driver*>(link_.target());  // Null when it did not suspend.
    if (driver != nullptr) driver->check();
  }

 private:
  bool cancel(Driver& driver, std::string& message) noexcept override {
    if (!link_.is_linked()) return false;
    link_.unlink();
    driver.wake_cancelled(message);
    return true;
  }

  StateRef<FutureBase> future_;
  DoneLink link_;
};

}  // namespace aster::inline v0::detail
