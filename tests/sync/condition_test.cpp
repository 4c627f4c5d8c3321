// SPDX-License-Identifier: MIT
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/condition.hpp>

#include <optional>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

class ConditionTest : public SyncTest {
 protected:
  // Waits once; notes its name when it has the lock again.
  Coroutine<> wait_once(std::string name) {
    auto held = co_await condition.scoped();
    Outcome<bool> ended = co_await outcome(condition.wait());
    log += name + (ended.cancelled() ? "!" : "") + (condition.locked() ? "" : "?");
    static_cast<void>(ended.value());
  }
  Coroutine<> notify(std::ptrdiff_t n) {
    auto held = co_await condition.scoped();
    condition.notify(n);
  }

  Condition condition;
};

TEST_F(ConditionTest, SharesTheLockItIsGiven) {  // SYN-8, SYN-13
  Lock lock;
  Condition one(lock);
  Condition other(lock);
  auto body = [&]() -> Coroutine<> {
    co_await one.acquire();
    EXPECT_TRUE(lock.locked());
    EXPECT_TRUE(other.locked());
    other.release();
    EXPECT_FALSE(one.locked());
  };
  auto task = start(body);
  settle();

  EXPECT_TRUE(task.done());
}

TEST_F(ConditionTest, WaitReleasesTheLockAndTakesItAgain) {  // SYN-9
  auto task = start(wait_once("a"));
  settle();
  EXPECT_FALSE(condition.locked());

  start(notify(1));
  settle();

  EXPECT_EQ(log, "a");
  EXPECT_FALSE(condition.locked());
  EXPECT_EQ(task.exception(), nullptr);
}

TEST_F(ConditionTest, WaitAndNotifyNeedTheLock) {  // SYN-9, SYN-12
  auto task = start(condition.wait());
  settle();

  EXPECT_EQ(describe(task.exception()), "aster::RuntimeError: cannot wait on un-acquired lock");
  EXPECT_EQ(error_of([this] { condition.notify(); }),
            "aster::RuntimeError: cannot notify on un-acquired lock");
  EXPECT_EQ(error_of([this] { condition.notify_all(); }),
            "aster::RuntimeError: cannot notify on un-acquired lock");
}

TEST_F(ConditionTest, NotifyWakesThatManyOldestFirst) {  // SYN-12
  for (const char* name : {"a", "b", "c", "d"}) start(wait_once(name));
  settle();

  start(notify(0));
  start(notify(-1));
  settle();
  EXPECT_EQ(log, "");
  start(notify(2));
  settle();
  EXPECT_EQ(log, "ab");
  start(notify(100));
  settle();
  EXPECT_EQ(log, "abcd");
}

TEST_F(ConditionTest, NotifyDoesNotCountThoseThatWereNotifiedBefore) {  // SYN-12
  for (const char* name : {"a", "b"}) start(wait_once(name));
  auto body = [this]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    condition.notify();
    condition.notify();
  };
  start(body);
  settle();

  EXPECT_EQ(log, "ab");
}

TEST_F(ConditionTest, NotifyAllWakesAllThatWaitNow) {  // SYN-12
  for (const char* name : {"a", "b", "c"}) start(wait_once(name));
  settle();
  auto body = [this]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    condition.notify_all();
  };
  start(body);
  start(wait_once("d"));
  settle();

  EXPECT_EQ(log, "abc");
}

TEST_F(ConditionTest, WaitForGivesTheValueThatIsTrueAndLooksBeforeItWaits) {  // SYN-11
  int stock = 3;
  auto take = [&]() -> Coroutine<int> {
    auto held = co_await condition.scoped();
    const int seen = co_await condition.wait_for([&] { return stock; });
    stock = 0;
    co_return seen;
  };
  auto first = start(take);
  auto second = start(take);
  settle();
  EXPECT_EQ(first.result(), 3);
  EXPECT_FALSE(second.done());

  start(notify(1));  // Nothing there: it waits again.
  settle();
  EXPECT_FALSE(second.done());
  stock = 7;
  start(notify(1));
  settle();
  EXPECT_EQ(second.result(), 7);
}

