// SPDX-License-Identifier: MIT
//
// The ordering scenarios, ORD-*, that need no I/O: each is a small program whose
// events must come in asyncio's order. The expected orders were taken from CPython.
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

struct Order : ::testing::Test {
  testing::SimLoop loop;
  std::string log;

  void note(const std::string& text) { log += text + " "; }
  auto notes(std::string text) {
    return [this, text] { note(text); };
  }
  // One turn, and what it logged.
  std::string turn() {
    log.clear();
    loop.run_once();
    return log;
  }
};

TEST_F(Order, CallbacksRunFirstInFirstOut) {
  loop.call_soon(notes("a"));
  loop.call_soon(notes("b"));
  loop.call_soon(notes("c"));

  EXPECT_EQ(turn(), "a b c ");  // ORD-1, LOOP-1
}

TEST_F(Order, WhatACallbackPostsRunsInTheNextTurn) {
  loop.call_soon([this] {
    note("a");
    loop.call_soon(notes("d"));
  });
  loop.call_soon(notes("b"));
  loop.call_soon(notes("c"));

  EXPECT_EQ(turn(), "a b c ");  // ORD-2, LOOP-2
  EXPECT_EQ(turn(), "d ");
}

TEST_F(Order, ATimerThatIsDueComesAfterWhatIsReady) {
  loop.call_later(0s, notes("t"));
  loop.call_soon(notes("a"));

  EXPECT_EQ(turn(), "a t ");  // ORD-3, LOOP-3
}

TEST_F(Order, ANegativeDelayIsDueNow) {
  loop.call_soon(notes("a"));
  loop.call_later(-1s, notes("t"));
  loop.call_soon(notes("b"));

  EXPECT_EQ(turn(), "a b t ");  // ORD-4
}

TEST_F(Order, DoneCallbacksTakeTheirPlaceInTheQueue) {
  Future<> f = loop.create_future<>();
  for (const char* name : {"c1", "c2", "c3"}) {
    f.add_done_callback([this, name](Future<>) { note(name); });
  }
  f.set_result();
  loop.call_soon(notes("x"));

  EXPECT_EQ(turn(), "c1 c2 c3 x ");  // ORD-6
}

TEST_F(Order, SetResultRunsNothingInside) {
  Future<> f = loop.create_future<>();
  f.add_done_callback([this](Future<>) { note("callback"); });
  loop.call_soon([&] {
    f.set_result();
    note("after");
  });

  EXPECT_EQ(turn(), "after ");  // ORD-7
  EXPECT_EQ(turn(), "callback ");
}

TEST_F(Order, TasksThatYieldTakeTurns) {
  auto body = [this](std::string name) -> Coroutine<> {
    for (int i = 1; i <= 3; ++i) {
      note(name + std::to_string(i));
      if (i < 3) co_await sleep(0s);
    }
  };
  auto a = loop.create_task(body("A"));
  auto b = loop.create_task(body("B"));

  EXPECT_EQ(turn(), "A1 B1 ");  // ORD-9
  EXPECT_EQ(turn(), "A2 B2 ");
  EXPECT_EQ(turn(), "A3 B3 ");
  EXPECT_TRUE(a.done() && b.done());
}

TEST_F(Order, AnInlineAwaitComesBeforeATaskMadeEarlier) {
  auto says = [this](const char* name) -> Coroutine<> {
    note(name);
    co_return;
  };
  auto body = [&]() -> Coroutine<> {
    auto a = create_task(says("A"));
    co_await says("B");
    co_await a;
  };

  loop.run_until_complete(body());

  EXPECT_EQ(log, "B A ");  // ORD-10
}

TEST_F(Order, AYieldLetsANewTaskTakeItsFirstStep) {
  auto body = [this]() -> Coroutine<> {
    auto a = create_task([this]() -> Coroutine<> {
      note("A");
      co_return;
    });
    co_await sleep(0s);
    note("creator");
  };

  loop.run_until_complete(body());

  EXPECT_EQ(log, "A creator ");  // ORD-11
}

TEST_F(Order, AWaiterResumesOneTurnAfterSetResult) {
  Future<> f = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    co_await f;
    note("resumed");
  };
  auto task = loop.create_task(body());
  turn();
  loop.call_soon([&] {
    f.set_result();
    note("set");
  });

  EXPECT_EQ(turn(), "set ");  // ORD-13, TASK-10
  EXPECT_EQ(turn(), "resumed ");
}

