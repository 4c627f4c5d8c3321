// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;

static_assert(std::is_base_of_v<Future<int>, Task<int>>);  // TASK-2
static_assert(std::is_convertible_v<Task<std::string>, AnyTask>);

Coroutine<int> gives(int n) { co_return n; }
Coroutine<> fails(const char* text) {
  throw std::logic_error(text);
  co_return;
}

struct TaskTest : ::testing::Test {
  testing::SimLoop loop;
};

// Making ---------------------------------------------------------------------------

TEST(CreateTask, NeedsARunningLoop) {
  try {
    static_cast<void>(create_task(gives(1)));
    FAIL();
  } catch (const RuntimeError& error) {
    EXPECT_NE(std::string(error.what()).find("no running event loop"),
              std::string::npos);  // TASK-1
  }
}

TEST(CreateTask, WithoutARunningLoopDestroysTheCoroutine) {
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };

  EXPECT_THROW(static_cast<void>(create_task(body(shared))), RuntimeError);

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(TaskTest, CreateTaskOnAClosedLoopIsAnErrorAndDestroysTheCoroutine) {
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };
  loop.close();

  EXPECT_THROW(static_cast<void>(loop.create_task(body(shared))), RuntimeError);  // LOOP-20

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(TaskTest, AUsedUpCoroutineCannotBeMadeATask) {
  Coroutine<int> coroutine = gives(1);
  static_cast<void>(loop.create_task(std::move(coroutine)));

  // NOLINTNEXTLINE(bugprone-use-after-move): that is the point.
  EXPECT_THROW(static_cast<void>(loop.create_task(std::move(coroutine))), RuntimeError);
}

TEST_F(TaskTest, RunsNothingInsideCreateTask) {
  bool ran = false;
  auto body = [&]() -> Coroutine<> {
    ran = true;
    co_return;
  };

  auto task = loop.create_task(body());
  EXPECT_FALSE(ran);  // TASK-2

  loop.run_once();
  EXPECT_TRUE(ran);
}

TEST_F(TaskTest, TasksTakeTheirFirstStepsInTheOrderOfCreation) {
  std::string log;
  auto body = [&](char name) -> Coroutine<> {
    log += name;
    co_return;
  };
  auto a = loop.create_task(body('a'));
  auto b = loop.create_task(body('b'));

  loop.run_once();

  EXPECT_EQ(log, "ab");  // TASK-9
}

TEST_F(TaskTest, ACallableAndItsCapturesLiveUntilTheTaskEnds) {
  auto shared = std::make_shared<int>(5);
  auto task = loop.create_task([shared]() -> Coroutine<int> {
    co_await sleep(1s);
    co_return *shared;
  });
  EXPECT_EQ(shared.use_count(), 2);

  loop.advance(1s);

  EXPECT_EQ(task.result(), 5);
  EXPECT_EQ(shared.use_count(), 1);  // Gone with the end, though a handle is left.
}

TEST_F(TaskTest, ACallableTakesArgumentsByValue) {
  auto text = std::make_unique<std::string>("moved");
  auto body = [](std::unique_ptr<std::string> p, int n) -> Coroutine<std::string> {
    co_await sleep(1s);
    co_return *p + std::to_string(n);
  };

  auto task = loop.create_task({.name = "w"}, body, std::move(text), 3);
  loop.advance(1s);

  EXPECT_EQ(task.result(), "moved3");
  EXPECT_EQ(task.get_name(), "w");
}

TEST_F(TaskTest, ReferenceParametersOfACallableReferToTheTasksOwnArguments) {
  auto body = [](const std::string& text) -> Coroutine<std::string> {
    co_await sleep(1s);
    co_return text;
  };

  auto task = loop.create_task({}, body, std::string("a text too long for a small string"));
  loop.advance(1s);

  EXPECT_EQ(task.result(), "a text too long for a small string");
}

TEST_F(TaskTest, ACallableThatThrowsInsteadOfGivingACoroutineThrowsFromCreateTask) {
  auto shared = std::make_shared<int>(5);
  auto body = [shared]() -> Coroutine<int> { throw std::logic_error("no coroutine"); };

  EXPECT_THROW(static_cast<void>(loop.create_task(body)), std::logic_error);
  EXPECT_EQ(shared.use_count(), 2);
  EXPECT_TRUE(all_tasks(loop).empty());
}

// Names --------------------------------------------------------------------------------

