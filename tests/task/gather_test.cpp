// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/gather.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/line.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;

template <class T>
Coroutine<T> after(Duration time, T value) {
  co_await sleep(time);
  co_return value;
}
Coroutine<> fails_after(Duration time, const char* text) {
  co_await sleep(time);
  throw std::logic_error(text);
}

class Gather : public support::DriverTest {};
ASTER_BOTH_DRIVERS(Gather);

TEST_P(Gather, GivesResultsInTheOrderOfTheArguments) {
  auto body = []() -> Coroutine<> {
    auto all = co_await gather(after(2s, 1), after(1s, std::string("two")));
    auto& [one, two] = all;
    EXPECT_EQ(one, 1);  // WAIT-15
    EXPECT_EQ(two, "two");
  };

  run(body());
}

TEST_P(Gather, RunsConcurrently) {
  const TimePoint start = loop.time();
  auto body = []() -> Coroutine<> { co_await gather(after(2s, 1), after(2s, 2)); };

  run(body());

  EXPECT_EQ(loop.time() - start, 2s);
}

TEST_P(Gather, VoidBecomesMonostate) {
  auto nothing = []() -> Coroutine<> { co_return; };
  auto body = [&]() -> Coroutine<> {
    std::tuple<std::monostate, int> both = co_await gather(nothing(), after(0s, 2));
    EXPECT_EQ(std::get<1>(both), 2);
  };

  run(body());
}

TEST_P(Gather, TakesAVector) {
  std::vector<Coroutine<int>> coroutines;
  for (int i = 0; i < 3; ++i) coroutines.push_back(after((3 - i) * 1s, i));
  auto body = [&]() -> Coroutine<std::vector<int>> {
    co_return co_await gather(std::move(coroutines));
  };

  EXPECT_EQ(run(body()), (std::vector<int>{0, 1, 2}));
}

TEST_P(Gather, OfAnEmptyVectorIsDoneAtOnce) {
  auto body = []() -> Coroutine<> {
    auto none = gather(std::vector<Coroutine<int>>());
    EXPECT_TRUE(none.done());  // WAIT-15
    EXPECT_TRUE(none.result().empty());
    co_return;
  };

  run(body());
}

TEST_P(Gather, MovesMoveOnlyResults) {
  auto make = [](int n) -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(n); };
  auto body = [&]() -> Coroutine<int> {
    auto all = co_await gather(make(1), make(2));
    co_return *std::get<0>(all) + *std::get<1>(all);
  };

  EXPECT_EQ(run(body()), 3);
}

TEST_P(Gather, TheSameTaskTwiceRunsOnceAndCountsTwice) {
  auto task = loop.create_task(after(1s, 7));
  auto body = [&]() -> Coroutine<> {
    auto all = co_await gather(task, task);
    EXPECT_EQ(all, (std::tuple<int, int>(7, 7)));  // WAIT-16
  };

  run(body());

  EXPECT_EQ(task.result(), 7);
}

TEST_P(Gather, OfDoneFuturesIsDoneOnReturn) {
  Future<int> a = loop.create_future<int>();
  Future<int> b = loop.create_future<int>();
  a.set_result(1);
  b.set_result(2);

  auto both = gather(a, b);

  EXPECT_TRUE(both.done());  // WAIT-22
  EXPECT_EQ(both.result(), (std::tuple<int, int>(1, 2)));
}

TEST_P(Gather, RefusesFuturesOfSeveralLoops) {
  testing::SimLoop other;
  Future<int> a = loop.create_future<int>();
  Future<int> b = other.create_future<int>();

  EXPECT_THROW(static_cast<void>(gather(a, b)), ValueError);  // WAIT-23
}

TEST_P(Gather, TheFirstFailureIsThrownAtOnceAndTheOthersRunOn) {
  auto slow = [&]() -> Coroutine<> {
    co_await sleep(5s);
    log += "ended";
  };
  const TimePoint start = loop.time();
  auto body = [&]() -> Coroutine<> { co_await gather(fails_after(1s, "bad"), slow()); };

  EXPECT_THROW(run(body()), std::logic_error);  // WAIT-17, ORD-32
  EXPECT_EQ(loop.time() - start, 1s);
  EXPECT_EQ(log, "");

  loop.advance(5s);
  EXPECT_EQ(log, "ended");
}

TEST_P(Gather, LaterErrorsOfItsChildrenAreNotReported) {
  Reports reports(loop);
  auto body = [&]() -> Coroutine<> {
    auto both = gather(fails_after(1s, "first"), fails_after(2s, "second"));
    try {
      co_await both;
    } catch (const std::logic_error&) {
    }
    co_await sleep(5s);
  };

  run(body());
  loop.run_until_idle();

  EXPECT_TRUE(reports.empty());  // WAIT-17
}

TEST_P(Gather, ACancelledChildIsAFailureAndTheGatherIsNotCancelled) {
  auto child = loop.create_task(after(1h, 1));
  auto other = loop.create_task(after(1s, 2));
  auto both = gather(child, other);
  loop.run_until_idle();

  child.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(both.done());
  EXPECT_FALSE(both.cancelled());  // WAIT-18
  EXPECT_TRUE(is_cancelled_error(both.exception()));
  EXPECT_FALSE(other.done());
  loop.advance(1s);
}

