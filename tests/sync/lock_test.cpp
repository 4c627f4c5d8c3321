// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/lock.hpp>

#include <optional>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

class LockTest : public SyncTest {
 protected:
  // Notes when it has the lock, and holds it for a turn.
  Coroutine<> hold(std::string name) {
    auto held = co_await lock.scoped();
    log += name;
    co_await sleep(0s);
  }

  // Locks it, as a task that has ended.
  void take() {
    start(logged("", lock.acquire()));
    settle();
  }

  Lock lock;
};

TEST_F(LockTest, AFreeLockIsTakenWithoutSuspending) {  // SYN-1, SYN-4
  auto taking = [this]() -> Coroutine<> { log += co_await lock.acquire() ? "true" : "false"; };
  EXPECT_FALSE(lock.locked());

  step(taking);

  EXPECT_EQ(log, "true");
  EXPECT_TRUE(lock.locked());
}

TEST_F(LockTest, GoesToTheTasksInTheOrderInWhichTheyAsked) {  // SYN-1
  for (const char* name : {"a", "b", "c", "d"}) start(hold(name));
  settle();

  EXPECT_EQ(log, "abcd");
  EXPECT_FALSE(lock.locked());
}

TEST_F(LockTest, IsFreeUntilTheWokenTaskRunsButWhoComesQueuesBehindIt) {  // SYN-2
  take();
  start(hold("a"));
  settle();
  EXPECT_EQ(log, "");

  start(hold("b"));  // Steps before a does.
  lock.release();
  EXPECT_FALSE(lock.locked());
  settle();

  EXPECT_EQ(log, "ab");
}

TEST_F(LockTest, AReleaseOfAFreeLockIsAnError) {  // SYN-2
  EXPECT_EQ(error_of([this] { lock.release(); }), "aster::RuntimeError: Lock is not acquired.");
}

TEST_F(LockTest, ATaskThatAsksAgainWaitsForItself) {  // SYN-5
  auto twice = [this]() -> Coroutine<> {
    co_await lock.acquire();
    co_await lock.acquire();
  };
  auto task = start(twice);
  settle();

  EXPECT_FALSE(task.done());
  task.cancel();
  settle();
  EXPECT_TRUE(lock.locked());
}

TEST_F(LockTest, ACancelledWaiterThatWasWokenLetsTheNextOneIn) {  // SYN-3
  take();
  auto a = start(hold("a"));
  start(hold("b"));
  settle();

  lock.release();
  a.cancel();
  settle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(log, "b");
  EXPECT_FALSE(lock.locked());
}

TEST_F(LockTest, AGuardReleasesItAtTheEndOfItsLifeOrEarlier) {
  auto body = [this]() -> Coroutine<> {
    Lock::Guard outer;
    EXPECT_FALSE(outer);
    {
      auto held = co_await lock.scoped();
      EXPECT_TRUE(held);
      outer = std::move(held);
    }
    EXPECT_TRUE(lock.locked());
    outer.release();
    EXPECT_FALSE(lock.locked());
    EXPECT_FALSE(outer);
    auto again = co_await lock.scoped();
    outer = std::move(again);
  };
  start(body);
  settle();

  EXPECT_FALSE(lock.locked());
}

TEST_F(LockTest, AGuardDoesNotReleaseWhatIsAnothers) {
  auto body = [this]() -> Coroutine<> {
    auto held = co_await lock.scoped();
    lock.release();
    co_await lock.acquire();
  };
  start(body);
  settle();

  EXPECT_TRUE(lock.locked());
}

TEST_F(LockTest, WithHoldsItWhileTheBodyRuns) {
  auto body = [this]() -> Coroutine<> {
    log += lock.locked() ? "locked" : "free";
    throw ValueError("body");
    co_return;
  };
  auto task = start(with(lock, body));
  settle();

  EXPECT_EQ(log, "locked");
  EXPECT_FALSE(lock.locked());
  EXPECT_EQ(describe(task.exception()), "aster::ValueError: body");
}

TEST_F(LockTest, TheGuardOfATaskThatIsDestroyedLetsNobodyIntoTheClosedLoop) {
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  auto forever = [this]() -> Coroutine<> {
    auto held = co_await lock.scoped();
    co_await loop.create_future<>();
  };
  start(forever);
  start(hold("b"));
  settle();

  loop.close();

  EXPECT_EQ(log, "");
}

TEST(LockOfTwoLoops, IsBoundToTheFirstOneThatATaskWaitsOn) {
  Lock lock;
  const auto contend = [&lock] {
    testing::SimLoop loop;
    auto hold = [&lock]() -> Coroutine<> {
      auto held = co_await lock.scoped();
      co_await sleep(0s);
    };
    auto a = loop.create_task(hold);
    auto b = loop.create_task(hold);
    loop.run_until_idle();
    return b.exception();
  };
  EXPECT_EQ(contend(), nullptr);

  EXPECT_EQ(describe(contend()),
            "aster::RuntimeError: the object that is waited for is bound to a different event "
            "loop");
  EXPECT_FALSE(lock.locked());
}

TEST(LockOfTwoLoops, WorksOnBothWhenNobodyEverWaits) {
  Lock lock;
  int count = 0;
  auto hold = [&]() -> Coroutine<> {
    auto held = co_await lock.scoped();
    ++count;
  };
  for (int i = 0; i < 2; ++i) {
    testing::SimLoop loop;
    loop.run_until_complete(hold());
  }
  EXPECT_EQ(count, 2);
}

TEST(LockDeathTest, MustOutliveATaskThatWasWokenToo) {
  const auto destroyed_early = [] {
    testing::SimLoop loop;
    std::optional<Lock> lock(std::in_place);
    auto taking = [&]() -> Coroutine<> { co_await lock->acquire(); };
    loop.create_task(taking);
    loop.create_task(taking);
    loop.run_until_idle();
    lock->release();
    lock.reset();
  };
  EXPECT_DEATH(destroyed_early(), "no_task_waits_for_an_object_that_is_destroyed");
}

TEST_F(LockTest, SaysWhatItIs) {  // SYN-28
  EXPECT_EQ(to_string(lock), "<Lock [unlocked]>");
  take();
  start(hold("a"));
  settle();
  EXPECT_EQ(to_string(lock), "<Lock [locked, waiters:1]>");
  lock.release();
  settle();
}

}  // namespace
}  // namespace aster
