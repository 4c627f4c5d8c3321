// SPDX-License-Identifier: MIT
//
// Debug mode and calls from a wrong thread: those that can throw do; the others are
// logged and do nothing.
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Logged;

Coroutine<> nap(Duration time) { co_await sleep(time); }

struct WrongThread : ::testing::Test {
  std::shared_ptr<EventLoop> loop = new_event_loop({.debug = true});
  Logged logged;

  // Calls it in another thread while the loop runs.
  void elsewhere(const std::function<void()>& call) {
    auto main = [&]() -> Coroutine<> {
      std::thread(call).join();
      co_return;
    };
    loop->run_until_complete(main());
  }
  [[nodiscard]] bool told(const std::string& call) const {
    return logged.contains(call + ": Non-thread-safe operation invoked");  // LOOP-17, DBG-5
  }
};

TEST_F(WrongThread, CreateFutureThrows) {
  bool refused = false;
  elsewhere([&] {
    try {
      static_cast<void>(loop->create_future<int>());
    } catch (const RuntimeError&) {
      refused = true;
    }
  });
  EXPECT_TRUE(refused);
}

TEST_F(WrongThread, TheLoopIsNamedByThePlaceThatMadeIt) {  // DBG-4
  std::string text;
  elsewhere([&] {
    try {
      loop->call_soon([] {});
    } catch (const RuntimeError& error) {
      text = error.what();
    }
  });

  EXPECT_NE(text.find("(that loop was made at debug_thread_test.cpp:"), std::string::npos) << text;
}

TEST_F(WrongThread, CancellingATaskIsLoggedAndDoesNothing) {
  Task<> task = loop->create_task(nap(1h));
  bool accepted = true;

  elsewhere([&] { accepted = task.cancel(); });

  EXPECT_FALSE(accepted);
  EXPECT_TRUE(told("Task::cancel"));
  EXPECT_EQ(task.cancelling(), 0);
  task.cancel();
  EXPECT_THROW(loop->run_until_complete(task), CancelledError);
}

TEST_F(WrongThread, CancellingAFutureIsLoggedAndDoesNothing) {
  Future<int> future = loop->create_future<int>();

  elsewhere([&] { future.cancel(); });

  EXPECT_TRUE(told("Future::cancel"));
  EXPECT_FALSE(future.done());
}

TEST_F(WrongThread, CopyingAHandleIsLogged) {
  Future<int> future = loop->create_future<int>();
  Handle handle = loop->call_soon([] {});

  elsewhere([&] { const Future<int> copy = future; });
  elsewhere([&] { const Handle copy = handle; });

  EXPECT_TRUE(told("copying a Future or Task"));
  EXPECT_TRUE(told("copying a Handle"));
}

TEST_F(WrongThread, CancellingACallbackIsLoggedAndDoesNothing) {
  bool called = false;
  TimerHandle handle = loop->call_later(0s, [&] { called = true; });

  elsewhere([&] { handle.cancel(); });
  loop->run_until_complete(nap(1ms));

  EXPECT_TRUE(told("Handle::cancel"));
  EXPECT_FALSE(handle.cancelled());
  EXPECT_TRUE(called);
}

TEST_F(WrongThread, StopIsLoggedAndDoesNothing) {
  elsewhere([&] { loop->stop(); });

  EXPECT_TRUE(told("stop"));
  int turns = 0;
  loop->call_soon([&] { ++turns; });
  loop->call_soon([&] { loop->call_soon([&] { ++turns, loop->stop(); }); });
  loop->run_forever();  // A stop that counted would end it after one turn.
  EXPECT_EQ(turns, 2);
}

TEST_F(WrongThread, AThreadsafePostIsTheWayToDoAllThat) {
  Task<> task = loop->create_task(nap(1h));

  auto main = [&]() -> Coroutine<> {
    std::thread([&] { loop->call_soon_threadsafe([&] { task.cancel(); }); }).join();
    co_await sleep(1ms);
  };
  loop->run_until_complete(main());

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(logged.text(), "");
}

}  // namespace
}  // namespace aster