TEST_F(TaskTest, HasANumberedNameByDefault) {
  auto a = loop.create_task(gives(1));
  auto b = loop.create_task(gives(1));

  EXPECT_EQ(a.get_name().find("Task-"), 0U);  // TASK-3
  EXPECT_EQ(std::stol(b.get_name().substr(5)), std::stol(a.get_name().substr(5)) + 1);
}

TEST_F(TaskTest, TakesANameAndANewOne) {
  std::string name = "adder";
  auto task = loop.create_task(gives(1), {.name = name});
  name = "changed";
  EXPECT_EQ(task.get_name(), "adder");

  task.set_name("other");

  EXPECT_EQ(task.get_name(), "other");  // TASK-4
}

// Ends -----------------------------------------------------------------------------------

TEST_F(TaskTest, WhatTheCoroutineReturnsIsTheResult) {
  auto task = loop.create_task(gives(3));
  EXPECT_THROW(static_cast<void>(task.result()), InvalidStateError);  // TASK-30

  loop.run_until_idle();

  EXPECT_TRUE(task.done());  // TASK-14
  EXPECT_FALSE(task.cancelled());
  EXPECT_EQ(task.result(), 3);
  EXPECT_EQ(task.exception(), nullptr);
}

TEST_F(TaskTest, AnOrdinaryExceptionIsStoredAndStopsNothing) {
  auto task = loop.create_task(fails("bad"));
  auto other = loop.create_task(gives(1));

  loop.run_until_idle();

  EXPECT_TRUE(other.done());
  EXPECT_EQ(describe(task.exception()), "std::logic_error: bad");  // TASK-15
  EXPECT_THROW(task.result(), std::logic_error);
}

TEST_F(TaskTest, AnythingThrownIsAnOrdinaryError) {
  auto body = []() -> Coroutine<> {
    throw 42;
    co_return;
  };
  auto task = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_THROW(task.result(), int);
}

TEST_F(TaskTest, ACancelledErrorOfItsOwnMakesItCancelled) {
  auto body = []() -> Coroutine<> {
    throw CancelledError("mine");
    co_return;
  };
  auto task = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());  // TASK-16
  EXPECT_EQ(task.cancelling(), 0);
}

TEST_F(TaskTest, ABaseErrorIsStoredAndLeavesTheLoop) {
  Reports reports(loop);
  auto body = []() -> Coroutine<> {
    throw KeyboardInterrupt();
    co_return;
  };
  auto task = loop.create_task(body());
  auto other = loop.create_task(gives(1));

  EXPECT_THROW(loop.run_forever(), KeyboardInterrupt);  // TASK-17

  EXPECT_TRUE(task.done());
  EXPECT_THROW(task.result(), KeyboardInterrupt);
  EXPECT_FALSE(other.done());
  loop.run_until_idle();
  EXPECT_TRUE(other.done());  // ORD-39
  EXPECT_TRUE(reports.empty());
}

TEST_F(TaskTest, TheWaitersOfATaskThatEndsWithABaseErrorSeeItToo) {
  auto inner = []() -> Coroutine<> {
    co_await sleep(0s);
    throw SystemExit(3);
  };
  auto task = loop.create_task(inner());
  int status = 0;
  auto outer = [&]() -> Coroutine<> {
    try {
      co_await task;
    } catch (const SystemExit& exit) {
      status = exit.status();
    }
  };
  auto waiting = loop.create_task(outer());
  EXPECT_THROW(loop.run_forever(), SystemExit);

  loop.run_until_idle();

  EXPECT_EQ(status, 3);
}

TEST_F(TaskTest, ItsResultCannotBeSetThroughAFutureHandle) {
  auto task = loop.create_task(gives(1));
  Future<int> future = task;

  EXPECT_THROW(future.set_result(2), RuntimeError);                   // TASK-8
  EXPECT_THROW(future.set_exception(ValueError("x")), RuntimeError);  // TASK-8

  loop.run_until_idle();
  EXPECT_EQ(task.result(), 1);
}

TEST_F(TaskTest, DoneCallbacksGetTheTask) {
  auto task = loop.create_task(gives(4), {.name = "four"});
  std::string seen;
  task.add_done_callback(
      [&](Task<int> done) { seen = done.get_name() + std::to_string(done.result()); });

  loop.run_until_idle();

  EXPECT_EQ(seen, "four4");
}