TEST_P(Gather, WithReturnExceptionsGivesOutcomes) {
  auto body = []() -> Coroutine<> {
    auto all = co_await gather(return_exceptions, after(1s, 1), fails_after(2s, "bad"));
    auto& [one, bad] = all;
    EXPECT_EQ(one.value(), 1);  // WAIT-19
    EXPECT_EQ(describe(bad.exception()), "std::logic_error: bad");
  };

  run(body());
}

TEST_P(Gather, WithReturnExceptionsACancelledChildIsAnOutcome) {
  auto child = loop.create_task(after(1h, 1));
  auto other = loop.create_task(after(1s, 2));
  auto both = gather(return_exceptions, child, other);
  loop.run_until_idle();

  child.cancel("gone");
  loop.advance(1s);

  auto all = both.result();
  EXPECT_TRUE(std::get<0>(all).cancelled());  // WAIT-19
  EXPECT_EQ(std::get<1>(all).value(), 2);
}

TEST_P(Gather, WithReturnExceptionsTakesAVector) {
  auto body = []() -> Coroutine<> {
    std::vector<Coroutine<>> coroutines;
    coroutines.push_back(fails_after(1s, "a"));
    coroutines.push_back(fails_after(1s, "b"));
    auto all = co_await gather(return_exceptions, std::move(coroutines));
    EXPECT_EQ(describe(all[1].exception()), "std::logic_error: b");
  };

  run(body());
}

TEST_P(Gather, CancelGoesToAllChildrenAndEndsWhenTheyHave) {
  auto a = loop.create_task(after(1h, 1));
  auto b = loop.create_task(after(2h, 2));
  auto both = gather(a, b);
  loop.run_until_idle();

  EXPECT_TRUE(both.cancel("why"));  // WAIT-20
  EXPECT_FALSE(both.done());
  loop.run_until_idle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_TRUE(b.cancelled());
  EXPECT_TRUE(both.done());
  EXPECT_THROW(static_cast<void>(both.result()), CancelledError);
}

TEST_P(Gather, CancelWithReturnExceptionsIsACancelledErrorToo) {
  auto a = loop.create_task(after(1h, 1));
  auto b = loop.create_task(after(0s, 2));
  auto both = gather(return_exceptions, a, b);
  loop.run_until_idle();

  both.cancel();
  loop.run_until_idle();

  EXPECT_THROW(static_cast<void>(both.result()), CancelledError);  // WAIT-20
}

TEST_P(Gather, CancelOfADoneOneIsFalseAndLeavesTheChildrenAlone) {
  auto slow = loop.create_task(after(1h, 1));
  auto both = gather(loop.create_task(fails_after(0s, "bad")), slow);
  loop.run_until_idle();
  ASSERT_TRUE(both.done());

  EXPECT_FALSE(both.cancel());  // WAIT-21

  EXPECT_EQ(slow.cancelling(), 0);
  EXPECT_NE(both.exception(), nullptr);
  slow.cancel();
  loop.run_until_idle();
}

TEST_P(Gather, AChildThatSwallowsTheCancellationStillLetsItEndCancelled) {
  auto stubborn = [&]() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 1;
  };
  auto both = gather(loop.create_task(stubborn()), loop.create_task(after(1h, 2)));
  loop.run_until_idle();

  both.cancel();
  loop.run_until_idle();

  EXPECT_THROW(static_cast<void>(both.result()), CancelledError);  // WAIT-20
}

TEST_P(Gather, DroppedWhileItsChildrenRunLeavesThemRunning) {
  auto slow = [&]() -> Coroutine<> {
    co_await sleep(1s);
    log += "ended";
  };
  {
    static_cast<void>(gather(loop.create_task(slow()), loop.create_task(slow())));
  }

  loop.advance(1s);

  EXPECT_EQ(log, "endedended");
}

TEST_P(Gather, IsDestroyedWithItsLoop) {
  Reports reports(loop);
  auto both = gather(loop.create_task(after(1h, 1)), loop.create_future<int>());
  loop.run_until_idle();

  loop.close();

  EXPECT_FALSE(both.done());
}

TEST_P(Gather, TasksStartInTheOrderOfTheArguments) {
  auto note = [&](char name) -> Coroutine<> {
    log += name;
    co_return;
  };
  auto body = [&]() -> Coroutine<> { co_await gather(note('a'), note('b'), note('c')); };

  run(body());

  EXPECT_EQ(log, "abc");
}

TEST_P(Gather, TakesForeignAwaitables) {
  struct Ready {
    Ready() = default;
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    int await_resume() const { return 4; }
  };
  auto body = []() -> Coroutine<int> {
    auto all = co_await gather(Ready(), after(1s, 1));  // CORO-7
    co_return std::get<0>(all);
  };

  EXPECT_EQ(run(body()), 4);
}

}  // namespace
}  // namespace aster
