// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/result.hpp>
#include <aster/task/scheduler.hpp>
#include <aster/task/task.hpp>

#include <exception>
#include <functional>
#include <string>
#include <utility>

namespace aster::support {

/// A second kind of driver, that is no task: stepped by the test, with the words of a
/// Python coroutine. It shares no code with `Task`.
template <class T = void>
class HandDriver final : public detail::Driver {
 public:
  /// Who takes the steps: the test, by `send`, or the turns of the driver's loop.
  enum class Steps { by_hand, by_loop };

  explicit HandDriver(Coroutine<T> coroutine, Scheduler* scheduler = nullptr,
                      Steps steps = Steps::by_hand)
      : Driver(table, steps == Steps::by_loop ? scheduler->ready_queue() : woken_),
        scheduler_(scheduler),
        steps_(steps) {
    auto& promise = coroutine.release();
    promise.deliver_to(result);
    promise.drive_by(*this);
    if (steps_ == Steps::by_loop) wake();
  }
  ~HandDriver() { close(); }

  /// One step; true when the coroutine has ended.
  bool send() {
    forget_wakes();
    if (!started_ && (flags_ & must_cancel) != 0) {
      close();
      result.set_error(std::make_exception_ptr(CancelledError(std::string(message_))));
      return end();
    }
    started_ = true;
    if (scheduler_ == nullptr) return resume() && end();
    Scheduler::Enter enter(*scheduler_, *this);
    struct Running {
      Scheduler* before;
      explicit Running(Scheduler* now) : before(std::exchange(detail::running_scheduler(), now)) {}
      ~Running() { detail::running_scheduler() = before; }
    } running(scheduler_);
    if (resume()) return end();
    if ((flags_ & must_cancel) != 0 && waiter() != nullptr && waiter()->cancel(*this, message_)) {
      flags_ &= static_cast<std::uint8_t>(~must_cancel);
    }
    return false;
  }
  /// Throws `error` at the await and steps.
  bool throw_(std::exception_ptr error) {
    thrown_ = std::move(error);
    flags_ |= throw_requested;
    return send();
  }
  /// Destroys what is left of the coroutine.
  void close() {
    destroy_frames();
    forget_wakes();
  }

  [[nodiscard]] bool is_woken() const { return !woken_.empty(); }
  [[nodiscard]] bool is_done() const { return phase() == Phase::ended; }

  /// Asks it to end; whether what it waits for took the request.
  bool cancel_now(std::string message = {}) {
    ++cancel_count_;
    if ((flags_ & cancel_delivered) != 0) return true;
    if (waiter() != nullptr && waiter()->cancel(*this, message)) return true;
    flags_ |= must_cancel;
    message_ = std::move(message);
    return false;
  }

  detail::Result<T> result;
  std::function<void()> on_end = [] {};

 private:
  bool end() {
    destroy_frames();
    if ((flags_ & must_cancel) != 0 && !result.has_error()) {
      result.set_error(std::make_exception_ptr(CancelledError(std::string(message_))));
    }
    on_end();
    return true;
  }
  void forget_wakes() {
    while (!woken_.empty()) woken_.pop();
    if (scheduler_ != nullptr && !scheduler_->is_closed()) scheduler_->withdraw_posted(*this);
  }
  void run() {
    if (is_done()) return;
    if (steps_ == Steps::by_hand) {
      woken_.push(*this);
    } else if (send() && result.has_error() && is_base_error(result.error())) {
      std::rethrow_exception(result.error());  // Whoever runs the loop is to see it.
    }
  }

  static HandDriver& self_of(detail::Driver& driver) { return static_cast<HandDriver&>(driver); }
  static const detail::DriverOps table;

  detail::ReadyQueue woken_;
  Scheduler* scheduler_;
  Steps steps_;
  std::string message_;
  std::exception_ptr thrown_;
  int cancel_count_ = 0;
  bool started_ = false;
};

template <class T>
const detail::DriverOps HandDriver<T>::table{
    {[](detail::Runnable& self) { static_cast<HandDriver&>(self).run(); },
     [](detail::Runnable&) noexcept {}},
    [](detail::Driver& self, std::string&& message) noexcept {
      if (self_of(self).is_done()) return false;
      self_of(self).cancel_now(std::move(message));
      return true;
    },
    [](detail::Driver& driver) noexcept {
      HandDriver& self = self_of(driver);
      if (self.cancel_count_ > 0 && --self.cancel_count_ == 0) {
        self.flags_ &= static_cast<std::uint8_t>(~must_cancel);
      }
      return self.cancel_count_;
    },
    [](const detail::Driver& self) noexcept {
      return static_cast<const HandDriver&>(self).cancel_count_;
    },
    [](detail::Driver& self, std::string&& message) noexcept {
      self_of(self).message_ = std::move(message);
    },
    [](detail::Driver& self) noexcept { return std::exchange(self_of(self).message_, {}); },
    [](detail::Driver& self, std::exception_ptr error) noexcept {
      self_of(self).thrown_ = std::move(error);
    },
    [](detail::Driver& self) noexcept { return std::exchange(self_of(self).thrown_, nullptr); },
    [](detail::Driver& self) noexcept -> Scheduler& { return *self_of(self).scheduler_; },
    [](detail::Driver&) noexcept -> detail::TaskBase* { return nullptr; },
    [](detail::Driver& driver) noexcept {
      HandDriver& self = self_of(driver);
      if (self.scheduler_ == nullptr || detail::running_scheduler() == self.scheduler_) {
        self.wake();
      } else {
        static_cast<void>(self.scheduler_->inbox()->push(self));
      }
    },
    nullptr};

}  // namespace aster::support
