// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <utility>

namespace aster {

/// A simulated loop, and a log that tasks write into.
class SyncTest : public ::testing::Test {
 protected:
  void TearDown() override { loop.close(); }  // Before the objects of the test go.

  template <class... Args>
  auto start(Args&&... args) {
    return loop.create_task(std::forward<Args>(args)...);
  }
  /// Lets it run for one step.
  template <class F>
  auto step(F&& body) {
    auto task = loop.create_task(std::forward<F>(body));
    loop.run_once();
    return task;
  }
  void settle() { loop.run_until_idle(); }

  /// Awaits it and logs the name, or `name!` when it is cancelled.
  template <class A>
  Coroutine<> logged(std::string name, A awaitable) {
    bool cancelled = false;
    try {
      static_cast<void>(co_await std::move(awaitable));
    } catch (const CancelledError&) {
      cancelled = true;
    }
    log += name + (cancelled ? "!" : "");
    if (cancelled) throw CancelledError();
  }
  testing::SimLoop loop;
  std::string log;
};

/// The error of a call or an await, as `describe` says.
template <class F>
std::string error_of(F&& call) {
  try {
    call();
  } catch (...) {
    return describe(std::current_exception());
  }
  return "none";
}

}  // namespace aster
