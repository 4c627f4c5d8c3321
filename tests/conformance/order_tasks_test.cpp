// SPDX-License-Identifier: MIT
//
// The ordering scenarios of tasks and what combines them; ord_tasks.py runs the same
// ones on CPython.
#include <aster/coro/with.hpp>
#include <aster/executor/executor.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task_group.hpp>

#include <gtest/gtest.h>

#include <latch>
#include <string>
#include <utility>
#include <vector>

#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;

class OrderOfTasks : public Scenario {
 public:
  Coroutine<> noting(std::string name) {
    note(name);
    co_return;
  }
  Coroutine<> failing(std::string name) {
    note(name);
    throw ValueError(name);
    co_return;
  }
  Coroutine<> pausing(int turns) {
    for (int i = 0; i < turns; ++i) co_await sleep(0s);
  }
  Coroutine<std::string> ends(std::string name, int turns) {
    co_await pausing(turns);
    co_return name;
  }
};
ASTER_CONFORMANCE(OrderOfTasks);

TEST_P(OrderOfTasks, IsThatOfTheirCreationInEveryTurn) {
  auto steps = [this](std::string name) -> Coroutine<> {
    note(name + "1");
    co_await sleep(0s);
    note(name + "2");
    co_await sleep(0s);
    note(name + "3");
  };
  loop->create_task(steps("A"));
  loop->create_task(steps("B"));
  turns(4);

  finish("ORD-9");
}

TEST_P(OrderOfTasks, AnInlineCoroutineRunsBeforeATaskMadeEarlier) {
  auto main = [this]() -> Coroutine<> {
    Task<> task = create_task(noting("A"));
    co_await noting("B");
    note("main");
    co_await task;
  };
  run(main());

  finish("ORD-10");
}

TEST_P(OrderOfTasks, ANewTaskStepsBeforeItsCreatorComesBackFromAYield) {
  auto main = [this]() -> Coroutine<> {
    create_task(noting("A"));
    co_await sleep(0s);
    note("main");
  };
  run(main());

  finish("ORD-11");
}

TEST_P(OrderOfTasks, AnEagerTaskRunsInsideCreateTaskButItsCallbacksDoNot) {
  auto main = [this]() -> Coroutine<> {
    auto task = create_task(noting("A"), {.eager_start = true});
    note(task.done() ? "created:done" : "created:pending");
    task.add_done_callback(notes("callback"));
    note("main");
    co_await sleep(0s);
  };
  run(main());

  finish("ORD-12");  // EAG-3, EAG-8, EAG-9
}

TEST_P(OrderOfTasks, AWaiterResumesInTheTurnAfterSetResult) {
  Future<> future = loop->create_future<>();
  auto resolve = [this, &future] {
    note("set");
    future.set_result();
    loop->call_soon(notes("posted_after"));
  };
  auto main = [&]() -> Coroutine<> {
    note("wait");
    loop->call_soon(resolve);
    co_await future;
    note("resumed");
  };
  run(main());

  finish("ORD-13");  // TASK-10
}

TEST_P(OrderOfTasks, AnAwaiterOfATaskResumesInTheTurnAfterItsEnd) {
  auto main = [this]() -> Coroutine<> {
    co_await create_task(noting("ends"));
    note("resumed");
  };
  run(main());

  finish("ORD-14");
}

TEST_P(OrderOfTasks, AChainOfTasksUnwindsOneLinkATurn) {
  auto first = [this]() -> Coroutine<> {
    co_await sleep(0s);
    note("a");
  };
  auto link = [this](std::string name, Task<> inner) -> Coroutine<> {
    co_await inner;
    note(name);
  };
  auto main = [&]() -> Coroutine<> {
    Task<> a = create_task(first());
    Task<> b = create_task(link("b", a));
    Task<> c = create_task(link("c", b));
    co_await c;
    note("main");
  };
  run(main());

  finish("ORD-15");
}

TEST_P(OrderOfTasks, AChainOfInlineCoroutinesTakesNoTurn) {
  struct Level {
    static Coroutine<> run(OrderOfTasks* test, int depth) {
      if (depth > 0) co_await run(test, depth - 1);
      test->note("level" + std::to_string(depth));
    }
  };
  auto main = [this]() -> Coroutine<> {
    note("begin");
    co_await Level::run(this, 3);
    note("end");
  };
  run(main());

  finish("ORD-16");
}

TEST_P(OrderOfTasks, ACancelledSleepIsSeenInTheNextTurn) {
  auto sleeper = [this]() -> Coroutine<> { co_await noted("sleep", sleep(1000s)); };
  auto main = [&]() -> Coroutine<> {
    Task<> task = create_task(sleeper());
    co_await sleep(0s);
    task.cancel();
    note("requested");
    loop->call_soon(notes("posted_after"));
    co_await task;
    note("main");
  };
  run(main());

  finish("ORD-19");
}