TEST_F(Order, TheAwaiterOfATaskResumesOneTurnAfterItsEnd) {
  auto inner = [this]() -> Coroutine<> {
    note("end");
    co_return;
  };
  auto task = loop.create_task(inner());
  auto outer = [&]() -> Coroutine<> {
    co_await task;
    note("awaiter");
  };
  // The awaiter starts first, so that it waits when the other ends.
  auto waiting = loop.create_task(outer());
  EXPECT_EQ(turn(), "end awaiter ");  // It was done already when awaited.

  auto other = loop.create_task([this]() -> Coroutine<> {
    co_await sleep(0s);
    note("end");
  });
  auto body = [&]() -> Coroutine<> {
    co_await other;
    note("awaiter");
  };
  auto waits = loop.create_task(body());
  turn();
  EXPECT_EQ(turn(), "end ");  // ORD-14
  EXPECT_EQ(turn(), "awaiter ");
}

TEST_F(Order, AChainOfTasksUnwindsOneLinkATurn) {
  Future<> f = loop.create_future<>();
  auto first = [&]() -> Coroutine<> {
    co_await f;
    note("1");
  };
  auto link = [this](Task<> previous, const char* name) -> Coroutine<> {
    co_await previous;
    note(name);
  };
  auto one = loop.create_task(first());
  auto two = loop.create_task(link(one, "2"));
  auto three = loop.create_task(link(two, "3"));
  turn();
  f.set_result();

  EXPECT_EQ(turn(), "1 ");  // ORD-15
  EXPECT_EQ(turn(), "2 ");
  EXPECT_EQ(turn(), "3 ");
}

TEST_F(Order, AChainOfInlineCoroutinesTakesNoFurtherTurn) {
  Future<> f = loop.create_future<>();
  auto c = [&]() -> Coroutine<> {
    co_await f;
    note("c");
  };
  auto b = [&]() -> Coroutine<> {
    co_await c();
    note("b");
  };
  auto a = [&]() -> Coroutine<> {
    co_await b();
    note("a");
  };
  auto task = loop.create_task(a());
  turn();
  f.set_result();

  EXPECT_EQ(turn(), "c b a ");  // ORD-16
}

TEST_F(Order, StopLetsTheBatchFinishAndKeepsWhatItPosts) {
  loop.call_soon(notes("a"));
  loop.call_soon([this] {
    note("b");
    loop.stop();
  });
  loop.call_soon([this] {
    note("c");
    loop.call_soon(notes("posted"));
  });

  loop.run_forever();
  EXPECT_EQ(log, "a b c ");  // ORD-17, ACC-13

  EXPECT_EQ(turn(), "posted ");
}

TEST_F(Order, RunUntilCompleteEndsAfterTheTurnOfItsStopCallback) {
  Future<> f = loop.create_future<>();
  loop.call_soon([&] {
    note("a");
    f.set_result();
    loop.call_soon(notes("p"));
  });
  loop.call_soon([&] {
    note("b");
    loop.call_soon(notes("q"));
  });

  loop.run_until_complete(f);

  EXPECT_EQ(log, "a b p q ");  // ORD-18
}

TEST_F(Order, ACancelledSleepIsSeenTwoCallbacksLater) {
  auto body = [this]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      note("cancelled");
    }
  };
  auto task = loop.create_task(body());
  turn();
  loop.call_soon([&] {
    task.cancel();
    note("cancel");
    loop.call_soon(notes("x"));
  });

  EXPECT_EQ(turn(), "cancel ");  // ORD-19
  EXPECT_EQ(turn(), "cancelled x ");
}

TEST_F(Order, ACancellationWinsOverAResultOfTheSameBatch) {
  Future<> f = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    try {
      co_await f;
      note("result");
    } catch (const CancelledError&) {
      note("cancelled");
    }
  };
  auto task = loop.create_task(body());
  turn();
  loop.call_soon([&] { f.set_result(); });
  loop.call_soon([&] { task.cancel(); });

  turn();

  EXPECT_EQ(turn(), "cancelled ");  // ORD-20
}

TEST_F(Order, ATimeoutOfZeroLetsTheBodyStart) {
  auto body = [this](Timeout&) -> Coroutine<> {
    note("start");
    co_await sleep(0s);
    note("after the yield");
    co_await sleep(0s);
    note("never");
  };
  auto task = loop.create_task(with(timeout_at(loop.time()), body));

  loop.run_until_idle();

  // The body runs until its first suspension; the step of a bare yield is queued
  // already when the expiry runs, but must throw.
  EXPECT_EQ(log, "start ");  // ORD-34, TMO-3
  EXPECT_THROW(task.result(), TimeoutError);
}

