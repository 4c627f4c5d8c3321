// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/error.hpp>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

class BarrierTest : public SyncTest {
 protected:
  // Waits; notes its name and number, or x when the barrier is broken.
  Coroutine<> pass(std::string name) {
    try {
      const auto number = co_await barrier.wait();
      log += name + std::to_string(number) + " ";
    } catch (const BrokenBarrierError&) {
      log += name + "x ";
    }
  }

  Barrier barrier{3};
};

TEST_F(BarrierTest, NeedsAtLeastOneTask) {  // SYN-20
  EXPECT_EQ(error_of([] { Barrier bad(0); }), "aster::ValueError: parties must be >= 1");
  EXPECT_EQ(Barrier(4).parties(), 4);
}

TEST_F(BarrierTest, LetsAllGoWhenTheLastOneComesAndNumbersThem) {  // SYN-21
  start(pass("a"));
  start(pass("b"));
  settle();
  EXPECT_EQ(log, "");
  EXPECT_EQ(barrier.n_waiting(), 2);

  start(pass("c"));
  settle();

  EXPECT_EQ(log, "c2 a0 b1 ");
  EXPECT_EQ(barrier.n_waiting(), 0);
}

TEST_F(BarrierTest, WorksAgainAndAgain) {  // SYN-21
  int rounds = 0;
  auto work = [&]() -> Coroutine<> {
    for (int i = 0; i < 100; ++i) {
      const auto number = co_await barrier.wait();
      rounds += number == 0 ? 1 : 0;
    }
  };
  for (int i = 0; i < 3; ++i) start(work);
  settle();

  EXPECT_EQ(rounds, 100);
}

TEST_F(BarrierTest, WhoComesWhileAFullRoundLeavesWaitsForTheNextOne) {  // SYN-22
  for (const char* name : {"a", "b", "c", "d"}) start(pass(name));
  settle();

  EXPECT_EQ(log, "c2 a0 b1 ");
  EXPECT_EQ(barrier.n_waiting(), 1);
  start(pass("e"));
  start(pass("f"));
  settle();
  EXPECT_EQ(log, "c2 a0 b1 f2 d0 e1 ");
}

TEST_F(BarrierTest, OfOneTaskNeverWaits) {
  Barrier alone(1);
  auto body = [&]() -> Coroutine<> {
    for (int i = 0; i < 3; ++i) log += std::to_string(co_await alone.wait());
  };
  step(body);

  EXPECT_EQ(log, "000");
}

TEST_F(BarrierTest, AResetBreaksTheRoundButNotTheBarrier) {  // SYN-23
  start(pass("a"));
  start(pass("b"));
  settle();

  start(barrier.reset());
  start(pass("c"));  // Waits until those have left.
  settle();

  EXPECT_EQ(log, "ax bx ");
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 1);
  start(pass("d"));
  start(pass("e"));
  settle();
  EXPECT_EQ(log, "ax bx e2 c0 d1 ");
}

TEST_F(BarrierTest, AnAbortBreaksItUntilItIsReset) {  // SYN-24, EX-7
  start(pass("a"));
  settle();

  start(barrier.abort());
  start(pass("b"));
  settle();
  EXPECT_EQ(log, "bx ax ");
  EXPECT_TRUE(barrier.broken());
  EXPECT_EQ(barrier.n_waiting(), 0);

  start(barrier.reset());
  for (const char* name : {"c", "d", "e"}) start(pass(name));
  settle();
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(log, "bx ax e2 c0 d1 ");
}

TEST_F(BarrierTest, AnAbortAndAResetDoNotSuspend) {  // SYN-23, SYN-24
  auto body = [this]() -> Coroutine<> {
    co_await barrier.abort();
    log += barrier.broken() ? "broken " : "";
    co_await barrier.reset();
    log += barrier.broken() ? "" : "whole";
  };
  step(body);

  EXPECT_EQ(log, "broken whole");
}

TEST_F(BarrierTest, ACancelledTaskIsCountedNoMoreAndTheNumbersStayDistinct) {  // SYN-21, SYN-25
  auto a = start(pass("a"));
  start(pass("b"));
  settle();

  a.cancel();
  settle();
  EXPECT_EQ(barrier.n_waiting(), 1);
  EXPECT_FALSE(barrier.broken());
  start(pass("c"));
  start(pass("d"));
  settle();

  EXPECT_EQ(log, "d2 b0 c1 ");
}

TEST_F(BarrierTest, ATaskCancelledAfterTheBarrierOpenedLeavesItForTheNextRound) {  // SYN-25
  auto a = start(pass("a"));
  start(pass("b"));
  settle();
  start(pass("c"));
  loop.run_once();

  a.cancel();
  settle();

  EXPECT_EQ(log, "c2 b1 ");
  for (const char* name : {"d", "e", "f"}) start(pass(name));
  settle();
  EXPECT_EQ(log, "c2 b1 f2 d0 e1 ");
}

TEST_F(BarrierTest, TellsItsState) {  // SYN-26, SYN-28
  EXPECT_EQ(barrier.parties(), 3);
  EXPECT_EQ(barrier.n_waiting(), 0);
  EXPECT_FALSE(barrier.broken());
  EXPECT_EQ(to_string(barrier), "<Barrier [filling, waiters:0/3]>");
  start(pass("a"));
  settle();
  EXPECT_EQ(to_string(barrier), "<Barrier [filling, waiters:1/3]>");
  start(barrier.abort());
  settle();
  EXPECT_EQ(to_string(barrier), "<Barrier [broken]>");
}

TEST_F(BarrierTest, WithWaitsAndGivesTheNumber) {  // SYN-27
  auto body = [this](std::ptrdiff_t number) -> Coroutine<> {
    log += std::to_string(number);
    co_return;
  };
  for (int i = 0; i < 3; ++i) start(with(barrier, body));
  settle();

  EXPECT_EQ(log, "201");
}

TEST_F(BarrierTest, AClosedLoopLeavesItAlone) {
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  auto owner = [this]() -> Coroutine<> {
    Barrier inner(2);
    auto waiting = [&inner]() -> Coroutine<> { co_await inner.wait(); };
    start(waiting);
    co_await loop.create_future<>();
  };
  start(owner);
  settle();

  loop.close();
}

}  // namespace
}  // namespace aster
