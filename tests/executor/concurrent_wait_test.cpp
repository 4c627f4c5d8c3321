// SPDX-License-Identifier: MIT
#include "support/allocations.hpp"

#include <aster/executor/concurrent_wait.hpp>
#include <aster/executor/thread_pool.hpp>

#include <gtest/gtest.h>

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <limits>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

ConcurrentFuture<int> done_with(int value) {
  ConcurrentFuture<int> future;
  future.set_result(value);
  return future;
}

/// How many bytes more are in use after a thousand calls.
template <class Work>
std::size_t kept_by_thousand(const Work& work) {
  work();
  const std::size_t before = ::mallinfo2().uordblks;
  for (int i = 0; i < 1000; ++i) work();
  const std::size_t after = ::mallinfo2().uordblks;
  return after > before ? after - before : 0;
}

TEST(ConcurrentWait, WaitsForAllAndKeepsTheOrderOfTheInput) {  // CF-21
  ThreadPoolExecutor pool{{.max_workers = 2}};
  std::vector<ConcurrentFuture<int>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(pool.submit([i] { return i; }));

  auto [done, not_done] = wait(futures);

  EXPECT_EQ(done, futures);
  EXPECT_TRUE(not_done.empty());
}

TEST(ConcurrentWait, ReturnsWithTheFirstOne) {  // CF-21
  ConcurrentFuture<int> pending;

  auto [done, not_done] =
      wait(std::vector{pending, done_with(1)}, {.return_when = FIRST_COMPLETED});

  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].result(), 1);
  EXPECT_EQ(not_done, std::vector{pending});
}

TEST(ConcurrentWait, ReturnsWithTheFirstErrorButNotWithACancellation) {  // CF-21
  ConcurrentFuture<int> pending;
  ConcurrentFuture<int> cancelled;
  cancelled.cancel();
  ConcurrentFuture<int> failed;
  failed.set_exception(std::runtime_error("no"));

  auto early = wait(std::vector{pending, failed}, {.return_when = FIRST_EXCEPTION});
  auto late =
      wait(std::vector{pending, cancelled}, {.timeout = 1ms, .return_when = FIRST_EXCEPTION});

  EXPECT_EQ(early.not_done, std::vector{pending});
  EXPECT_EQ(late.done, std::vector{cancelled});
  EXPECT_EQ(late.not_done, std::vector{pending});  // Only its time was over.
}

TEST(ConcurrentWait, DuplicatesCollapseAndATimeOutIsNoError) {  // CF-21
  ConcurrentFuture<int> pending;
  const ConcurrentFuture<int> done = done_with(1);

  auto result = wait(std::vector{done, pending, done, pending}, {.timeout = 1ms});

  EXPECT_EQ(result.done, std::vector{done});
  EXPECT_EQ(result.not_done, std::vector{pending});
  EXPECT_TRUE(wait(std::vector<ConcurrentFuture<int>>()).done.empty());
}

