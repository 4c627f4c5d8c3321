// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/semaphore.hpp>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using SemaphoreTest = SyncTest;

TEST_F(SemaphoreTest, ANegativeNumberOfPermitsIsAnError) {  // SYN-14
  EXPECT_EQ(error_of([] { Semaphore bad(-1); }),
            "aster::ValueError: Semaphore initial value must be >= 0");
  EXPECT_EQ(error_of([] { BoundedSemaphore bad(-1); }),
            "aster::ValueError: Semaphore initial value must be >= 0");
  EXPECT_FALSE(Semaphore().locked());
  EXPECT_TRUE(Semaphore(0).locked());
}

TEST_F(SemaphoreTest, LetsAsManyInAsItHasPermits) {  // SYN-15
  Semaphore semaphore{3};
  int inside = 0;
  int most = 0;
  auto visit = [&]() -> Coroutine<> {
    auto permit = co_await semaphore.scoped();
    most = std::max(most, ++inside);
    co_await sleep(1s);
    --inside;
  };
  for (int i = 0; i < 10; ++i) start(visit);
  settle();
  loop.advance(10s);

  EXPECT_EQ(most, 3);
  EXPECT_EQ(inside, 0);
  EXPECT_FALSE(semaphore.locked());
}

TEST_F(SemaphoreTest, APermitIsTheOldestWaitersAtOnce) {  // SYN-16, SYN-18
  Semaphore semaphore(0);
  start(logged("a", semaphore.acquire()));
  settle();

  start(logged("b", semaphore.acquire()));  // Steps before a does.
  semaphore.release();
  EXPECT_TRUE(semaphore.locked());
  settle();

  EXPECT_EQ(log, "a");
  semaphore.release();
  settle();
  EXPECT_EQ(log, "ab");
}

TEST_F(SemaphoreTest, WhoComesBehindAWokenTaskGetsAFreePermitOnlyAfterIt) {  // SYN-15, SYN-18
  Semaphore semaphore(0);
  start(logged("a", semaphore.acquire()));
  settle();

  start(logged("b", semaphore.acquire()));  // Steps before a does.
  semaphore.release();
  semaphore.release();  // Free, but nobody may overtake a.
  EXPECT_TRUE(semaphore.locked());
  settle();

  EXPECT_EQ(log, "ab");
}

TEST_F(SemaphoreTest, ThePermitOfACancelledTaskGoesToTheNextOne) {  // SYN-17
  Semaphore semaphore(0);
  auto a = start(logged("a", semaphore.acquire()));
  start(logged("b", semaphore.acquire()));
  settle();

  semaphore.release();
  a.cancel();
  settle();

  EXPECT_EQ(log, "a!b");
  EXPECT_TRUE(semaphore.locked());
}

TEST_F(SemaphoreTest, ThePermitOfACancelledTaskIsFreeWhenNobodyWaits) {  // SYN-17
  Semaphore semaphore(0);
  auto a = start(logged("a", semaphore.acquire()));
  settle();

  semaphore.release();
  a.cancel();
  settle();

  EXPECT_FALSE(semaphore.locked());
}

TEST_F(SemaphoreTest, ABoundedOneIsNeverGivenMoreThanItHad) {  // SYN-19
  BoundedSemaphore semaphore{1};
  EXPECT_EQ(error_of([&] { semaphore.release(); }),
            "aster::ValueError: BoundedSemaphore released too many times");
  Semaphore& base = semaphore;
  EXPECT_THROW(base.release(), ValueError);

  start(logged("a", semaphore.acquire()));
  settle();
  semaphore.release();
  EXPECT_FALSE(semaphore.locked());

  Semaphore unbounded(1);
  unbounded.release();
  EXPECT_EQ(to_string(unbounded), "<Semaphore [unlocked, value:2]>");
}

TEST_F(SemaphoreTest, AGuardGivesItsPermitBackOnce) {
  Semaphore semaphore(1);
  auto body = [&]() -> Coroutine<> {
    auto permit = co_await semaphore.scoped();
    Semaphore::Guard other = std::move(permit);
    EXPECT_FALSE(permit);  // NOLINT(bugprone-use-after-move): that is what is tested.
    EXPECT_TRUE(semaphore.locked());
    other.release();
    other.release();
  };
  start(body);
  settle();

  EXPECT_EQ(to_string(semaphore), "<Semaphore [unlocked, value:1]>");
}

TEST_F(SemaphoreTest, WithHoldsAPermitWhileTheBodyRuns) {
  Semaphore semaphore(1);
  auto body = [&]() -> Coroutine<> {
    log += semaphore.locked() ? "locked" : "free";
    co_return;
  };
  start(with(semaphore, body));
  settle();

  EXPECT_EQ(log, "locked");
  EXPECT_FALSE(semaphore.locked());
}

TEST_F(SemaphoreTest, SaysWhatItIs) {  // SYN-28
  Semaphore semaphore(2);
  EXPECT_EQ(to_string(semaphore), "<Semaphore [unlocked, value:2]>");
  Semaphore none(0);
  start(logged("a", none.acquire()));
  settle();
  EXPECT_EQ(to_string(none), "<Semaphore [locked, waiters:1]>");
  none.release();
  settle();
}

}  // namespace
}  // namespace aster
