// SPDX-License-Identifier: MIT
#include <aster/executor/concurrent_wait.hpp>
#include <aster/executor/thread_pool.hpp>

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

ConcurrentFuture<int> done_with(int value) {
  ConcurrentFuture<int> future;
  future.set_result(value);
  return future;
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