TEST(ConcurrentWait, LeavesNothingInFuturesThatStayPending) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  ConcurrentFuture<int> pending;
  const ConcurrentFuture<int> done = done_with(1);

  const std::size_t timed_out =
      kept_by_thousand([&] { (void)wait(std::vector{pending}, {.timeout = 0s}); });
  const std::size_t first = kept_by_thousand(
      [&] { (void)wait(std::vector{pending, done}, {.return_when = FIRST_COMPLETED}); });
  const std::size_t dropped = kept_by_thousand([&] {
    auto each = as_completed(std::vector{pending, done});
    (void)each.next();
  });

  EXPECT_LT(timed_out, 10'000U);
  EXPECT_LT(first, 10'000U);
  EXPECT_LT(dropped, 10'000U);
}

TEST(ConcurrentWait, AFutureMayEndAfterItsWaitersHaveGone) {
  ConcurrentFuture<int> late;
  const std::vector futures{late, done_with(1)};
  (void)wait(futures, {.timeout = 0s});
  auto stays = as_completed(futures);
  {
    auto goes = as_completed(futures);
  }

  late.set_result(2);

  EXPECT_EQ(stays.next(), futures[1]);
  EXPECT_EQ(stays.next(), late);
  EXPECT_EQ(wait(futures).done, futures);
}

TEST(ConcurrentWait, ThreadsMayCompleteFuturesWhileWaitsComeAndGo) {
  constexpr std::size_t count = 200;
  std::vector<ConcurrentFuture<std::size_t>> futures(count);
  std::atomic<std::size_t> next{0};
  const auto complete = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      ConcurrentFuture<std::size_t> future = futures[i];
      if (i % 7 == 0) {
        future.cancel();
      } else if (i % 5 == 0) {
        future.set_exception(std::runtime_error("no"));
      } else {
        future.set_result(i);
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back(complete);

  std::vector<ConcurrentFuture<std::size_t>> left = futures;
  while (!left.empty()) {
    auto goes = as_completed(left);
    EXPECT_TRUE(goes.next().value().done());
    (void)wait(left, {.timeout = 0s, .return_when = FIRST_EXCEPTION});
    auto result = wait(std::move(left), {.return_when = FIRST_COMPLETED});
    EXPECT_FALSE(result.done.empty());
    left = std::move(result.not_done);
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wait(futures).done, futures);
}

TEST(ConcurrentWait, ChecksItsOptions) {  // CF-21
  const std::vector futures{done_with(1)};
  const auto nan = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN());

  EXPECT_THROW((void)wait(futures, {.timeout = nan}), ValueError);
  EXPECT_THROW((void)wait(futures, {.return_when = static_cast<ReturnWhen>(9)}), ValueError);
  EXPECT_THROW((void)as_completed(futures, {.timeout = nan}), ValueError);
}

TEST(ConcurrentAsCompleted, GivesFuturesInTheOrderOfTheirEnd) {  // CF-21
  ConcurrentFuture<int> a;
  ConcurrentFuture<int> b;
  ConcurrentFuture<int> c = done_with(3);

  auto each = as_completed(std::vector{a, b, c, a});
  b.set_result(2);
  a.set_result(1);

  EXPECT_EQ(each.next(), c);
  EXPECT_EQ(each.next(), b);
  EXPECT_EQ(each.next(), a);
  EXPECT_EQ(each.next(), std::nullopt);
}

TEST(ConcurrentAsCompleted, LosesNoFutureThatEndsWithoutMemory) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  std::vector<ConcurrentFuture<int>> futures(1000);
  auto each = as_completed(futures, {.timeout = 0s});

  {
    const support::NoMemory none;
    for (ConcurrentFuture<int>& future : futures) future.set_result(1);
  }

  for (const ConcurrentFuture<int>& future : futures) ASSERT_EQ(each.next(), future);
  EXPECT_EQ(each.next(), std::nullopt);
}

TEST(ConcurrentAsCompleted, TimesOutNamingHowManyAreLeft) {  // CF-21
  ConcurrentFuture<int> pending;
  auto each = as_completed(std::vector{pending, done_with(1)}, {.timeout = 1ms});
  ASSERT_TRUE(each.next());

  try {
    (void)each.next();
    ADD_FAILURE();
  } catch (const TimeoutError& e) {
    EXPECT_STREQ(e.what(), "1 (of 2) futures unfinished");
  }
}

TEST(ConcurrentAsCompleted, WakesAThreadThatWaits) {  // CF-21
  ThreadPoolExecutor pool{{.max_workers = 2}};
  std::vector<ConcurrentFuture<int>> futures;
  for (int i = 1; i <= 20; ++i) futures.push_back(pool.submit([i] { return i; }));

  int sum = 0;
  auto each = as_completed(std::move(futures));
  while (auto future = each.next()) sum += future->result();

  EXPECT_EQ(sum, 210);
}

}  // namespace
}  // namespace aster
