// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace aster {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

struct SleepTest : ::testing::Test {
  testing::SimLoop loop;
};

TEST_F(SleepTest, TakesItsTime) {
  const TimePoint start = loop.time();

  loop.run_until_complete(sleep(250ms));

  EXPECT_EQ(loop.time() - start, 250ms);  // WAIT-1
}

TEST_F(SleepTest, CountsFromTheAwaitNotFromTheCall) {
  auto body = []() -> Coroutine<> {
    auto later = sleep(1s);
    co_await sleep(1s);
    co_await later;
  };
  const TimePoint start = loop.time();

  loop.run_until_complete(body());

  EXPECT_EQ(loop.time() - start, 2s);
}

TEST_F(SleepTest, GivesItsResult) {
  auto body = []() -> Coroutine<std::string> { co_return co_await sleep(1s, std::string("up")); };

  EXPECT_EQ(loop.run_until_complete(body()), "up");  // WAIT-1
}

TEST_F(SleepTest, GivesAMoveOnlyResult) {
  auto body = []() -> Coroutine<int> {
    auto given = std::make_unique<int>(4);
    std::unique_ptr<int> p = co_await sleep(0s, std::move(given));
    co_return *p;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 4);
}

TEST_F(SleepTest, OfZeroOrLessTakesOneTurnAndNoTimer) {
  int steps = 0;
  auto body = [&]() -> Coroutine<> {
    ++steps;
    co_await sleep(0s);
    ++steps;
    co_await sleep(-5s);
    ++steps;
    co_await yield_now();
    ++steps;
  };
  auto task = loop.create_task(body());

  for (int turn = 1; turn <= 4; ++turn) {
    loop.run_once();
    EXPECT_EQ(steps, turn);  // WAIT-1, CORO-9
  }
  EXPECT_TRUE(task.done());
}

TEST_F(SleepTest, OfNanIsAnError) {
  EXPECT_THROW(static_cast<void>(sleep(Seconds(std::numeric_limits<double>::quiet_NaN()))),
               ValueError);  // WAIT-1
}

TEST_F(SleepTest, OfInfinityLastsUntilItIsCancelled) {
  auto body = []() -> Coroutine<> {
    co_await sleep(Seconds(std::numeric_limits<double>::infinity()));
  };
  auto task = loop.create_task(body());
  loop.advance(std::chrono::hours(24 * 365));
  EXPECT_FALSE(task.done());

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(SleepTest, CancelledAtItsVeryEndThrows) {
  auto body = []() -> Coroutine<> { co_await sleep(1s); };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  loop.sim().advance(1s);
  loop.run_once();  // The timer has run; the step is queued.
  ASSERT_FALSE(task.done());

  EXPECT_TRUE(task.cancel());
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());  // TASK-20
}

TEST_F(SleepTest, CancelledWhenItsTimerIsQueuedThrows) {
  auto body = []() -> Coroutine<> { co_await sleep(1s); };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  loop.call_later(1s, [] {});
  const TimePoint when = loop.time() + 1s;
  loop.call_at(when, [] {});
  // Runs in the same batch, before the sleeper's timer.
  auto first = loop.create_task([&]() -> Coroutine<> { co_return; });
  loop.run_until_idle();
  loop.sim().advance(1s);
  loop.call_soon([&] { task.cancel(); });
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST_F(SleepTest, ManySleepersWakeInTheOrderOfTheirDeadlines) {
  std::string log;
  auto body = [&](int seconds) -> Coroutine<> {
    co_await sleep(seconds * 1s);
    log += static_cast<char>('0' + seconds);
  };
  for (int seconds : {3, 1, 4, 1, 5, 9, 2, 6}) static_cast<void>(loop.create_task(body(seconds)));

  loop.advance(10s);

  EXPECT_EQ(log, "11234569");
}

}  // namespace
}  // namespace aster
