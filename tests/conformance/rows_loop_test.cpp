// SPDX-License-Identifier: MIT
//
// Rows of the inventory (docs/conformance.md) about loops, their clock, threads, debug
// mode and constants that no test of a layer pins by the way.
#include <aster/executor/executor.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/faults.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>

#include "conformance/still_clock.hpp"
#include "support/backends.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

class RowsOnBackends : public ::testing::TestWithParam<Backend> {};
INSTANTIATE_TEST_SUITE_P(Loops, RowsOnBackends,
                         ::testing::Values(Backend::epoll, Backend::poll, Backend::select),
                         support::backend_name);

TEST_P(RowsOnBackends, ALoopIsMadeOnAGivenBackEnd) {
  EventLoop loop({.backend = GetParam()});  // ACC-5, ACC-6

  EXPECT_EQ(loop.backend().name(), GetParam() == Backend::epoll  ? "epoll"
                                   : GetParam() == Backend::poll ? "poll"
                                                                 : "select");
}

TEST_P(RowsOnBackends, TheClockIsMonotonic) {
  EventLoop loop({.backend = GetParam()});

  const TimePoint first = loop.time();  // LOOP-6

  EXPECT_GE(loop.time(), first);
  EXPECT_LE(first, std::chrono::steady_clock::now());
}

TEST_P(RowsOnBackends, ATimerIsNeverEarlyThoughTheSystemCountsCoarsely) {
  EventLoop loop({.backend = GetParam()});
  const TimePoint when = loop.time() + 300us;
  TimePoint ran;
  loop.call_at(when, [&] {
    ran = loop.time();
    loop.stop();
  });
  loop.run_forever();

  EXPECT_GE(ran, when);  // LOOP-7 (differs: no early tick), LOOP-10, OPEN-3
}

TEST_P(RowsOnBackends, AnInterruptedWaitIsNoError) {
  if (!testing::Faults::is_available()) GTEST_SKIP() << "needs fault injection";
  EventLoop loop({.backend = GetParam()});
  testing::Faults faults;
  for (const testing::SysCall call :
       {testing::SysCall::epoll_wait, testing::SysCall::poll, testing::SysCall::select}) {
    faults.fail(call, {.times = 3, .error = EINTR});
  }
  bool ran = false;
  loop.call_later(1ms, [&] {
    ran = true;
    loop.stop();
  });
  loop.run_forever();

  EXPECT_TRUE(ran);  // LOOP-16
  EXPECT_EQ(faults.injected_count(), 3U);
}

TEST_P(RowsOnBackends, AnotherThreadWakesAWaitingLoop) {
  EventLoop loop({.backend = GetParam()});
  std::thread thread([&] { loop.call_soon_threadsafe([&] { loop.stop(); }); });
  loop.run_forever();  // THR-1, LOOP-12

  thread.join();
}

TEST_P(RowsOnBackends, AHostRunsTheLoopTurnByTurn) {
  EventLoop loop({.backend = GetParam()});
  std::string order;
  loop.call_soon([&] {
    order += "a";
    loop.call_soon([&] { order += "b"; });
  });

  EXPECT_TRUE(loop.run_once());  // ACC-20
  EXPECT_EQ(order, "a");
  EXPECT_FALSE(loop.run_once());
  EXPECT_EQ(order, "ab");
}

// Callbacks ----------------------------------------------------------------------------

TEST(HandleRows, CallSoonGivesAHandle) {
  testing::SimLoop loop;
  bool ran = false;
  Handle handle = loop.call_soon([&] { ran = true; });  // HND-1

  EXPECT_FALSE(handle.cancelled());
  handle.cancel();
  EXPECT_TRUE(handle.cancelled());
  loop.run_until_idle();
  EXPECT_FALSE(ran);
}

TEST(HandleRows, CallSoonThreadsafeGivesAHandle) {
  testing::SimLoop loop;
  bool ran = false;
  ThreadsafeHandle handle = loop.call_soon_threadsafe([&] { ran = true; });  // HND-1

  handle.cancel();
  EXPECT_TRUE(handle.cancelled());
  loop.run_until_idle();
  EXPECT_FALSE(ran);
}

// Threads ------------------------------------------------------------------------------

TEST(ThreadRows, EachThreadMayRunALoopOfItsOwn) {
  // THR-2, THR-3, ACC-1: both run at the same time; each finds its own.
  std::latch both(2);
  std::atomic<int> right{0};
  auto work = [&] {
    auto loop = new_event_loop();
    auto main = [&]() -> Coroutine<> {
      both.arrive_and_wait();
      co_await sleep(0s);
      if (&get_running_loop() == loop.get()) ++right;
    };
    loop->run_until_complete(main());
    loop->close();
  };
  std::thread other(work);
  work();
  other.join();

  EXPECT_EQ(right, 2);
}