TEST_F(ConditionTest, ACancelledWaitTakesTheLockFirst) {  // SYN-10
  auto a = start(wait_once("a"));
  settle();
  auto holding = [this]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    co_await sleep(1s);
  };
  start(holding);
  settle();

  a.cancel("first");
  settle();
  a.cancel("last");
  settle();
  EXPECT_EQ(log, "");  // It waits for the lock.
  loop.advance(1s);

  EXPECT_EQ(log, "a!");
  EXPECT_TRUE(a.cancelled());
  EXPECT_FALSE(condition.locked());
}

TEST_F(ConditionTest, TheLastOfSeveralCancellationsIsThrown) {  // SYN-10
  auto waiting = [this]() -> Coroutine<std::string> {
    auto held = co_await condition.scoped();
    std::string text;
    try {
      co_await condition.wait();
    } catch (const CancelledError& error) {
      text = error.message();
    }
    co_return text;
  };
  auto a = start(waiting);
  settle();
  auto holding = [this]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    co_await sleep(1s);
  };
  start(holding);
  settle();
  for (const char* text : {"first", "second", "last"}) {
    a.cancel(text);
    settle();
  }
  loop.advance(1s);

  EXPECT_EQ(a.result(), "last");
}

TEST_F(ConditionTest, TheNotificationOfACancelledWaitGoesToTheNextTask) {  // SYN-10
  auto a = start(wait_once("a"));
  start(wait_once("b"));
  start(wait_once("c"));
  settle();

  start(notify(1));
  loop.run_once();  // a is notified.
  a.cancel();
  settle();

  EXPECT_EQ(log, "a!b");
}

TEST_F(ConditionTest, TheNotificationOfATaskCancelledWhileItWaitsForTheLockGoesOn) {  // SYN-10
  auto a = start(wait_once("a"));
  start(wait_once("b"));
  settle();
  auto notifying = [this]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    condition.notify(1);
    co_await sleep(1s);
  };
  start(notifying);
  settle();

  a.cancel();
  settle();
  EXPECT_EQ(log, "");
  loop.advance(1s);

  EXPECT_EQ(log, "a!b");
}

TEST_F(ConditionTest, ACancelledWaitThatWasNotNotifiedWakesNobody) {  // SYN-10
  auto a = start(wait_once("a"));
  start(wait_once("b"));
  settle();

  a.cancel();
  settle();

  EXPECT_EQ(log, "a!");
}

TEST_F(ConditionTest, AGuardReleasesTheLockAlsoAfterAWait) {
  start(wait_once("a"));
  start(notify(1));
  settle();

  EXPECT_FALSE(condition.locked());
}

TEST_F(ConditionTest, AWaitThatIsDestroyedLeavesAnothersLockAlone) {
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  start(wait_once("a"));  // Its guard has no lock while it waits.
  auto holding = [this]() -> Coroutine<> {
    co_await condition.acquire();
    co_await loop.create_future<>();
  };
  start(holding);
  settle();

  loop.close();

  EXPECT_TRUE(condition.locked());
}

TEST_F(ConditionTest, WithHoldsTheLock) {
  auto body = [this]() -> Coroutine<> {
    log += condition.locked() ? "locked" : "free";
    co_return;
  };
  start(with(condition, body));
  settle();

  EXPECT_EQ(log, "locked");
  EXPECT_FALSE(condition.locked());
}

TEST(ConditionOfTwoLoops, KeepsTheLockWhenItCannotWait) {
  Condition condition;
  std::string text;
  auto waiting = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    try {
      co_await condition.wait();
    } catch (const RuntimeError&) {
      text += condition.locked() ? "locked" : "free";
    }
  };
  auto notifying = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    condition.notify_all();
  };
  for (int i = 0; i < 2; ++i) {
    testing::SimLoop loop;
    loop.create_task(waiting);
    loop.create_task(notifying);
    loop.run_until_idle();
  }
  EXPECT_EQ(text, "locked");
  EXPECT_FALSE(condition.locked());
}

TEST_F(ConditionTest, SaysWhatItIs) {  // SYN-28
  EXPECT_EQ(to_string(condition), "<Condition [unlocked]>");
  start(wait_once("a"));
  settle();
  EXPECT_EQ(to_string(condition), "<Condition [unlocked, waiters:1]>");
  start(notify(1));
  settle();
}

}  // namespace
}  // namespace aster