TEST_F(TaskTest, AMoveOnlyResultIsMovedOut) {
  auto body = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(2); };
  auto outer = [&]() -> Coroutine<int> {
    Task<std::unique_ptr<int>> task = create_task(body());
    std::unique_ptr<int> p = co_await std::move(task);
    co_return *p;
  };

  EXPECT_EQ(loop.run_until_complete(outer()), 2);
}

TEST_F(TaskTest, AwaitingATaskByMoveMovesOutWhenOnlyTheLoopHoldsIt) {
  auto body = []() -> Coroutine<std::shared_ptr<int>> { co_return std::make_shared<int>(2); };
  auto outer = [&]() -> Coroutine<long> {
    std::shared_ptr<int> mine = co_await create_task(body());
    co_return mine.use_count();
  };

  EXPECT_EQ(loop.run_until_complete(outer()), 1);
}

// Awaiting tasks -------------------------------------------------------------------------

TEST_F(TaskTest, CannotAwaitItself) {
  Task<> self;
  std::string text;
  auto body = [&]() -> Coroutine<> {
    try {
      co_await self;
    } catch (const RuntimeError& error) {
      text = error.what();
    }
  };
  self = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_EQ(text.find("Task cannot await on itself"), 0U);  // TASK-12
  EXPECT_TRUE(self.done());
}

TEST_F(TaskTest, CannotAwaitAFutureOfAnotherLoop) {
  testing::SimLoop other;
  Future<int> foreign = other.create_future<int>();
  std::string text;
  auto body = [&]() -> Coroutine<> {
    try {
      co_await foreign;
    } catch (const RuntimeError& error) {
      text = error.what();
    }
  };

  loop.run_until_complete(body());

  EXPECT_NE(text.find("attached to a different loop"), std::string::npos);  // TASK-13
}

// Reports ----------------------------------------------------------------------------------

TEST_F(TaskTest, AFailureNobodyLooksAtIsReported) {
  Reports reports(loop);
  static_cast<void>(loop.create_task(fails("lost"), {.name = "loser"}));

  loop.run_until_idle();

  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0], "Task exception was never retrieved");  // FUT-13, ERR-21
  EXPECT_EQ(reports.contexts[0].task.get_name(), "loser");
}

TEST_F(TaskTest, AFailureIsNotReportedWhileAHandleLives) {
  Reports reports(loop);
  auto task = loop.create_task(fails("kept"));

  loop.run_until_idle();
  EXPECT_TRUE(reports.empty());

  task = Task<>();
  loop.run_until_idle();
  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(TaskTest, CancelClearsTheNeverRetrievedFlag) {
  // TASK-29: as in asyncio only of a pending task, whose later failure sets it anew.
  Reports reports(loop);
  auto body = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw std::logic_error("while cancelled");
    }
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  task.cancel();
  loop.run_until_idle();

  EXPECT_FALSE(task.cancel());
  task = Task<>();
  loop.run_until_idle();

  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(TaskTest, ATaskThatIsPendingWhenTheLoopClosesIsDestroyedAndReported) {
  Reports reports(loop);
  auto shared = std::make_shared<int>(0);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_await sleep(1h); };
  auto task = loop.create_task(body(shared), {.name = "left"});
  loop.run_until_idle();

  loop.close();

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_TRUE(task.done());
  EXPECT_TRUE(task.cancelled());
  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0], "Task was destroyed but it is pending!");  // TASK-33, ERR-22
  EXPECT_EQ(reports.contexts[0].task.get_name(), "left");
}

