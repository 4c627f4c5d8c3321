// SPDX-License-Identifier: MIT
#include <aster/coro/outcome.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace aster {
namespace {

using namespace std::chrono_literals;

Coroutine<int> gives(int n) { co_return n; }
Coroutine<> fails(std::string text) {
  throw std::logic_error(text);
  co_return;
}

struct OutcomeTest : ::testing::Test {
  testing::SimLoop loop;
};
using Finally = OutcomeTest;

TEST_F(OutcomeTest, HoldsAValue) {
  auto body = []() -> Coroutine<> {
    Outcome<int> o = co_await outcome(gives(4));
    EXPECT_TRUE(o.has_value());
    EXPECT_TRUE(o);
    EXPECT_EQ(o.value(), 4);
    EXPECT_EQ(o.exception(), nullptr);
    EXPECT_FALSE(o.cancelled());
  };

  loop.run_until_complete(body());
}

TEST_F(OutcomeTest, HoldsAnExceptionAndValueThrowsIt) {
  auto body = []() -> Coroutine<> {
    Outcome<> o = co_await outcome(fails("bad"));
    EXPECT_FALSE(o.has_value());
    EXPECT_EQ(describe(o.exception()), "std::logic_error: bad");
    EXPECT_THROW(o.value(), std::logic_error);
  };

  loop.run_until_complete(body());
}

TEST_F(OutcomeTest, HoldsACancellationOfTheAwaitingTask) {
  bool cancelled = false;
  auto body = [&]() -> Coroutine<> {
    Outcome<> o = co_await outcome(sleep(1h));
    cancelled = o.cancelled();
    o.value();
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(task.cancelled());
}

TEST_F(OutcomeTest, MovesAMoveOnlyValueOut) {
  auto make = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  auto body = [&]() -> Coroutine<int> {
    Outcome<std::unique_ptr<int>> o = co_await outcome(make());
    std::unique_ptr<int> p = std::move(o).value();
    co_return *p;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 3);
}

TEST_F(OutcomeTest, HoldsAReference) {
  int value = 1;
  auto make = [&]() -> Coroutine<int&> { co_return value; };
  auto body = [&]() -> Coroutine<> {
    Outcome<int&> o = co_await outcome(make());
    o.value() = 8;
  };

  loop.run_until_complete(body());

  EXPECT_EQ(value, 8);
}

TEST_F(OutcomeTest, AwaitsANamedFutureTooWithoutUsingItUp) {
  Future<int> future = loop.create_future<int>();
  future.set_result(5);
  auto body = [&]() -> Coroutine<> {
    Outcome<int> o = co_await outcome(future);
    EXPECT_EQ(o.value(), 5);
  };

  loop.run_until_complete(body());

  EXPECT_EQ(future.result(), 5);
}

TEST_F(Finally, RunsTheCleanupAfterTheBodyAndGivesItsResult) {
  std::string log;
  auto note = [&](std::string text) -> Coroutine<> {
    co_await sleep(1s);
    log += text;
  };
  auto work = [&]() -> Coroutine<int> {
    co_await note("body ");
    co_return 3;
  };
  auto body = [&]() -> Coroutine<int> { co_return co_await finally(work(), note("cleanup")); };

  EXPECT_EQ(loop.run_until_complete(body()), 3);

  EXPECT_EQ(log, "body cleanup");
}

TEST_F(Finally, RunsTheCleanupAfterAnErrorAndThrowsThat) {
  bool cleaned = false;
  auto cleanup = [&]() -> Coroutine<> {
    cleaned = true;
    co_return;
  };

  EXPECT_THROW(loop.run_until_complete(finally(fails("body"), cleanup)), std::logic_error);

  EXPECT_TRUE(cleaned);
}

TEST_F(Finally, ThrowsTheCleanupsErrorWhenTheBodyHadNone) {
  auto body = [&]() -> Coroutine<> { co_await finally(gives(1), fails("cleanup")); };

  EXPECT_THROW(loop.run_until_complete(body()), std::logic_error);
}

TEST_F(Finally, KeepsTheFirstError) {
  auto body = [&]() -> Coroutine<std::string> {
    try {
      co_await finally(fails("first"), fails("second"));
    } catch (const std::logic_error& error) {
      co_return error.what();
    }
    co_return "none";
  };

  EXPECT_EQ(loop.run_until_complete(body()), "first");
}

TEST_F(Finally, RunsTheCleanupWhenTheTaskIsCancelled) {
  std::string log;
  auto cleanup = [&]() -> Coroutine<> {
    co_await sleep(1s);
    log += "cleaned";
  };
  auto body = [&]() -> Coroutine<> { co_await finally(sleep(1h), cleanup); };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.advance(1s);

  EXPECT_EQ(log, "cleaned");
  EXPECT_TRUE(task.cancelled());
}

TEST_F(Finally, RunsTheCleanupWhenTheBodyCouldNotBeMade) {
  bool cleaned = false;
  auto make = [&]() -> Coroutine<> { throw std::logic_error("not even begun"); };
  auto cleanup = [&]() -> Coroutine<> {
    cleaned = true;
    co_return;
  };

  EXPECT_THROW(loop.run_until_complete(finally(make, cleanup)), std::logic_error);

  EXPECT_TRUE(cleaned);
}

}  // namespace
}  // namespace aster
