// SPDX-License-Identifier: MIT
//
// The rules of cancellation, TASK-18 to TASK-28, and the matrix of what is awaited.
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;

struct Cancel : ::testing::Test {
  testing::SimLoop loop;
  std::string log;

  // Awaits `future` and notes how that ended.
  template <class A>
  Coroutine<> awaits(A future) {
    try {
      co_await future;
      log += "result ";
    } catch (const CancelledError& error) {
      log += "cancelled(" + std::string(error.message()) + ") ";
      throw;
    }
  }
};

TEST_F(Cancel, OfADoneTaskIsFalseAndDoesNothing) {
  auto body = []() -> Coroutine<int> { co_return 1; };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  EXPECT_FALSE(task.cancel());  // TASK-18

  EXPECT_EQ(task.cancelling(), 0);
  EXPECT_EQ(task.result(), 1);
}

TEST_F(Cancel, OfAWaitingTaskGoesToTheFutureAndArrivesWithItsCallback) {
  Future<> f = loop.create_future<>();
  auto task = loop.create_task(awaits(f));
  loop.run_until_idle();

  EXPECT_TRUE(task.cancel("why"));  // TASK-19
  EXPECT_TRUE(f.cancelled());
  EXPECT_FALSE(task.done());
  EXPECT_EQ(log, "");

  loop.run_once();
  EXPECT_EQ(log, "cancelled(why) ");  // TASK-28, CAN-1
  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, AfterTheFutureIsDoneWinsOverItsResult) {
  Future<int> f = loop.create_future<int>();
  auto task = loop.create_task(awaits(f));
  loop.run_until_idle();
  f.set_result(1);

  EXPECT_TRUE(task.cancel("late"));  // TASK-20, ORD-20
  loop.run_until_idle();

  EXPECT_EQ(log, "cancelled(late) ");
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(f.result(), 1);
}

TEST_F(Cancel, BeforeTheFirstStepTheBodyNeverRuns) {
  auto shared = std::make_shared<int>(0);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> {
    ADD_FAILURE();
    co_return;
  };
  auto task = loop.create_task(body(shared));

  EXPECT_TRUE(task.cancel("early"));
  EXPECT_FALSE(task.done());
  loop.run_once();

  EXPECT_TRUE(task.cancelled());  // TASK-21
  EXPECT_EQ(shared.use_count(), 1);
  try {
    task.result();
    FAIL();
  } catch (const CancelledError& error) {
    EXPECT_EQ(error.message(), "early");
  }
}

TEST_F(Cancel, BeforeTheFirstStepDestroysTheCallableToo) {
  auto shared = std::make_shared<int>(0);
  auto task = loop.create_task([shared]() -> Coroutine<> { co_return; });

  task.cancel();
  loop.run_once();

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(Cancel, OfItselfArrivesAtTheNextSuspension) {
  Task<> self;
  Future<> f = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    self.cancel("me");
    log += "on ";
    co_await awaits(f);
  };
  self = loop.create_task(body());

  loop.run_once();
  EXPECT_EQ(log, "on ");
  EXPECT_TRUE(f.cancelled());  // TASK-22

  loop.run_once();
  EXPECT_EQ(log, "on cancelled(me) ");
  EXPECT_TRUE(self.cancelled());
}

TEST_F(Cancel, OfItselfPassesAwaitsThatDoNotSuspend) {
  Task<> self;
  Future<int> done = loop.create_future<int>();
  done.set_result(1);
  auto inner = []() -> Coroutine<int> { co_return 2; };
  auto body = [&]() -> Coroutine<> {
    self.cancel();
    int sum = co_await done;
    sum += co_await inner();
    log += std::to_string(sum);
    co_await sleep(0s);
    log += "never";
  };
  self = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_EQ(log, "3");  // TASK-22
  EXPECT_TRUE(self.cancelled());
}

TEST_F(Cancel, OfItselfThenReturningEndsCancelled) {
  Task<int> self;
  auto body = [&]() -> Coroutine<int> {
    self.cancel("me");
    co_return 5;
  };
  self = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_TRUE(self.cancelled());  // TASK-23
}

TEST_F(Cancel, OfItselfThenThrowingEndsWithTheError) {
  Task<int> self;
  auto body = [&]() -> Coroutine<int> {
    self.cancel();
    throw std::logic_error("e");
    co_return 5;
  };
  self = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_FALSE(self.cancelled());
  EXPECT_THROW(static_cast<void>(self.result()), std::logic_error);
}