TEST_F(TaskTest, ATaskThatWasNeverStartedIsDestroyedByClose) {
  Reports reports(loop);
  auto shared = std::make_shared<int>(0);
  auto task = loop.create_task([shared]() -> Coroutine<> { co_return; });

  loop.close();

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(TaskTest, TheLoopKeepsARunningTaskWhoseHandleIsDropped) {
  bool ended = false;
  auto body = [&]() -> Coroutine<> {
    co_await sleep(1s);
    ended = true;
  };
  static_cast<void>(loop.create_task(body()));

  loop.advance(1s);

  EXPECT_TRUE(ended);
}

// current_task, all_tasks --------------------------------------------------------------------

TEST_F(TaskTest, CurrentTaskIsTheOneWhoseStepRuns) {
  AnyTask seen;
  AnyTask in_inline;
  auto inner = [&]() -> Coroutine<> {
    in_inline = current_task();
    co_return;
  };
  auto body = [&]() -> Coroutine<> {
    seen = current_task();
    co_await inner();
  };
  auto task = loop.create_task(body());

  loop.run_until_idle();

  EXPECT_EQ(seen, AnyTask(task));  // TASK-34
  EXPECT_EQ(in_inline, AnyTask(task));
}

TEST_F(TaskTest, ThereIsNoCurrentTaskInACallback) {
  bool none = false;
  loop.call_soon([&] { none = !current_task(); });

  loop.run_until_idle();

  EXPECT_TRUE(none);  // TASK-34
}

TEST(CurrentTask, NeedsARunningLoop) {
  EXPECT_THROW(static_cast<void>(current_task()), RuntimeError);  // TASK-34
  EXPECT_THROW(static_cast<void>(all_tasks()), RuntimeError);     // TASK-35
}

TEST_F(TaskTest, AllTasksAreThoseThatHaveNotEndedOldestFirst) {
  auto a = loop.create_task(gives(1));
  loop.run_until_idle();
  auto forever = []() -> Coroutine<> { co_await sleep(1h); };
  auto b = loop.create_task(forever());
  auto c = loop.create_task(forever());
  loop.run_until_idle();

  const std::vector<AnyTask> tasks = all_tasks(loop);  // TASK-35

  ASSERT_EQ(tasks.size(), 2U);
  EXPECT_EQ(tasks[0], AnyTask(b));
  EXPECT_EQ(tasks[1], AnyTask(c));
  b.cancel();
  c.cancel();
  loop.run_until_idle();
  EXPECT_TRUE(all_tasks(loop).empty());
}

TEST_F(TaskTest, AnAnyTaskDoesWhatTheTaskDoes) {
  auto forever = []() -> Coroutine<> { co_await sleep(1h); };
  auto task = loop.create_task(forever(), {.name = "x"});
  AnyTask any = task;

  EXPECT_EQ(any.get_name(), "x");
  any.set_name("y");
  EXPECT_EQ(task.get_name(), "y");
  EXPECT_TRUE(any.cancel());
  EXPECT_EQ(any.cancelling(), 1);
  EXPECT_EQ(any.uncancel(), 0);
  loop.run_until_idle();
  EXPECT_FALSE(any.done());
  any.cancel();
  loop.run_until_idle();
  EXPECT_TRUE(any.done());
  EXPECT_TRUE(any.cancelled());
  EXPECT_EQ(&any.get_loop(), &loop);
}

TEST_F(TaskTest, AnEmptyAnyTaskIsFalse) {
  AnyTask none;

  EXPECT_FALSE(none);
  EXPECT_EQ(none, AnyTask());
}

TEST_F(TaskTest, ATaskMayBeMadeInACallbackOfAnother) {
  auto first = loop.create_task(gives(1));
  Task<int> second;
  first.add_done_callback([&](Task<int>) { second = create_task(gives(2)); });

  loop.run_until_idle();

  EXPECT_EQ(second.result(), 2);
}

// Factory --------------------------------------------------------------------------------------

TEST_F(TaskTest, AFactorySeesAndChangesTheOptionsOfEachTask) {
  std::string seen;
  loop.set_task_factory([&](EventLoop&, TaskOptions& options) {  // LOOP-21
    seen += options.name;
    options.name = "made";
  });

  auto task = loop.create_task(gives(1), {.name = "asked"});

  EXPECT_TRUE(loop.has_task_factory());
  EXPECT_EQ(seen, "asked");
  EXPECT_EQ(task.get_name(), "made");
}

TEST_F(TaskTest, ANullFactoryRestoresTheDefault) {
  loop.set_task_factory([](EventLoop&, TaskOptions& options) { options.name = "made"; });

  loop.set_task_factory(nullptr);

  EXPECT_FALSE(loop.has_task_factory());
  EXPECT_NE(loop.create_task(gives(1)).get_name(), "made");
}

TEST_F(TaskTest, AFactoryThatThrowsMakesNoTask) {
  loop.set_task_factory([](EventLoop&, TaskOptions&) { throw std::logic_error("no"); });
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };

  EXPECT_THROW(static_cast<void>(loop.create_task(body(shared))), std::logic_error);

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_TRUE(all_tasks(loop).empty());
}

}  // namespace
}  // namespace aster
