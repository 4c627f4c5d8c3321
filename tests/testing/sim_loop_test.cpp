// SPDX-License-Identifier: MIT
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::SimLoop;

TEST(SimLoop, RunUntilIdleLetsNoTimePass) {
  SimLoop loop;
  const TimePoint start = loop.time();
  int calls = 0;
  loop.call_soon([&] { loop.call_soon([&] { ++calls; }); });
  loop.call_later(1ns, [&] { ++calls; });

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);
  EXPECT_EQ(loop.time(), start);
}

TEST(SimLoop, RunUntilIdleRunsWhatIsDueNow) {
  SimLoop loop;
  int calls = 0;
  loop.call_later(0s, [&] { ++calls; });

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);
}

TEST(SimLoop, AdvanceRunsEachTimerAtItsTime) {
  SimLoop loop;
  const TimePoint start = loop.time();
  std::vector<Duration> times;
  for (int second : {3, 1, 2}) {
    loop.call_later(second * 1s, [&] { times.push_back(loop.time() - start); });
  }

  loop.advance(2500ms);
  EXPECT_EQ(times, (std::vector<Duration>{1s, 2s}));
  EXPECT_EQ(loop.time() - start, 2500ms);

  loop.advance(500ms);
  EXPECT_EQ(times.size(), 3U);
}

TEST(SimLoop, AdvanceRunsWhatTimersStartOnTheWay) {
  SimLoop loop;
  std::string log;
  auto body = [&]() -> Coroutine<> {
    for (int i = 0; i < 3; ++i) {
      co_await sleep(1s);
      log += 'x';
    }
  };
  static_cast<void>(loop.create_task(body()));

  loop.advance(3s);

  EXPECT_EQ(log, "xxx");
}

TEST(SimLoop, AdvanceOfNothingIsRunUntilIdle) {
  SimLoop loop;
  int calls = 0;
  loop.call_soon([&] { ++calls; });

  loop.advance(0s);

  EXPECT_EQ(calls, 1);
}

TEST(SimLoop, AdvanceRefusesImpossibleTimes) {
  SimLoop loop;

  EXPECT_THROW(loop.advance(-1s), ValueError);
  EXPECT_THROW(loop.advance(Delay::infinite()), ValueError);
  EXPECT_THROW(
      loop.advance(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
      ValueError);
}

TEST(SimLoop, RunUntilCompleteJumpsToTheNextDeadline) {
  SimLoop loop;
  const auto real_start = std::chrono::steady_clock::now();

  loop.run_until_complete(sleep(std::chrono::hours(1000)));

  EXPECT_LT(std::chrono::steady_clock::now() - real_start, 10s);
}

TEST(SimLoop, WhenNothingCanEverHappenThatIsAnErrorNamingTheTasks) {
  SimLoop loop;
  Future<> never = loop.create_future<>();
  auto body = [&]() -> Coroutine<> { co_await never; };
  auto task = loop.create_task(body(), {.name = "the waiting one"});
  std::string text;

  try {
    loop.run_until_complete(task);
  } catch (const RuntimeError& error) {
    text = error.what();
  }

  EXPECT_NE(text.find("the waiting one"), std::string::npos);
  never.set_result();
  loop.run_until_complete(task);  // The loop is still usable.
}

TEST(SimLoop, RunsUnderRunner) {
  auto body = []() -> Coroutine<int> {
    co_await sleep(5h);
    co_return 1;
  };

  EXPECT_EQ(run(body(), {.loop_factory = [] { return std::make_unique<SimLoop>(); }}), 1);
}

TEST(SimLoop, WaitsForThreadsWhenToldSo) {
  SimLoop loop({.wait_for_threads = true});
  Future<int> f = loop.create_future<int>();
  std::thread thread([&] { loop.call_soon_threadsafe([&] { f.set_result(4); }); });

  EXPECT_EQ(loop.run_until_complete(f), 4);

  thread.join();
}

TEST(SimLoop, TwoLoopsHaveClocksOfTheirOwn) {
  SimLoop a;
  SimLoop b;
  const TimePoint start = b.time();

  a.advance(1h);

  EXPECT_EQ(b.time(), start);
}

}  // namespace
}  // namespace aster