TEST_P(OrderOfTasks, ACancelBehindTheFuturesResultStillWins) {
  Future<std::string> future = loop->create_future<std::string>();
  auto waiter = [&]() -> Coroutine<> { co_await noted("await", future); };
  auto main = [&]() -> Coroutine<> {
    Task<> task = create_task(waiter());
    co_await sleep(0s);
    future.set_result("value");
    note(future.cancel() ? "refused:true" : "refused:false");
    task.cancel();
    co_await task;
    note("future:" + outcome_of(future));
  };
  run(main());

  finish("ORD-20");  // TASK-20
}

TEST_P(OrderOfTasks, AFailingChildCancelsItsGroupAndTheBody) {
  auto sleeper = [this]() -> Coroutine<> {
    co_await noted("child2", sleep(1000s));
    throw CancelledError();
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(failing("child1"));
    group.create_task(sleeper());
    try {
      co_await sleep(1000s);
    } catch (const CancelledError&) {
      note("body:cancelled");
      throw;
    }
  };
  auto main = [&]() -> Coroutine<> {
    co_await noted("group", with(TaskGroup{}, body));
    note("count:" + std::to_string(current_task().cancelling()));
  };
  run(main());

  finish("ORD-31");  // TG-6
}

TEST_P(OrderOfTasks, AFailedGatherIsOverWhileItsOtherChildGoesOn) {
  auto slow = [this]() -> Coroutine<> {
    co_await pausing(3);
    note("child2");
  };
  auto main = [&]() -> Coroutine<> {
    Task<> slow_task = create_task(slow());
    co_await noted("gather", gather(failing("child1"), slow_task));
    co_await slow_task;
    note("main");
  };
  run(main());

  finish("ORD-32");  // WAIT-17
}

TEST_P(OrderOfTasks, AShieldKeepsACancellationFromItsTask) {
  auto inner = [this]() -> Coroutine<std::string> {
    co_await pausing(4);
    note("inner");
    co_return "kept";
  };
  auto main = [&]() -> Coroutine<> {
    Task<std::string> task = create_task(inner());
    Task<> outer = create_task(noted("shield", shield(task)));
    co_await sleep(0s);
    outer.cancel();
    co_await outer;
    co_await noted("task", task);
  };
  run(main());

  finish("ORD-33");
}

TEST_P(OrderOfTasks, ATimeoutOfNothingArrivesAtTheFirstSuspension) {
  auto body = [this](Timeout&) -> Coroutine<> {
    note("body");
    try {
      co_await sleep(0s);
    } catch (const CancelledError&) {
      note("cancelled_inside");
      throw;
    }
    note("went_on");
  };
  auto main = [&]() -> Coroutine<> { co_await noted("block", with(timeout(0s), body)); };
  run(main());

  finish("ORD-34");  // TMO-3, TMO-8
}

TEST_P(OrderOfTasks, AWaitForOfNothingNeverStartsACoroutine) {
  auto main = [this]() -> Coroutine<> {
    co_await noted("wait_for", wait_for(noting("body"), 0s));
    note("main");
  };
  run(main());

  finish("ORD-35");  // WAIT-9
}

TEST_P(OrderOfTasks, RunCancelsWhatIsLeftThenEndsTheExecutor) {
  if (GetParam() == Kind::sim) GTEST_SKIP() << "A simulated loop has no threads";
  mark_turns = false;
  std::latch gate(1);
  auto leftover = [this]() -> Coroutine<> {
    struct Finally {
      OrderOfTasks* test;
      ~Finally() { test->note("finally"); }
    } const finally{this};
    note("started");
    co_await sleep(1000s);
  };
  auto main = [&]() -> Coroutine<> {
    create_task(leftover()).add_done_callback([&gate](Task<>) { gate.count_down(); });
    static_cast<void>(get_running_loop().run_in_executor(nullptr, [this, &gate] {
      gate.wait();
      note("executor");
    }));
    co_await sleep(0s);
    note("main");
  };
  {
    // A loop of its own: a Runner closes its loop.
    static thread_local Kind kind;
    kind = GetParam();
    Runner runner({.loop_factory = [] { return std::move(Stage(kind).loop); }});
    runner.run(main());
    note("ran");
    runner.close();
  }
  note("closed");

  finish("ORD-36");  // RUN-6
}

TEST_P(OrderOfTasks, AsCompletedGivesWhatEndsFirst) {
  auto main = [this]() -> Coroutine<> {
    std::vector<Task<std::string>> tasks;
    tasks.push_back(create_task(ends("1", 4)));
    tasks.push_back(create_task(ends("2", 6)));
    tasks.push_back(create_task(ends("3", 2)));
    auto each = as_completed(tasks);
    while (auto task = co_await each.next()) note("yields:" + task->result());
  };
  run(main());

  finish("ORD-44");
}

}  // namespace
}  // namespace aster::conformance
