// SPDX-License-Identifier: MIT
#include <aster/executor/map.hpp>
#include <aster/executor/thread_pool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

int square(int n) { return n * n; }

template <class R>
auto all_of(MapResults<R> results) {
  std::vector<typename MapResults<R>::value_type> values;
  for (auto& value : results) values.push_back(value);
  return values;
}

/// Keeps jobs until the test runs or drops them.
class HoldingExecutor final : public Executor {
 public:
  void execute(Job&& job) override { jobs.push_back(std::move(job)); }
  void shutdown(bool, bool) override { jobs.clear(); }
  std::vector<Job> jobs;
};

TEST(ExecutorMap, ResultsComeInTheOrderOfTheInput) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 3}};
  const std::vector<int> numbers{1, 2, 3, 4, 5, 6};

  EXPECT_EQ(all_of(pool.map(square, numbers)), (std::vector{1, 4, 9, 16, 25, 36}));
  EXPECT_EQ(all_of(pool.map(square, std::vector<int>())), std::vector<int>());
}

TEST(ExecutorMap, GoesThroughSeveralRangesToTheEndOfTheShortest) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 2}};
  const std::vector<int> numbers{1, 2, 3, 4};
  const std::list<std::string> words{"a", "b", "c"};
  const auto join = [](int n, const std::string& word) { return std::to_string(n) + word; };

  EXPECT_EQ(all_of(pool.map(join, numbers, words)), (std::vector<std::string>{"1a", "2b", "3c"}));
}

TEST(ExecutorMap, AFunctionThatGivesNothingStillHasAPlaceForEachCall) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 2}};
  std::atomic<int> sum{0};

  auto done = all_of(pool.map([&](int n) { sum += n; }, std::views::iota(1, 5)));

  EXPECT_EQ(done.size(), 4U);
  EXPECT_EQ(sum, 10);
}

TEST(ExecutorMap, AnExceptionComesAtItsPlaceAndTheNextStepGoesOn) {  // CF-9, VER-10
  ThreadPoolExecutor pool{{.max_workers = 1}};
  const auto odd = [](int n) {
    if (n == 2) throw std::out_of_range("two");
    return n;
  };

  auto results = pool.map(odd, std::vector{1, 2, 3});

  EXPECT_EQ(results.next(), 1);
  EXPECT_THROW((void)results.next(), std::out_of_range);
  EXPECT_EQ(results.next(), 3);
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST(ExecutorMap, AllCallsAreSubmittedAtOnceUnlessABuffersizeLimitsThem) {  // CF-9
  HoldingExecutor executor;
  const std::vector<int> numbers{1, 2, 3, 4, 5};

  auto all = executor.map(square, numbers);
  EXPECT_EQ(executor.jobs.size(), 5U);
  executor.jobs.clear();
  auto some = executor.map(square, numbers, {.buffersize = 2});
  ASSERT_EQ(executor.jobs.size(), 2U);

  executor.jobs[0]();
  EXPECT_EQ(some.next(), 1);
  EXPECT_EQ(executor.jobs.size(), 3U);  // One looked at, one more submitted.
}

TEST(ExecutorMap, AnErrorOfTheInputComesOnceBehindWhatWasSubmittedAndEndsTheMap) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 1}};
  const auto input = std::views::iota(1, 9) | std::views::transform([](int n) {
                       if (n == 4) throw std::out_of_range("four");
                       return n;
                     });

  auto results = pool.map(square, input, {.buffersize = 2});

  EXPECT_EQ(results.next(), 1);
  EXPECT_EQ(results.next(), 4);  // Four was asked for already.
  EXPECT_EQ(results.next(), 9);
  EXPECT_THROW((void)results.next(), std::out_of_range);
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST(ExecutorMap, AnErrorOfSubmittingComesBehindWhatWasSubmitted) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto results = pool.map(square, std::vector{1, 2, 3, 4}, {.buffersize = 2});
  std::vector<int> values;

  pool.shutdown();

  auto it = results.begin();
  values.push_back(*it);
  ++it;
  values.push_back(*it);
  EXPECT_THROW(++it, RuntimeError);
  ++it;
  EXPECT_TRUE(it == results.end());
  EXPECT_EQ(values, (std::vector{1, 4}));
}

TEST(ExecutorMap, AnErrorOfTheInputComesBehindTheChunksBeforeIt) {  // CF-9
  class Source final : public detail::MapSource<std::vector<int>> {
   public:
    std::optional<ConcurrentFuture<std::vector<int>>> submit() override {
      if (++chunks_ == 3) throw std::out_of_range("three");
      ConcurrentFuture<std::vector<int>> chunk;
      chunk.set_result(std::vector{chunks_, -chunks_});
      return chunk;
    }

   private:
    int chunks_ = 0;
  };
  MapResults<int, true> results(std::make_unique<Source>(), {.buffersize = 2});
  std::vector<int> values;

  for (int i = 0; i < 4; ++i) values.push_back(results.next().value());

  EXPECT_EQ(values, (std::vector{1, -1, 2, -2}));
  EXPECT_THROW((void)results.next(), std::out_of_range);
  EXPECT_EQ(results.next(), std::nullopt);
}

TEST(ExecutorMap, AnErrorOfTheFirstSubmissionsComesFromTheCallItself) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 1}};
  pool.shutdown();
  const std::vector<int> numbers{1};

  EXPECT_THROW((void)pool.map(square, numbers, {.buffersize = 1}), RuntimeError);
}

TEST(ExecutorMap, TimesOutFromTheCallOnAndGoesOnAfterwards) {  // CF-9
  HoldingExecutor executor;
  auto results = executor.map(square, std::vector{3}, {.timeout = 1ms});

  EXPECT_THROW((void)results.next(), TimeoutError);

  executor.jobs[0]();
  EXPECT_EQ(results.next(), 9);  // It is done: no time is needed.
}

TEST(ExecutorMap, DroppedEarlyItCancelsWhatHasNotBegun) {  // CF-9
  HoldingExecutor executor;
  std::atomic<int> called{0};
  const auto count = [&](int) { ++called; };
  {
    auto results = executor.map(count, std::vector{1, 2, 3});
  }

  for (Job& job : executor.jobs) job();

  EXPECT_EQ(called, 0);
}

TEST(ExecutorMap, ACancelledCallIsReportedAtItsPlace) {  // CF-9
  HoldingExecutor executor;
  auto results = executor.map(square, std::vector{1, 2});

  executor.jobs[1]();
  executor.jobs.erase(executor.jobs.begin());  // Dropped: cancelled.

  EXPECT_THROW((void)results.next(), CancelledError);
  EXPECT_EQ(results.next(), 4);
}

TEST(ExecutorMap, ChecksItsOptions) {  // CF-9
  ThreadPoolExecutor pool{{.max_workers = 1}};
  const std::vector<int> numbers{1};

  EXPECT_THROW((void)pool.map(square, numbers, {.chunksize = 0}), ValueError);
  EXPECT_THROW((void)pool.map(square, numbers, {.buffersize = 0}), ValueError);
  EXPECT_THROW(
      (void)pool.map(
          {.timeout = std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())},
          square, numbers),
      ValueError);
  EXPECT_EQ(all_of(pool.map({.chunksize = 7}, square, numbers)), std::vector{1});
}

}  // namespace
}  // namespace aster
