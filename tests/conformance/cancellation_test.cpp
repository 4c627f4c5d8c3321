// SPDX-License-Identifier: MIT
//
// The cancellation matrix, without the network: what happens to the awaiter and to the
// awaited thing when the awaiter is cancelled. can_awaits.py runs the same on CPython.
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/executor/executor.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>
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

class CancellationOf : public Scenario {
 public:
  Coroutine<> pausing(int turns) {
    for (int i = 0; i < turns; ++i) co_await sleep(0s);
  }

  template <class A>
  Coroutine<> waiter(A awaitable) {
    co_await noted("await", std::move(awaitable));
    note("count:" + std::to_string(current_task().cancelling()));
  }
  // Awaits it in a task that is cancelled once it waits.
  template <class A>
  Coroutine<> cancelled_while(A awaitable) {
    Task<> task = create_task(waiter(std::move(awaitable)));
    co_await pausing(3);
    note("cancel");
    task.cancel();
    co_await task;
  }

  // Takes some turns to end when cancelled.
  Coroutine<> cleaning(std::string name, int turns) {
    Future<> never = loop->create_future<>();
    Outcome<> ended = co_await outcome(never);
    note(name + ":cancelled");
    co_await pausing(turns);
    note(name + ":ended");
    ended.value();
  }
  Coroutine<std::string> swallowing(std::string name) {
    Future<> never = loop->create_future<>();
    try {
      co_await never;
    } catch (const CancelledError&) {
      note(name + ":swallowed");
    }
    co_return "value";
  }
  Coroutine<std::string> ending(std::string name, int turns) {
    co_await pausing(turns);
    note(name + ":ended");
    co_return "value";
  }
  // Waits with the lock held, and notes whether it is when the wait throws.
  Coroutine<> waiting(Condition& condition) {
    auto held = co_await condition.scoped();
    Outcome<bool> ended = co_await outcome(condition.wait());
    note(condition.locked() ? "inside:locked" : "inside:free");
    static_cast<void>(ended.value());
  }
};
ASTER_CONFORMANCE(CancellationOf);

TEST_P(CancellationOf, AnAwaitOfAFutureCancelsIt) {
  Future<> future = loop->create_future<>();
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(future);
    note("future:" + outcome_of(future));
  };
  run(main());

  finish("CAN-1");
}

TEST_P(CancellationOf, AnAwaitOfATaskAsksItToEnd) {
  auto main = [this]() -> Coroutine<> {
    Task<> task = create_task(cleaning("task", 2));
    co_await cancelled_while(task);
    note("task:" + outcome_of(task));
  };
  run(main());

  finish("CAN-2");
}

TEST_P(CancellationOf, AnAwaitOfATaskThatSwallowsItGivesItsResult) {
  auto main = [this]() -> Coroutine<> {
    Task<std::string> task = create_task(swallowing("task"));
    co_await cancelled_while(task);
    note("task:" + outcome_of(task));
  };
  run(main());

  finish("CAN-2 swallowed");
}

TEST_P(CancellationOf, AnInlineCoroutineIsSeenInsideIt) {
  auto main = [this]() -> Coroutine<> { co_await cancelled_while(cleaning("inline", 1)); };
  run(main());

  finish("CAN-3");
}

TEST_P(CancellationOf, AnInlineCoroutineThatSwallowsItStopsThere) {
  auto main = [this]() -> Coroutine<> { co_await cancelled_while(swallowing("inline")); };
  run(main());

  finish("CAN-3 swallowed");
}

TEST_P(CancellationOf, AShieldLeavesItsTaskAlone) {
  auto main = [this]() -> Coroutine<> {
    Task<std::string> task = create_task(ending("task", 6));
    co_await cancelled_while(shield(task));
    note("task:" + outcome_of(task));
    co_await noted("task", task);
  };
  run(main());

  finish("CAN-4");
}

TEST_P(CancellationOf, AGatherWaitsForAllItsChildren) {
  auto main = [this]() -> Coroutine<> {
    Task<> quick = create_task(cleaning("quick", 1));
    Task<> slow = create_task(cleaning("slow", 3));
    co_await cancelled_while(gather(quick, slow));
    note("quick:" + outcome_of(quick));
    note("slow:" + outcome_of(slow));
    co_await pausing(4);
  };
  run(main());

  // WAIT-20. CPython 3.13 gives the cancellation on as soon as the first child has
  // ended, unless return_exceptions is set; its documentation promises neither.
  finish_differently("CAN-5",
                     "cancel | quick:cancelled slow:cancelled | quick:ended | | slow:ended | | "
                     "await:cancelled count:1 | quick:cancelled slow:cancelled");
}