TEST_F(Order, WaitForOfZeroNeverStartsTheBody) {
  auto never = [this]() -> Coroutine<> {
    note("never");
    co_return;
  };

  EXPECT_THROW(loop.run_until_complete(wait_for(never(), 0s)), TimeoutError);

  EXPECT_EQ(log, "");  // ORD-35, WAIT-9
}

TEST_F(Order, ThreadsafeCallsOfOneThreadKeepTheirOrder) {
  loop.call_soon_threadsafe(notes("x1"));
  loop.call_soon_threadsafe(notes("x2"));

  EXPECT_EQ(turn(), "x1 x2 ");  // ORD-37
}

TEST_F(Order, ThreadsafeAndPlainCallsOfTheLoopsThreadKeepTheirOrder) {
  loop.call_soon([this] {
    loop.call_soon(notes("1"));
    loop.call_soon_threadsafe(notes("2"));
    loop.call_soon(notes("3"));
    loop.call_soon_threadsafe(notes("4"));
  });
  turn();

  EXPECT_EQ(turn(), "1 2 3 4 ");  // LOOP-13
}

TEST_F(Order, AnExceptionGoesToTheHandlerBeforeTheNextCallback) {
  loop.set_exception_handler([this](EventLoop&, const ExceptionContext&) { note("handler"); });
  loop.call_soon(notes("a"));
  loop.call_soon([] { throw std::logic_error("b"); });
  loop.call_soon(notes("c"));

  EXPECT_EQ(turn(), "a handler c ");  // ORD-38, HND-3
}

TEST_F(Order, ABaseErrorLeavesTheRestOfTheBatchQueued) {
  loop.call_soon(notes("a"));
  loop.call_soon([] { throw KeyboardInterrupt(); });
  loop.call_soon([this] {
    note("c");
    loop.stop();
  });

  EXPECT_THROW(loop.run_forever(), KeyboardInterrupt);  // ORD-39, HND-4
  EXPECT_EQ(log, "a ");

  loop.run_forever();
  EXPECT_EQ(log, "a c ");
}

TEST_F(Order, WhatIsQueuedDuringABatchThatABaseErrorEndsComesAfterItsRest) {
  loop.call_soon([this] { loop.call_soon(notes("later")); });
  loop.call_soon([] { throw KeyboardInterrupt(); });
  loop.call_soon(notes("rest"));
  EXPECT_THROW(loop.run_once(), KeyboardInterrupt);

  EXPECT_EQ(turn(), "rest later ");
}

TEST_F(Order, OverdueTimersRunByDeadline) {
  loop.call_later(2s, notes("2"));
  loop.call_later(1s, notes("1"));
  loop.sim().advance(5s);

  EXPECT_EQ(turn(), "1 2 ");  // ORD-40
}

TEST_F(Order, TimersOfOneDeadlineRunInTheOrderOfTheCalls) {
  const TimePoint when = loop.time() + 1s;
  for (const char* name : {"a", "b", "c", "d"}) loop.call_at(when, notes(name));

  loop.advance(1s);

  EXPECT_EQ(log, "a b c d ");  // LOOP-5
}

TEST_F(Order, ATimerCancelledByAnEarlierCallbackOfItsBatchDoesNotRun) {
  const TimePoint when = loop.time() + 1s;
  TimerHandle second;
  loop.call_at(when, [&] {
    note("first");
    second.cancel();
  });
  second = loop.call_at(when, notes("second"));

  loop.advance(1s);

  EXPECT_EQ(log, "first ");  // ORD-41
}

TEST_F(Order, AsCompletedFollowsTheOrderOfTheEnds) {
  auto after = [](int seconds, int value) -> Coroutine<int> {
    co_await sleep(seconds * 1s);
    co_return value;
  };
  std::vector<Task<int>> tasks{loop.create_task(after(2, 1)), loop.create_task(after(3, 2)),
                               loop.create_task(after(1, 3))};
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks);
    while (auto task = co_await each.next()) note(std::to_string(task->result()));
  };

  loop.run_until_complete(body());

  EXPECT_EQ(log, "3 1 2 ");  // ORD-44
}

TEST_F(Order, ASleeperGoesOnOneTurnAfterItsTimerRan) {
  auto body = [this]() -> Coroutine<> {
    co_await sleep(1s);
    note("slept");
  };
  auto task = loop.create_task(body());
  turn();
  loop.call_later(1s, notes("timer"));
  loop.sim().advance(1s);

  EXPECT_EQ(turn(), "timer ");
  EXPECT_EQ(turn(), "slept ");
}

}  // namespace
}  // namespace aster
