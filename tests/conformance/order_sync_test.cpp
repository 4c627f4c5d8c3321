// SPDX-License-Identifier: MIT
//
// The ordering scenarios of locks, semaphores, queues, events, conditions and barriers;
// ord_sync.py runs the same ones on CPython.
#include <aster/loop/sleep.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;

class OrderOfSync : public Scenario {
 public:
  Coroutine<> hold(Lock& lock, std::string name) {
    auto held = co_await lock.scoped();
    note(name);
    co_await sleep(0s);
  }
  Coroutine<> hold(Semaphore& semaphore, std::string name) {
    auto held = co_await semaphore.scoped();
    note(name);
    co_await sleep(0s);
  }
  Coroutine<> get(Queue<std::string>& queue, std::string name) {
    const std::string item = co_await queue.get();
    note(name + item);
  }
  Coroutine<> wait(Event& event, std::string name) {
    co_await event.wait();
    note(name);
  }
  Coroutine<> wait(Condition& condition, std::string name) {
    auto held = co_await condition.scoped();
    co_await condition.wait();
    note(name);
  }
  Coroutine<> wait(Barrier& barrier, std::string name) {
    note(name + ":waits");
    const auto number = co_await barrier.wait();
    note(name + ":" + std::to_string(number));
  }
  static Coroutine<> all(std::vector<Task<>>& tasks) {
    for (Task<>& task : tasks) co_await task;
  }
};
ASTER_CONFORMANCE(OrderOfSync);

TEST_P(OrderOfSync, WhoReleasesALockAndWantsItBackComesAfterThoseThatWait) {
  Lock lock;
  auto main = [&]() -> Coroutine<> {
    co_await lock.acquire();
    std::vector<Task<>> tasks;
    for (const char* name : {"B", "C"}) tasks.push_back(create_task(hold(lock, name)));
    co_await sleep(0s);
    lock.release();
    note(lock.locked() ? "released:locked" : "released:free");
    co_await lock.acquire();
    note("A");
    co_await all(tasks);
  };
  run(main());

  finish("ORD-21");
}

TEST_P(OrderOfSync, WhoComesBeforeTheWokenTaskRunsGetsItsPermitAfterIt) {
  Semaphore semaphore(1);
  auto main = [&]() -> Coroutine<> {
    co_await semaphore.acquire();
    Task<> b = create_task(hold(semaphore, "B"));
    co_await sleep(0s);
    semaphore.release();
    note(semaphore.locked() ? "locked" : "unlocked");
    co_await hold(semaphore, "C");
    co_await b;
  };
  run(main());

  finish("ORD-22");
}

TEST_P(OrderOfSync, GettersGetTheItemsInTheOrderOfTheirArrival) {
  Queue<std::string> queue;
  auto main = [&]() -> Coroutine<> {
    std::vector<Task<>> tasks;
    for (const char* name : {"g1", "g2"}) tasks.push_back(create_task(get(queue, name)));
    co_await sleep(0s);
    co_await queue.put("x");
    co_await queue.put("y");
    note("size:" + std::to_string(queue.qsize()));
    co_await all(tasks);
  };
  run(main());

  finish("ORD-23");
}

TEST_P(OrderOfSync, AGetterWhoseItemIsTakenWaitsAgainBehindTheOthers) {
  Queue<std::string> queue;
  auto main = [&]() -> Coroutine<> {
    std::vector<Task<>> tasks;
    for (const char* name : {"g1", "g2"}) tasks.push_back(create_task(get(queue, name)));
    co_await sleep(0s);
    queue.put_nowait("x");
    note("taken:" + queue.get_nowait());
    co_await sleep(0s);
    queue.put_nowait("y");
    queue.put_nowait("z");
    co_await all(tasks);
  };
  run(main());

  finish("ORD-23 taken");
}

TEST_P(OrderOfSync, AnEventThatIsClearedAtOnceHasWokenAllItsWaiters) {
  Event event;
  auto main = [&]() -> Coroutine<> {
    std::vector<Task<>> tasks;
    for (const char* name : {"a", "b", "c"}) tasks.push_back(create_task(wait(event, name)));
    co_await sleep(0s);
    event.set();
    event.clear();
    note("cleared");
    co_await all(tasks);
  };
  run(main());

  finish("ORD-24");
}

TEST_P(OrderOfSync, OneNotificationWakesTheFirstWaiterOnceTheLockIsFree) {
  Condition condition;
  auto main = [&]() -> Coroutine<> {
    std::vector<Task<>> tasks;
    for (const char* name : {"a", "b"}) tasks.push_back(create_task(wait(condition, name)));
    co_await sleep(0s);
    {
      auto held = co_await condition.scoped();
      condition.notify(1);
      note("notified");
      co_await sleep(0s);
      note("release");
    }
    co_await tasks[0];
    for (int i = 0; i < 3; ++i) co_await sleep(0s);
    note(tasks[1].done() ? "b:done" : "b:waits");
    {
      auto held = co_await condition.scoped();
      condition.notify_all();
    }
    co_await tasks[1];
  };
  run(main());

  finish("ORD-25");
}

TEST_P(OrderOfSync, TheLastTaskAtABarrierGoesOnAtOnce) {
  Barrier barrier(3);
  auto main = [&]() -> Coroutine<> {
    std::vector<Task<>> tasks;
    for (const char* name : {"a", "b", "c"}) tasks.push_back(create_task(wait(barrier, name)));
    co_await all(tasks);
  };
  run(main());

  finish("ORD-45");
}

}  // namespace
}  // namespace aster::conformance