TEST_F(Cancel, IsARequestThatTheTaskMaySuppress) {
  auto body = [&]() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "caught ";
    }
    co_return 3;
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  EXPECT_FALSE(task.cancelled());
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 3);  // TASK-24
  EXPECT_EQ(task.cancelling(), 1);
}

TEST_F(Cancel, MayBeDelayedByCleanup) {
  auto body = [&]() -> Coroutine<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await sleep(1s);
    log += "cleaned";
    if (cancelled) throw CancelledError();
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();
  EXPECT_FALSE(task.done());  // TASK-24

  loop.advance(1s);
  EXPECT_EQ(log, "cleaned");
  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, CountsEachRequest) {
  Future<> f = loop.create_future<>();
  auto task = loop.create_task(awaits(f));
  loop.run_until_idle();

  EXPECT_TRUE(task.cancel());
  EXPECT_TRUE(task.cancel());

  EXPECT_EQ(task.cancelling(), 2);  // TASK-25, TASK-26
}

TEST_F(Cancel, EachRequestGoesToWhatIsWaitedForThen) {
  Future<> first = loop.create_future<>();
  Future<> second = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    try {
      co_await first;
    } catch (const CancelledError&) {
    }
    co_await second;
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  task.cancel();
  loop.run_until_idle();
  EXPECT_FALSE(second.done());

  task.cancel();  // TASK-25
  EXPECT_TRUE(second.cancelled());
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, TwiceBeforeTheStepIsDeliveredOnce) {
  Future<> f = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    try {
      co_await f;
    } catch (const CancelledError& error) {
      log += std::string(error.message()) + " ";
    }
    co_await sleep(0s);
    log += "went on";
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel("one");
  task.cancel("two");
  loop.run_until_idle();

  // As CPython: what cancelled the future is what the awaiter sees.
  EXPECT_EQ(log, "one went on");
  EXPECT_EQ(task.cancelling(), 2);
}

TEST_F(Cancel, UncancelNeverGoesBelowZero) {
  auto task = loop.create_task(awaits(loop.create_future<>()));

  EXPECT_EQ(task.uncancel(), 0);  // TASK-27
  task.cancel();
  task.cancel();
  EXPECT_EQ(task.uncancel(), 1);
  EXPECT_EQ(task.uncancel(), 0);
  EXPECT_EQ(task.uncancel(), 0);
}

TEST_F(Cancel, UncancelToZeroTakesBackARequestNotYetDelivered) {
  auto body = [&]() -> Coroutine<> {
    log += "ran";
    co_return;
  };
  auto task = loop.create_task(body());
  task.cancel();

  task.uncancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "ran");  // TASK-27
  EXPECT_FALSE(task.cancelled());
}

TEST_F(Cancel, UncancelDoesNotTakeBackACancelledFuture) {
  Future<> f = loop.create_future<>();
  auto task = loop.create_task(awaits(f));
  loop.run_until_idle();
  task.cancel("one");

  task.uncancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "cancelled(one) ");
  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, UncancelDoesNotTakeBackACancelledSleep) {
  auto task = loop.create_task([]() -> Coroutine<> { co_await sleep(1h); });
  loop.run_until_idle();
  task.cancel();

  task.uncancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, OfATaskThatYieldsIsDeliveredByItsNextStep) {
  auto body = [&]() -> Coroutine<> {
    for (;;) co_await sleep(0s);
  };
  auto task = loop.create_task(body());
  loop.run_once();

  task.cancel("stop");
  loop.run_once();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, TheFirstToAskSeesTheVeryErrorThatEndedTheTask) {
  struct Mine : CancelledError {
    int payload = 7;
  };
  auto inner = []() -> Coroutine<> {
    throw Mine();
    co_return;
  };
  int payload = 0;
  auto outer = [&]() -> Coroutine<> {
    auto task = create_task(inner());
    try {
      co_await task;
    } catch (const Mine& mine) {
      payload = mine.payload;  // TASK-28
    }
    try {
      co_await task;
    } catch (const CancelledError& error) {
      EXPECT_EQ(dynamic_cast<const Mine*>(&error), nullptr);  // First time only.
      payload += 1;
    }
  };

  loop.run_until_complete(outer());

  EXPECT_EQ(payload, 8);
}