TEST_P(CancellationOf, AGatherOfOutcomesWaitsForAllItsChildren) {
  auto main = [this]() -> Coroutine<> {
    Task<> quick = create_task(cleaning("quick", 1));
    Task<> slow = create_task(cleaning("slow", 3));
    co_await cancelled_while(gather(return_exceptions, quick, slow));
    note("quick:" + outcome_of(quick));
    note("slow:" + outcome_of(slow));
    co_await pausing(4);
  };
  run(main());

  finish("CAN-5 return_exceptions");
}

TEST_P(CancellationOf, AWaitLeavesItsTasksAlone) {
  auto main = [this]() -> Coroutine<> {
    Task<std::string> task = create_task(ending("task", 6));
    std::vector<Task<std::string>> tasks;
    tasks.push_back(task);
    co_await cancelled_while(wait(tasks));
    note("task:" + outcome_of(task));
    co_await noted("task", task);
  };
  run(main());

  finish("CAN-6");  // WAIT-6
}

TEST_P(CancellationOf, AStepOfAsCompletedLeavesTheTasksAlone) {
  auto main = [this]() -> Coroutine<> {
    Task<std::string> task = create_task(ending("task", 6));
    std::vector<Task<std::string>> tasks;
    tasks.push_back(task);
    auto each = as_completed(tasks);
    co_await cancelled_while(each.next());
    note("task:" + outcome_of(task));
    co_await noted("task", task);
  };
  run(main());

  finish("CAN-7");
}

TEST_P(CancellationOf, AWaitForCancelsItsTaskAndWaitsForItsEnd) {
  auto main = [this]() -> Coroutine<> {
    Task<> task = create_task(cleaning("task", 2));
    co_await cancelled_while(aster::wait_for(task, 1000s));
    note("task:" + outcome_of(task));
  };
  run(main());

  finish("CAN-8");
}

TEST_P(CancellationOf, AWaitForOfATaskThatSwallowsItGivesItsResult) {
  auto main = [this]() -> Coroutine<> {
    Task<std::string> task = create_task(swallowing("task"));
    co_await cancelled_while(aster::wait_for(task, 1000s));
    note("task:" + outcome_of(task));
  };
  run(main());

  finish("CAN-8 swallowed");
}

TEST_P(CancellationOf, TheEndOfATaskGroupCancelsItsChildrenAndWaits) {
  auto body = [this](TaskGroup& group) -> Coroutine<> {
    group.create_task(cleaning("child1", 1));
    group.create_task(cleaning("child2", 3));
    co_return;
  };
  auto main = [&]() -> Coroutine<> { co_await cancelled_while(with(TaskGroup{}, body)); };
  run(main());

  finish("CAN-9");  // TG-11
}

TEST_P(CancellationOf, ATaskGroupWhoseChildThenFailsIsAnErrorAndAPendingCancel) {
  auto failing = [this]() -> Coroutine<> {
    Future<> never = loop->create_future<>();
    try {
      co_await never;
    } catch (const CancelledError&) {
      note("child1:fails");
      throw ValueError("child1");
    }
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(failing());
    group.create_task(cleaning("child2", 3));
    co_return;
  };
  auto waiting = [&]() -> Coroutine<> {
    co_await noted("group", with(TaskGroup{}, body));
    note("count:" + std::to_string(current_task().cancelling()));
    co_await noted("next", sleep(0s));
    note("count:" + std::to_string(current_task().cancelling()));
  };
  auto main = [&]() -> Coroutine<> {
    Task<> task = create_task(waiting());
    co_await pausing(3);
    note("cancel");
    task.cancel();
    co_await task;
  };
  run(main());

  finish("CAN-9 error");  // TG-12
}

TEST_P(CancellationOf, ASleepTakesItsTimerAway) {
  auto main = [this]() -> Coroutine<> { co_await cancelled_while(sleep(1000s)); };
  run(main());
  note(loop->backend_timeout() == Duration::max() ? "timer:none" : "timer:left");

  finish("CAN-13");  // WAIT-2
}

TEST_P(CancellationOf, AFunctionInAnotherThreadDoesNotStopIt) {
  if (GetParam() == Kind::sim) GTEST_SKIP() << "A simulated loop has no threads";
  mark_turns = false;
  std::latch started(1);
  std::latch gate(1);
  std::latch ended(1);
  auto job = [&] {
    started.count_down();
    gate.wait();
    ended.count_down();
  };
  auto main = [&]() -> Coroutine<> {
    Future<> future = loop->run_in_executor(nullptr, job);
    started.wait();
    co_await cancelled_while(future);
    note("future:" + outcome_of(future));
    note(ended.try_wait() ? "function:ended" : "function:running");
    gate.count_down();
    ended.wait();
    note("function:ended");
  };
  run(main());

  finish("CAN-14");  // EXE-4
}