TEST(ThreadRows, AFutureIsSetFromAnotherThreadThroughTheLoop) {
  auto loop = new_event_loop();
  Future<int> future = loop->create_future<int>();
  std::thread thread([&] { loop->call_soon_threadsafe([&] { future.set_result(5); }); });

  EXPECT_EQ(loop->run_until_complete(future), 5);  // THR-5
  thread.join();
  loop->close();
}

TEST(ThreadRows, ALoopThatDoesNotRunMayMoveToAnotherThread) {
  auto loop = new_event_loop();
  auto turn = []() -> Coroutine<> { co_await sleep(0s); };
  loop->run_until_complete(turn());
  std::thread([&] { loop->run_until_complete(turn()); }).join();  // THR-6
  loop->run_until_complete(turn());
  loop->close();
}

TEST(ThreadRows, DebugModeTellsAWrongThread) {
  auto loop = new_event_loop({.debug = true});
  bool refused = false;
  auto main = [&]() -> Coroutine<> {
    // MAP-9, THR-4, DBG-5
    std::thread([&] {
      try {
        loop->call_soon([] {});
      } catch (const RuntimeError&) {
        refused = true;
      }
    }).join();
    co_return;
  };
  loop->run_until_complete(main());
  loop->close();

  EXPECT_TRUE(refused);
}

// Debug mode ---------------------------------------------------------------------------

TEST(DebugRows, TheEnvironmentTheOptionAndTheLoopTurnItOn) {
  const char* set = std::getenv("ASTER_DEBUG");
  const std::string former = set == nullptr ? "" : set;
  ::setenv("ASTER_DEBUG", "1", 1);
  EventLoop by_environment;
  EventLoop by_option({.debug = false});
  if (set == nullptr) {
    ::unsetenv("ASTER_DEBUG");
  } else {
    ::setenv("ASTER_DEBUG", former.c_str(), 1);
  }

  EXPECT_TRUE(by_environment.get_debug());  // DBG-1
  EXPECT_FALSE(by_option.get_debug());
  by_option.set_debug(true);  // DBG-2
  EXPECT_TRUE(by_option.get_debug());
  by_environment.set_debug(false);
  by_option.set_debug(false);
}

// Constants ----------------------------------------------------------------------------

TEST(ConstantRows, AreAsyncios) {
  testing::SimLoop loop;
  EXPECT_EQ(loop.slow_callback_duration, 100ms);  // K-9

  ThreadPoolExecutor pool;
  cpu_set_t usable;
  ASSERT_EQ(::sched_getaffinity(0, sizeof usable, &usable), 0);
  EXPECT_EQ(pool.max_workers(), std::min(32, CPU_COUNT(&usable) + 4));  // K-15
}

TEST(ConstantRows, ALoopWaitsAtMostADayAtOnce) {
  class Spy : public testing::SimLoop {
   public:
    TimePoint waited_until;

   protected:
    void waited() override {
      waited_until = time();
      testing::SimLoop::waited();
    }
  };
  Spy loop;
  const TimePoint begin = loop.time();
  loop.call_later(240h, [] {});
  loop.run_once(Delay::infinite());

  EXPECT_EQ(loop.waited_until - begin, 24h);  // K-13, LOOP-9
  loop.close();
}

TEST(ConstantRows, RunWaits300SecondsForTheDefaultExecutor) {
  static TimePoint begin;
  static std::atomic<Duration::rep> waited;
  static std::latch* gate = nullptr;
  std::latch here(1);
  gate = &here;
  auto factory = [] {
    auto loop = std::make_unique<EventLoop>(
        std::make_unique<conformance::StillClock>(make_backend(Backend::poll), true));
    begin = loop->time();
    loop->set_exception_handler([](EventLoop& stuck, const ExceptionContext&) {
      waited = (stuck.time() - begin).count();
      gate->count_down();
    });
    return loop;
  };
  auto main = []() -> Coroutine<> {
    static_cast<void>(get_running_loop().run_in_executor(nullptr, [] { gate->wait(); }));
    co_return;
  };
  run(main(), {.loop_factory = factory});

  EXPECT_EQ(Duration(waited.load()), 300s);  // K-12, EXE-13
}

}  // namespace
}  // namespace aster
