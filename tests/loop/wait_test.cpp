// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

Coroutine<int> after(Duration time, int value) {
  co_await sleep(time);
  co_return value;
}
Coroutine<int> fails_after(Duration time) {
  co_await sleep(time);
  throw std::logic_error("bad");
}

struct Wait : ::testing::Test {
  testing::SimLoop loop;
  std::vector<Task<int>> tasks;

  void add(Coroutine<int> coroutine) { tasks.push_back(loop.create_task(std::move(coroutine))); }
  WaitResult<int> waited(WaitOptions options = {}) {
    auto body = [&]() -> Coroutine<WaitResult<int>> { co_return co_await wait(tasks, options); };
    return loop.run_until_complete(body());
  }
};
using AsCompletedTest = Wait;

TEST_F(Wait, ReturnsWhenAllAreDoneInTheOrderOfTheInput) {
  add(after(2s, 1));
  add(after(1s, 2));
  const TimePoint start = loop.time();

  auto result = waited();

  EXPECT_EQ(loop.time() - start, 2s);
  ASSERT_EQ(result.done.size(), 2U);  // WAIT-3
  EXPECT_EQ(result.done[0], tasks[0]);
  EXPECT_EQ(result.done[1], tasks[1]);
  EXPECT_TRUE(result.pending.empty());
}

TEST_F(Wait, OfNothingIsAnError) {
  EXPECT_THROW(static_cast<void>(wait(tasks)), ValueError);  // WAIT-3
}

TEST_F(Wait, WithABadReturnWhenIsAnError) {
  add(after(0s, 1));

  EXPECT_THROW(static_cast<void>(wait(tasks, {.return_when = static_cast<ReturnWhen>(7)})),
               ValueError);  // WAIT-3
}

TEST_F(Wait, WithANanTimeoutIsAnError) {
  add(after(0s, 1));

  EXPECT_THROW(static_cast<void>(
                   wait(tasks, {.timeout = Seconds(std::numeric_limits<double>::quiet_NaN())})),
               ValueError);
}

TEST_F(Wait, OverTimeIsNoErrorAndTheRestRunsOn) {
  add(after(5s, 1));
  add(after(1s, 2));

  auto result = waited({.timeout = 2s});

  ASSERT_EQ(result.done.size(), 1U);  // WAIT-4
  ASSERT_EQ(result.pending.size(), 1U);
  EXPECT_EQ(result.done[0], tasks[1]);
  loop.advance(3s);
  EXPECT_EQ(tasks[0].result(), 1);
}

TEST_F(Wait, OverTimeWithZeroLooksOnce) {
  add(after(5s, 1));

  auto result = waited({.timeout = 0s});

  EXPECT_EQ(result.pending.size(), 1U);
}

TEST_F(Wait, FirstCompletedReturnsWithTheFirst) {
  add(after(5s, 1));
  add(after(1s, 2));
  const TimePoint start = loop.time();

  auto result = waited({.return_when = FIRST_COMPLETED});

  EXPECT_EQ(loop.time() - start, 1s);
  EXPECT_EQ(result.done.size(), 1U);
  EXPECT_EQ(result.pending.size(), 1U);
}

TEST_F(Wait, FirstExceptionReturnsWithTheFirstFailure) {
  add(after(1s, 1));
  add(fails_after(2s));
  add(after(5s, 3));
  const TimePoint start = loop.time();

  auto result = waited({.return_when = FIRST_EXCEPTION});

  EXPECT_EQ(loop.time() - start, 2s);  // WAIT-5
  EXPECT_EQ(result.done.size(), 2U);
  EXPECT_NE(tasks[1].exception(), nullptr);
}

TEST_F(Wait, FirstExceptionDoesNotCountACancellation) {
  add(after(1h, 1));
  add(after(5s, 3));
  loop.call_later(1s, [&] { tasks[0].cancel(); });
  const TimePoint start = loop.time();

  auto result = waited({.return_when = FIRST_EXCEPTION});

  EXPECT_EQ(loop.time() - start, 5s);  // WAIT-5
  EXPECT_EQ(result.done.size(), 2U);
}

TEST_F(Wait, OfDoneTasksStillPassesThroughTheLoop) {
  add(after(0s, 1));
  loop.run_until_idle();
  bool other_ran = false;
  auto body = [&]() -> Coroutine<> {
    loop.call_soon([&] { other_ran = true; });
    co_await wait(tasks);
    EXPECT_TRUE(other_ran);  // WAIT-7
  };

  loop.run_until_complete(body());
}

TEST_F(Wait, TakesPlainFuturesToo) {
  std::vector<Future<int>> futures{loop.create_future<int>(), loop.create_future<int>()};
  loop.call_later(1s, [&] { futures[1].set_result(4); });
  auto body = [&]() -> Coroutine<> {
    auto result = co_await wait(futures, {.return_when = FIRST_COMPLETED});
    EXPECT_EQ(result.done.size(), 1U);
    const int value = result.done.empty() ? 0 : result.done[0].result();
    EXPECT_EQ(value, 4);
  };

  loop.run_until_complete(body());
}

