// SPDX-License-Identifier: MIT
//
// The primitives under a driver that is no task: they know `detail::Driver` only.
#include <aster/sync/barrier.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>

#include <memory>
#include <optional>

#include "support/hand_driver.hpp"
#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using support::HandDriver;

class SyncUnderAnotherDriver : public SyncTest {
 protected:
  // One that waits: it has taken one step.
  template <class T>
  std::unique_ptr<HandDriver<T>> waiting(Coroutine<T> coroutine) {
    auto driver = std::make_unique<HandDriver<T>>(std::move(coroutine), &loop.scheduler());
    EXPECT_FALSE(driver->send());
    EXPECT_FALSE(driver->is_woken());
    return driver;
  }
  Coroutine<> hold(Lock& lock, std::string name) {
    auto held = co_await lock.scoped();
    log += name;
  }
  static Coroutine<int> get(Queue<int>& queue) { co_return co_await queue.get(); }
};

TEST_F(SyncUnderAnotherDriver, ALockIsHandedOver) {
  Lock lock;
  ASSERT_TRUE(HandDriver<>(hold(lock, "a"), &loop.scheduler()).send());
  {
    HandDriver<> holder(logged("", lock.acquire()), &loop.scheduler());
    ASSERT_TRUE(holder.send());
  }
  auto b = waiting(hold(lock, "b"));
  auto c = waiting(hold(lock, "c"));

  lock.release();
  EXPECT_TRUE(b->is_woken());
  EXPECT_FALSE(c->is_woken());
  EXPECT_TRUE(b->send());
  EXPECT_TRUE(c->is_woken());
  EXPECT_TRUE(c->send());

  EXPECT_EQ(log, "abc");
}

TEST_F(SyncUnderAnotherDriver, TheTurnOfAFrameThatIsDestroyedPassesOn) {
  Lock lock;
  {
    HandDriver<> holder(logged("", lock.acquire()), &loop.scheduler());
    ASSERT_TRUE(holder.send());
  }
  auto a = waiting(hold(lock, "a"));
  auto b = waiting(hold(lock, "b"));

  lock.release();
  a.reset();  // Woken, and never run.
  EXPECT_TRUE(b->is_woken());
  EXPECT_TRUE(b->send());

  EXPECT_EQ(log, "b");
  EXPECT_FALSE(lock.locked());
}

TEST_F(SyncUnderAnotherDriver, ThePermitOfAFrameThatIsDestroyedPassesOn) {
  Semaphore semaphore(0);
  auto a = waiting(logged("a", semaphore.acquire()));
  auto b = waiting(logged("b", semaphore.acquire()));

  semaphore.release();
  a.reset();
  EXPECT_TRUE(b->is_woken());
  EXPECT_TRUE(b->send());

  EXPECT_EQ(log, "b");
}

TEST_F(SyncUnderAnotherDriver, AnEventWakesAndACancellationIsThrown) {
  Event event;
  auto a = waiting(logged("a", event.wait()));
  auto b = waiting(logged("b", event.wait()));

  EXPECT_TRUE(b->cancel_now());
  EXPECT_TRUE(b->send());
  event.set();
  EXPECT_TRUE(a->send());

  EXPECT_EQ(log, "b!a");
}

TEST_F(SyncUnderAnotherDriver, TheNotificationOfAFrameThatIsDestroyedPassesOn) {
  Condition condition;
  auto wait = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    co_await condition.wait();
    log += "woken";
  };
  auto notify = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    condition.notify();
  };
  auto a = waiting(wait());
  auto b = waiting(wait());

  EXPECT_TRUE(HandDriver<>(notify(), &loop.scheduler()).send());
  EXPECT_TRUE(a->is_woken());
  a.reset();
  EXPECT_TRUE(b->is_woken());
  EXPECT_TRUE(b->send());

  EXPECT_EQ(log, "woken");
  EXPECT_FALSE(condition.locked());
}

TEST_F(SyncUnderAnotherDriver, ANotificationIsNotLostWhileItsTaskWaitsForTheLock) {
  Condition condition;
  auto wait = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    co_await condition.wait();
    log += "woken";
  };
  auto a = waiting(wait());
  auto b = waiting(wait());
  HandDriver<> holder(logged("", condition.acquire()), &loop.scheduler());
  ASSERT_TRUE(holder.send());
  condition.notify();
  EXPECT_FALSE(a->send());  // It has its notification, and waits for the lock.

  a.reset();
  EXPECT_TRUE(b->is_woken());
  EXPECT_TRUE(condition.locked());  // Still the holder's.
  condition.release();
  EXPECT_TRUE(b->send());

  EXPECT_EQ(log, "woken");
}

TEST_F(SyncUnderAnotherDriver, ABarrierForgetsAFrameThatIsDestroyed) {
  Barrier barrier(2);
  auto pass = [&]() -> Coroutine<> { log += std::to_string(co_await barrier.wait()); };
  auto a = waiting(pass());
  a.reset();
  EXPECT_EQ(barrier.n_waiting(), 0);

  auto b = waiting(pass());
  EXPECT_TRUE(HandDriver<>(pass(), &loop.scheduler()).send());
  EXPECT_TRUE(b->send());

  EXPECT_EQ(log, "10");
}

TEST_F(SyncUnderAnotherDriver, AGetterWhoseItemIsTakenWaitsAgain) {
  Queue<int> queue;
  auto a = waiting(get(queue));

  queue.put_nowait(1);
  EXPECT_TRUE(a->is_woken());
  EXPECT_EQ(queue.get_nowait(), 1);
  EXPECT_FALSE(a->send());
  queue.put_nowait(2);
  EXPECT_TRUE(a->send());

  EXPECT_EQ(a->result.take(), 2);
}

TEST_F(SyncUnderAnotherDriver, WhoeverOfTheWokenGettersRunsFirstNoItemIsTakenTwice) {
  // Three getters woken, one item taken away: in whichever order they run, two get the
  // items and the other waits.
  for (const auto& order :
       {std::vector{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}) {
    Queue<int> queue;
    std::vector<std::unique_ptr<HandDriver<int>>> getters;
    for (int i = 0; i < 3; ++i) getters.push_back(waiting(get(queue)));
    for (int i = 0; i < 3; ++i) queue.put_nowait(i);
    EXPECT_EQ(queue.get_nowait(), 0);

    int next = 1;
    for (const int i : order) {
      auto& getter = *getters[static_cast<std::size_t>(i)];
      ASSERT_TRUE(getter.is_woken());
      if (getter.send()) {
        EXPECT_EQ(getter.result.take(), next++);
      }
    }

    EXPECT_EQ(next, 3);
    EXPECT_TRUE(queue.empty());
  }
}

TEST_F(SyncUnderAnotherDriver, TheItemOfAFrameThatIsDestroyedStaysForTheNext) {
  Queue<int> queue;
  auto a = waiting(get(queue));
  auto b = waiting(get(queue));

  queue.put_nowait(1);
  a.reset();
  EXPECT_TRUE(b->is_woken());
  EXPECT_TRUE(b->send());

  EXPECT_EQ(b->result.take(), 1);
}

TEST_F(SyncUnderAnotherDriver, AGetterOnItsDetourMayBeDestroyed) {
  Queue<int> queue;
  for (const bool has_run : {false, true}) {
    auto a = waiting(get(queue));
    queue.put_nowait(1);
    EXPECT_EQ(queue.get_nowait(), 1);
    if (has_run) {
      EXPECT_FALSE(a->send());
    }
    a.reset();
  }
  queue.put_nowait(2);
  EXPECT_EQ(queue.get_nowait(), 2);
}

}  // namespace
}  // namespace aster
