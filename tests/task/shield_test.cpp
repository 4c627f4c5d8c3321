// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/shield.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/line.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;

Coroutine<int> after(Duration time, int value) {
  co_await sleep(time);
  co_return value;
}
Coroutine<> fails_after(Duration time) {
  co_await sleep(time);
  throw std::logic_error("late");
}

struct Shield : support::DriverTest {
  Reports reports{loop};
};

ASTER_BOTH_DRIVERS(Shield);

TEST_P(Shield, GivesTheInnerResult) {
  auto body = []() -> Coroutine<int> { co_return co_await shield(after(1s, 3)); };

  EXPECT_EQ(run(body()), 3);
}

TEST_P(Shield, GivesTheInnerError) {
  auto body = []() -> Coroutine<> { co_await shield(fails_after(1s)); };

  EXPECT_THROW(run(body()), std::logic_error);
  loop.run_until_idle();
  EXPECT_TRUE(reports.empty());
}

TEST_P(Shield, OfADoneFutureIsThatFuture) {
  Future<int> f = loop.create_future<int>();
  f.set_result(1);

  EXPECT_EQ(shield(f), f);  // WAIT-24
}

TEST_P(Shield, OfAPendingFutureIsAnother) {
  Future<int> f = loop.create_future<int>();

  Future<int> outer = shield(f);
  EXPECT_FALSE(outer == f);  // WAIT-24

  f.set_result(2);
  loop.run_until_idle();
  EXPECT_EQ(outer.result(), 2);
}

TEST_P(Shield, CancellingTheOuterLeavesTheInnerRunning) {
  auto inner = loop.create_task(after(1s, 3));
  auto outer = shield(inner);
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancel());
  EXPECT_TRUE(outer.cancelled());
  loop.advance(1s);

  EXPECT_EQ(inner.result(), 3);  // WAIT-25, ORD-33
}

TEST_P(Shield, AnErrorOfTheInnerAfterThatIsReported) {
  auto outer = shield(loop.create_task(fails_after(1s)));
  loop.run_until_idle();
  outer.cancel();

  loop.advance(1s);

  ASSERT_EQ(reports.messages.size(), 1U);  // WAIT-25
  EXPECT_NE(reports.messages[0].find("exception in shielded future"), std::string::npos);  // ERR-26
  EXPECT_EQ(reports.errors[0], "std::logic_error: late");
}

TEST_P(Shield, AnErrorOfAnInnerFutureAfterThatIsReported) {
  Future<> inner = loop.create_future<>();
  {
    auto outer = shield(inner);
    outer.cancel();
  }

  inner.set_exception(std::logic_error("late"));
  loop.run_until_idle();

  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_NE(reports.messages[0].find("exception in shielded future"), std::string::npos);
}

TEST_P(Shield, ACancelledInnerCancelsTheOuter) {
  auto inner = loop.create_task(after(1h, 1));
  auto outer = shield(inner);
  loop.run_until_idle();

  inner.cancel("inner");
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancelled());  // WAIT-26
}

TEST_P(Shield, HoldsTheInnerTask) {
  bool ended = false;
  auto inner = [&]() -> Coroutine<> {
    co_await sleep(1s);
    ended = true;
  };
  {
    shield(loop.create_task(inner())).cancel();
  }

  loop.advance(1s);

  EXPECT_TRUE(ended);  // WAIT-27
}

TEST_P(Shield, MovesAMoveOnlyResult) {
  auto make = []() -> Coroutine<std::unique_ptr<int>> {
    co_await sleep(1s);
    co_return std::make_unique<int>(4);
  };
  auto body = [&]() -> Coroutine<int> {
    std::unique_ptr<int> p = co_await shield(make());
    co_return *p;
  };

  EXPECT_EQ(run(body()), 4);
}

TEST_P(Shield, OfAFutureThatNobodyCompletesIsFreed) {
  auto f = loop.create_future<std::shared_ptr<int>>();
  auto outer = shield(f);
  // The leak checker says whether both go with their last handles.
}

TEST_P(Shield, IsDestroyedWithItsLoop) {
  auto outer = shield(loop.create_task(after(1h, 1)));
  loop.run_until_idle();

  loop.close();

  EXPECT_FALSE(outer.done());
}

TEST_F(Shield, FailsWhenTheValueCannotBeCopied) {
  struct Rare {
    Rare() = default;
    Rare(const Rare&) { throw std::logic_error("only one"); }
    Rare(Rare&&) noexcept = default;
    Rare& operator=(const Rare&) = delete;
  };
  auto f = loop.create_future<Rare>();
  auto outer = shield(f);
  f.set_result(Rare());

  loop.run_until_idle();

  ASSERT_TRUE(outer.done());
  EXPECT_EQ(describe(outer.exception()), "std::logic_error: only one");
}

}  // namespace
}  // namespace aster