TEST_F(Wait, LeavesNoTimerBehind) {
  add(after(1s, 1));

  waited({.timeout = 1h});

  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST_F(Wait, DoesNotLookAtTheErrorsOfItsTasks) {
  support::Reports reports(loop);
  add(fails_after(1s));

  {
    auto result = waited();
  }
  tasks.clear();
  loop.run_until_idle();

  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(Wait, IsTakenDownWithItsLoop) {
  support::Reports reports(loop);
  add(after(1h, 1));
  auto body = [&]() -> Coroutine<> { co_await wait(tasks, {.timeout = 2h}); };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(task.cancelled());
}

// as_completed ----------------------------------------------------------------------------

TEST_F(AsCompletedTest, GivesTheTasksThemselves) {
  add(after(2s, 1));
  add(after(1s, 2));
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks);
    std::optional<Task<int>> first = co_await each.next();
    EXPECT_TRUE(first && *first == tasks[1]);  // WAIT-28
    std::optional<Task<int>> second = co_await each.next();
    EXPECT_TRUE(second && *second == tasks[0]);
    std::optional<Task<int>> none = co_await each.next();
    EXPECT_FALSE(none.has_value());
  };

  loop.run_until_complete(body());
}

TEST_F(AsCompletedTest, MakesTasksOfCoroutines) {
  auto body = [&]() -> Coroutine<int> {
    std::vector<Coroutine<int>> coroutines;
    coroutines.push_back(after(2s, 1));
    coroutines.push_back(after(1s, 2));
    auto each = as_completed(std::move(coroutines));
    int digits = 0;
    while (auto task = co_await each.next()) digits = 10 * digits + task->result();
    co_return digits;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 21);  // WAIT-28
}

TEST_F(AsCompletedTest, CountsDuplicatesOnce) {
  add(after(1s, 1));
  tasks.push_back(tasks[0]);
  auto body = [&]() -> Coroutine<int> {
    auto each = as_completed(tasks);
    int count = 0;
    while (auto task = co_await each.next()) ++count;
    co_return count;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 1);  // WAIT-29
}

TEST_F(AsCompletedTest, OfNothingGivesNothing) {
  auto body = [&]() -> Coroutine<bool> {
    auto each = as_completed(tasks);
    auto task = co_await each.next();
    co_return task.has_value();
  };

  EXPECT_FALSE(loop.run_until_complete(body()));  // WAIT-29
}

TEST_F(AsCompletedTest, OverTimeEachRemainingStepThrowsAndTheTasksRunOn) {
  add(after(1s, 1));
  add(after(5s, 2));
  add(after(6s, 3));
  std::string log;
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks, {.timeout = 2s});
    for (bool more = true; more;) {
      try {
        auto task = co_await each.next();
        more = task.has_value();
        if (more) log += std::to_string(task->result());
      } catch (const TimeoutError&) {
        log += 't';
      }
    }
  };

  loop.run_until_complete(body());

  EXPECT_EQ(log, "1tt");  // WAIT-30
  loop.advance(10s);
  EXPECT_EQ(tasks[2].result(), 3);
}

TEST_F(AsCompletedTest, WhatEndsAfterTheDeadlineIsNotGiven) {
  add(after(5s, 2));
  std::string log;
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks, {.timeout = 2s});
    co_await sleep(10s);
    try {
      co_await each.next();
      log += "given";
    } catch (const TimeoutError&) {
      log += "timeout";
    }
  };

  loop.run_until_complete(body());

  EXPECT_EQ(log, "timeout");  // WAIT-30
}

TEST_F(AsCompletedTest, WhatEndedBeforeTheDeadlineIsGivenAfterIt) {
  add(after(1s, 2));
  auto body = [&]() -> Coroutine<int> {
    auto each = as_completed(tasks, {.timeout = 2s});
    co_await sleep(10s);
    auto task = co_await each.next();
    co_return task ? task->result() : 0;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 2);
}

TEST_F(AsCompletedTest, ACancelledStepLeavesTheNextTaskToTheOthers) {
  add(after(1s, 1));
  auto each_body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks);
    auto step = [&]() -> Coroutine<int> {
      auto task = co_await each.next();
      co_return task ? task->result() : 0;
    };
    auto first = create_task(step());
    auto second = create_task(step());
    co_await sleep(0s);
    co_await sleep(0s);
    first.cancel();
    int value = co_await second;
    EXPECT_EQ(value, 1);
  };

  loop.run_until_complete(each_body());
}

TEST_F(AsCompletedTest, MayBeDroppedHalfway) {
  add(after(1s, 1));
  add(after(2s, 2));
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks, {.timeout = 1h});
    co_await each.next();
  };

  loop.run_until_complete(body());

  loop.advance(2s);
  EXPECT_EQ(tasks[1].result(), 2);
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

}  // namespace
}  // namespace aster
