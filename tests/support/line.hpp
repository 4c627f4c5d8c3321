// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/event_loop.hpp>
#include <aster/task/scheduler.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <concepts>
#include <exception>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "support/hand_driver.hpp"

// Suites that run under both kinds of driver: what they say of a task must hold for
// everything that steps coroutines.
namespace aster::support {

enum class DriverKind { task, hand };

inline std::string name_of(DriverKind kind) {
  return kind == DriverKind::task ? "Task" : "HandDriver";
}
inline void PrintTo(DriverKind kind, std::ostream* out) { *out << name_of(kind); }

#define ASTER_BOTH_DRIVERS(suite)                                                                \
  INSTANTIATE_TEST_SUITE_P(                                                                      \
      Drivers, suite,                                                                            \
      ::testing::Values(::aster::support::DriverKind::task, ::aster::support::DriverKind::hand), \
      [](const auto& driver_kind) { return ::aster::support::name_of(driver_kind.param); })

/// How many requests to end are open for the line of control that runs.
inline int cancelling_here() {
  return detail::require_running("cancelling_here").current()->cancelling();
}

/// A coroutine that runs under a driver of either kind; with the words of a task.
template <class T = void>
class Line {
 public:
  Line() = default;
  Line(DriverKind kind, EventLoop& loop, Coroutine<T> coroutine) {
    if (kind == DriverKind::task) {
      task_ = loop.create_task(std::move(coroutine));
      return;
    }
    using Driver = HandDriver<T>;
    hand_ =
        std::make_shared<Driver>(std::move(coroutine), &loop.scheduler(), Driver::Steps::by_loop);
    ended_ = loop.create_future<>();
    hand_->on_end = [ended = ended_]() mutable {
      if (!ended.done()) ended.set_result();
    };
  }

  bool cancel(std::string message = {}) {
    return hand_ ? driver().cancel(std::move(message)) : task_.cancel(std::move(message));
  }
  int uncancel() { return hand_ ? driver().uncancel() : task_.uncancel(); }
  [[nodiscard]] int cancelling() const {
    return hand_ ? driver().cancelling() : task_.cancelling();
  }
  [[nodiscard]] bool done() const { return hand_ ? hand_->is_done() : task_.done(); }
  [[nodiscard]] bool cancelled() const {
    return done() && error() != nullptr && is_cancelled_error(error());
  }
  /// What it threw; null when it gave a value.
  [[nodiscard]] std::exception_ptr error() const {
    if (hand_ != nullptr) return hand_->result.has_error() ? hand_->result.error() : nullptr;
    if (task_.cancelled()) return std::make_exception_ptr(CancelledError());
    return task_.exception();
  }
  T result() { return hand_ ? hand_->result.take() : task_.take(); }

  /// Runs the loop until it has ended.
  T run(EventLoop& loop) {
    if (hand_ == nullptr) return loop.run_until_complete(std::move(task_));
    loop.run_until_complete(ended_);
    return hand_->result.take();
  }

 private:
  [[nodiscard]] detail::Driver& driver() const { return *hand_; }

  Task<T> task_;
  std::shared_ptr<HandDriver<T>> hand_;  // Null under a task.
  Future<> ended_;
};

/// A simulated loop and lines of control under one kind of driver.
class DriverTest : public ::testing::TestWithParam<DriverKind> {
 public:
  template <class T>
  Line<T> start(Coroutine<T> coroutine) {
    return Line<T>(GetParam(), loop, std::move(coroutine));
  }
  template <class T>
  T run(Coroutine<T> coroutine) {
    return start(std::move(coroutine)).run(loop);
  }
  template <std::invocable Body>
  auto run(Body body) {
    return run(body());
  }

  testing::SimLoop loop;
  std::string log;
};

}  // namespace aster::support