TEST_P(CancellationOf, TheEndOfTheExecutorLeavesItsThreadsToTheirWork) {
  if (GetParam() == Kind::sim) GTEST_SKIP() << "A simulated loop has no threads";
  mark_turns = false;
  stage_.waits = true;
  std::latch gate(1);
  std::latch ended(1);
  auto job = [&] {
    gate.wait();
    ended.count_down();
  };
  auto main = [&]() -> Coroutine<> {
    static_cast<void>(loop->run_in_executor(nullptr, job));
    co_await cancelled_while(loop->shutdown_default_executor());
    note(ended.try_wait() ? "job:ended" : "job:running");
    gate.count_down();
    ended.wait();
    note("job:ended");
  };
  run(main());

  finish("CAN-22");
}

TEST_P(CancellationOf, TheEntryOfAWithMeansThatExitIsNotRun) {
  struct Manager {
    CancellationOf* test;
    Coroutine<> enter() {
      test->note("enter");
      Future<> never = test->loop->create_future<>();
      co_await never;
    }
    Coroutine<bool> exit(std::exception_ptr) {
      test->note("exit");
      co_return false;
    }
  };
  auto body = [this]() -> Coroutine<> {
    note("body");
    co_return;
  };
  auto main = [&]() -> Coroutine<> { co_await cancelled_while(with(Manager{this}, body)); };
  run(main());

  finish("CAN-24");
}

TEST_P(CancellationOf, AReadConsumesNothing) {
  StreamReader reader;
  auto main = [&]() -> Coroutine<> {
    reader.feed_data("ab");
    co_await cancelled_while(reader.readexactly(5));
    reader.feed_data("cde");
    const std::string text = co_await reader.readexactly(5);
    note(text);
  };
  run(main());

  finish("CAN-16");
}

TEST_P(CancellationOf, AnAcquireOfALockLeavesItToItsHolder) {
  Lock lock;
  auto main = [&]() -> Coroutine<> {
    co_await lock.acquire();
    co_await cancelled_while(lock.acquire());
    note(lock.locked() ? "locked" : "free");
    lock.release();
    note(lock.locked() ? "locked" : "free");
  };
  run(main());

  finish("CAN-10 lock");  // SYN-3
}

TEST_P(CancellationOf, AnAcquireOfASemaphoreTakesNoPermit) {
  Semaphore semaphore(0);
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(semaphore.acquire());
    semaphore.release();
    note(semaphore.locked() ? "locked" : "free");
  };
  run(main());

  finish("CAN-10 semaphore");
}

TEST_P(CancellationOf, AGetTakesNoItem) {
  Queue<std::string> queue;
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(queue.get());
    queue.put_nowait("item");
    note(queue.get_nowait());
  };
  run(main());

  finish("CAN-10 get");
}

TEST_P(CancellationOf, APutAddsNoItem) {
  Queue<std::string> queue(1);
  auto main = [&]() -> Coroutine<> {
    queue.put_nowait("first");
    co_await cancelled_while(queue.put("second"));
    note(queue.get_nowait());
    note(queue.empty() ? "empty" : "more");
  };
  run(main());

  finish("CAN-10 put");
}

TEST_P(CancellationOf, AWaitForAnEventLeavesTheEventAlone) {
  Event event;
  auto waiting = [&]() -> Coroutine<> { co_await event.wait(); };
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(event.wait());
    event.set();
    co_await noted("wait:True", waiting());
  };
  run(main());

  finish("CAN-10 event");
}

TEST_P(CancellationOf, AWaitForAConditionTakesTheLockAgain) {
  Condition condition;
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(waiting(condition));
    note(condition.locked() ? "after:locked" : "after:free");
  };
  run(main());

  finish("CAN-11");
}

TEST_P(CancellationOf, AWaitForAConditionWaitsForTheLockHoweverOftenItIsCancelled) {
  Condition condition;
  auto main = [&]() -> Coroutine<> {
    Task<> task = create_task(noted("wait", waiting(condition)));
    co_await sleep(0s);
    {
      auto held = co_await condition.scoped();
      for (int i = 0; i < 3; ++i) {
        note("cancel");
        task.cancel();
        co_await pausing(2);
      }
      note("release");
    }
    co_await task;
  };
  run(main());

  finish("CAN-11 locked");  // SYN-10
}

TEST_P(CancellationOf, AWaitAtABarrierLeavesItWhole) {
  Barrier barrier(2);
  auto main = [&]() -> Coroutine<> {
    co_await cancelled_while(barrier.wait());
    note("waiting:" + std::to_string(barrier.n_waiting()));
    note(barrier.broken() ? "broken" : "whole");
  };
  run(main());

  finish("CAN-12");  // SYN-25
}

}  // namespace
}  // namespace aster::conformance