TEST_F(Cancel, TheMessageGoesAlongAChainOfTasks) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  auto outer = loop.create_task(awaits(inner));
  loop.run_until_idle();

  outer.cancel("through");
  loop.run_until_idle();

  EXPECT_EQ(log, "cancelled(through) cancelled(through) ");  // TASK-28
}

TEST_F(Cancel, RequestsAreCountedAlongAChainOfTasks) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  auto outer = loop.create_task(awaits(inner));
  loop.run_until_idle();

  outer.cancel();

  EXPECT_EQ(inner.cancelling(), 1);
  EXPECT_EQ(outer.cancelling(), 1);
}

TEST_F(Cancel, OfTasksThatAwaitEachOtherInACircleEnds) {
  Task<> a;
  Task<> b;
  auto waits = [](Task<>& other) -> Coroutine<> { co_await other; };
  a = loop.create_task({}, waits, std::ref(b));
  b = loop.create_task({}, waits, std::ref(a));
  loop.run_until_idle();

  a.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_TRUE(b.cancelled());
}

// The matrix -----------------------------------------------------------------------------

TEST_F(Cancel, WhileAwaitingATaskCancelsThatTask) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  auto outer = loop.create_task(awaits(inner));
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(inner.cancelled());  // CAN-2
  EXPECT_TRUE(outer.cancelled());
}

TEST_F(Cancel, WhileAwaitingATaskThatSwallowsItGivesThatTasksResult) {
  auto stubborn = []() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 5;
  };
  auto inner = loop.create_task(stubborn());
  auto body = [&]() -> Coroutine<int> { co_return co_await inner; };
  auto outer = loop.create_task(body());
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_EQ(outer.result(), 5);  // CAN-2
}

TEST_F(Cancel, ReachesAnInlineCoroutineAtItsAwait) {
  auto inner = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "inside ";
      throw std::logic_error("changed");
    }
  };
  auto body = [&]() -> Coroutine<> { co_await inner(); };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "inside ");  // CAN-3
  EXPECT_THROW(task.result(), std::logic_error);
}

TEST_F(Cancel, WhileAwaitingAShieldLeavesTheTaskAlone) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  auto outer = loop.create_task(awaits(shield(inner)));
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancelled());  // CAN-4
  EXPECT_FALSE(inner.done());
  inner.cancel();
  loop.run_until_idle();
}

TEST_F(Cancel, WhileAwaitingAGatherEndsAfterAllChildren) {
  auto slow_end = [&]() -> Coroutine<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await sleep(1s);
    log += "ended ";
    if (cancelled) throw CancelledError();
  };
  auto body = [&]() -> Coroutine<> { co_await gather(slow_end(), slow_end()); };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();
  EXPECT_FALSE(task.done());  // CAN-5

  loop.advance(1s);
  EXPECT_EQ(log, "ended ended ");
  EXPECT_TRUE(task.cancelled());
}

TEST_F(Cancel, WhileInWaitLeavesTheTasksAlone) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  std::vector<Task<>> tasks{inner};
  auto body = [&]() -> Coroutine<> { co_await wait(tasks); };
  auto outer = loop.create_task(body());
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancelled());  // CAN-6, WAIT-6
  EXPECT_FALSE(inner.done());
  inner.cancel();
  loop.run_until_idle();
}

TEST_F(Cancel, WhileInAStepOfAsCompletedLeavesTheTasksAlone) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  std::vector<Task<>> tasks{inner};
  auto body = [&]() -> Coroutine<> {
    auto each = as_completed(tasks);
    co_await each.next();
  };
  auto outer = loop.create_task(body());
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancelled());  // CAN-7
  EXPECT_FALSE(inner.done());
  inner.cancel();
  loop.run_until_idle();
}

TEST_F(Cancel, WhileInWaitForCancelsTheTask) {
  auto inner = loop.create_task(awaits(loop.create_future<>()));
  auto outer = loop.create_task(wait_for(inner, 1h));
  loop.run_until_idle();

  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(inner.cancelled());  // CAN-8
  EXPECT_TRUE(outer.cancelled());
}

TEST_F(Cancel, WhileSleepingTakesTheTimerOut) {
  auto body = []() -> Coroutine<> { co_await sleep(1h); };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());  // CAN-13, WAIT-2
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

}  // namespace
}  // namespace aster
