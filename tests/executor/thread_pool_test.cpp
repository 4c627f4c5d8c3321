// SPDX-License-Identifier: MIT
#include <aster/executor/thread_pool.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace aster {
namespace {

using namespace std::chrono_literals;

std::string this_thread_name() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

TEST(ThreadPoolExecutor, RunsFunctionsWithTheirArguments) {  // CF-8
  ThreadPoolExecutor pool{{.max_workers = 3}};
  int target = 0;

  ConcurrentFuture<int> sum = pool.submit([](int a, int b) { return a + b; }, 1, 2);
  auto owner = pool.submit([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(4));
  auto reference = pool.submit([](int& x) -> int& { return x; }, std::ref(target));
  auto nothing = pool.submit([] {});

  EXPECT_EQ(sum.result(), 3);
  EXPECT_EQ(*owner.take(), 4);
  EXPECT_EQ(&reference.result(), &target);
  nothing.result();
}

TEST(ThreadPoolExecutor, CallsMembersAndCopiesFromLvalues) {  // CF-8
  ThreadPoolExecutor pool;
  const std::string text = "abc";
  const auto f = [](std::string s) { return s + "!"; };

  EXPECT_EQ(pool.submit(&std::string::size, text).result(), 3U);
  EXPECT_EQ(pool.submit(f, text).result(), "abc!");
  EXPECT_EQ(text, "abc");
}

TEST(ThreadPoolExecutor, WhatAJobThrowsIsItsResult) {  // CF-8
  ThreadPoolExecutor pool{{.max_workers = 1}};

  auto failed = pool.submit([]() -> int { throw std::out_of_range("far"); });

  EXPECT_THROW((void)failed.result(), std::out_of_range);
  EXPECT_EQ(pool.submit([] { return 1; }).result(), 1);  // Its thread lives on.
}

TEST(ThreadPoolExecutor, NumberOfWorkersIsCheckedAndHasADefault) {  // CF-11, EXE-2
  EXPECT_THROW(ThreadPoolExecutor{{.max_workers = 0}}, ValueError);
  EXPECT_THROW(ThreadPoolExecutor{{.max_workers = -1}}, ValueError);

  cpu_set_t set;
  ASSERT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  EXPECT_EQ(ThreadPoolExecutor().max_workers(), std::min(32, CPU_COUNT(&set) + 4));
}

TEST(ThreadPoolExecutor, StartsThreadsOnDemandAndReusesIdleOnes) {  // CF-11
  ThreadPoolExecutor pool{{.max_workers = 2}};
  EXPECT_EQ(pool.thread_count(), 0U);

  std::latch both{2};
  auto a = pool.submit([&] { both.arrive_and_wait(); });
  auto b = pool.submit([&] { both.arrive_and_wait(); });
  a.result();
  b.result();
  EXPECT_EQ(pool.thread_count(), 2U);

  for (int i = 0; i < 20; ++i) pool.submit([] {}).result();
  EXPECT_EQ(pool.thread_count(), 2U);
}

TEST(ThreadPoolExecutor, JobsBeginInTheOrderOfSubmission) {  // CF-14
  ThreadPoolExecutor pool{{.max_workers = 1}};
  std::vector<int> order;

  for (int i = 0; i < 100; ++i) (void)pool.submit([&order, i] { order.push_back(i); });
  pool.shutdown();

  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(ThreadPoolExecutor, TheirNamesCanBeAskedForInFull) {  // CF-12
  ThreadPoolExecutor pool{{.max_workers = 1, .thread_name_prefix = "a_prefix_that_is_long"}};
  ThreadPoolExecutor unnamed{{.max_workers = 1}};

  EXPECT_EQ(pool.submit(current_thread_name).result(), "a_prefix_that_is_long_0");
  const std::string name = unnamed.submit(current_thread_name).result();
  EXPECT_EQ(name.substr(0, 19), "ThreadPoolExecutor-");
  EXPECT_EQ(name.substr(name.size() - 2), "_0");
  EXPECT_EQ(current_thread_name(), "MainThread");
  std::string other;
  std::thread([&] {
    ::pthread_setname_np(::pthread_self(), "other");
    other = current_thread_name();
  }).join();
  EXPECT_EQ(other, "other");
}

TEST(ThreadPoolExecutor, ThreadsAreNamed) {  // CF-12
  ThreadPoolExecutor named{{.max_workers = 1, .thread_name_prefix = "x"}};
  EXPECT_EQ(named.submit(this_thread_name).result(), "x_0");

  ThreadPoolExecutor longer{{.max_workers = 1, .thread_name_prefix = "0123456789abcdef"}};
  EXPECT_EQ(longer.submit(this_thread_name).result(), "0123456789abcde");

  ThreadPoolExecutor unnamed{{.max_workers = 1}};
  EXPECT_EQ(unnamed.submit(this_thread_name).result(), "ThreadPoolExecu");
}

TEST(ThreadPoolExecutor, RefusesJobsAfterShutdown) {  // CF-8, CF-10
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto last = pool.submit([] { return 1; });
  pool.shutdown();
  pool.shutdown();

  EXPECT_TRUE(last.done());
  EXPECT_THROW((void)pool.submit([] {}), RuntimeError);
}

TEST(ThreadPoolExecutor, ShutdownRunsWhatIsQueuedUnlessTold) {  // CF-10
  for (const bool cancel : {false, true}) {
    ThreadPoolExecutor pool{{.max_workers = 1}};
    std::latch entered{1};
    std::latch may_end{1};
    auto first = pool.submit([&] {
      entered.count_down();
      may_end.wait();
    });
    auto second = pool.submit([] { return 2; });
    entered.wait();

    pool.shutdown(false, cancel);
    EXPECT_FALSE(first.done());
    EXPECT_EQ(second.cancelled(), cancel);
    may_end.count_down();
    pool.shutdown(true);

    EXPECT_TRUE(first.done());
    if (!cancel) {
      EXPECT_EQ(second.result(0s), 2);
    }
  }
}

TEST(ThreadPoolExecutor, ItsDestructorWaits) {  // CF-10, CF-15
  std::atomic<int> ran{0};
  {
    ThreadPoolExecutor pool{{.max_workers = 2}};
    for (int i = 0; i < 50; ++i) (void)pool.submit([&] { ++ran; });
  }
  EXPECT_EQ(ran, 50);
}

TEST(ThreadPoolExecutor, ACancelledJobDoesNotRun) {  // CF-2
  ThreadPoolExecutor pool{{.max_workers = 1}};
  std::latch may_end{1};
  (void)pool.submit([&] { may_end.wait(); });
  std::atomic<bool> ran{false};
  auto job = pool.submit([&] { ran = true; });

  EXPECT_TRUE(job.cancel());
  may_end.count_down();
  pool.shutdown();

  EXPECT_FALSE(ran);
  EXPECT_THROW(job.result(), CancelledError);
}

TEST(ThreadPoolExecutor, AFailedInitializerBreaksThePool) {  // CF-13
  std::latch may_fail{1};
  ThreadPoolExecutor pool{{.max_workers = 1}, [&] {
                            may_fail.wait();
                            throw std::runtime_error("no");
                          }};
  auto a = pool.submit([] {});
  auto b = pool.submit([] {});
  may_fail.count_down();

  EXPECT_THROW(a.result(), BrokenThreadPool);
  EXPECT_THROW(b.result(), BrokenThreadPool);
  EXPECT_THROW((void)pool.submit([] {}), BrokenThreadPool);
}

TEST(ThreadPoolExecutor, TheInitializerRunsFirstInEachThread) {  // CF-11
  static thread_local int ready = 0;
  ThreadPoolExecutor pool{{.max_workers = 2}, [] { ready = 1; }};
  std::latch both{2};
  const auto job = [&both] {
    both.arrive_and_wait();
    return ready;
  };

  auto a = pool.submit(job);
  auto b = pool.submit(job);

  EXPECT_EQ(a.result() + b.result(), 2);
}

TEST(ThreadPoolExecutor, AJobCannotWaitForItsOwnPool) {
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto job = pool.submit([&pool] { pool.shutdown(); });
  EXPECT_THROW(job.result(), RuntimeError);
}

TEST(ThreadPoolExecutor, AJobMayHoldItsPoolLast) {
  auto pool = std::make_shared<ThreadPoolExecutor>(ThreadPoolOptions{.max_workers = 1});
  std::latch may_end{1};
  auto job = pool->submit([pool, &may_end] { may_end.wait(); });
  auto ended = pool->ended();

  pool.reset();
  may_end.count_down();

  job.result();
  ended.result();
}

TEST(ThreadPoolExecutor, LeavesAStuckJobToItself) {  // EXE-13
  std::latch entered{1};
  auto may_end = std::make_shared<std::latch>(1);
  ConcurrentFuture<> ended;
  {
    ThreadPoolExecutor pool{{.max_workers = 1, .thread_name_prefix = "slow"}};
    (void)pool.submit([&entered, may_end] {
      entered.count_down();
      may_end->wait();
    });
    auto queued = pool.submit([] {});
    entered.wait();

    const auto stuck = pool.leave(true);

    EXPECT_EQ(stuck.threads, std::vector<std::string>{
                                 "slow_0 (aster::ThreadPoolExecutor_LeavesAStuckJobToItself_Test::"
                                 "TestBody::<lambda>)"});
    EXPECT_EQ(stuck.dropped_count, 1U);
    EXPECT_TRUE(queued.cancelled());
    ended = pool.ended();
    EXPECT_FALSE(ended.done());
  }  // Does not wait.
  may_end->count_down();
  ended.result();
}

TEST(ThreadPoolExecutor, AForkedChildHasNoThreads) {
  ThreadPoolExecutor pool{{.max_workers = 1}};
  pool.submit([] {}).result();

  const ::pid_t child = ::fork();
  if (child == 0) {
    bool threw = false;
    try {
      (void)pool.submit([] {});
    } catch (const RuntimeError&) {
      threw = true;
    }
    pool.shutdown();
    pool.~ThreadPoolExecutor();
    ::_exit(threw ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ThreadPoolExecutor, EverySubmitAgainstShutdownEitherRunsOrThrows) {  // C23
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> accepted{0};
    std::atomic<int> ran{0};
    std::atomic<int> refused{0};
    std::atomic<int> cancelled{0};
    ThreadPoolExecutor pool{{.max_workers = 2}};
    std::latch start{5};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        start.arrive_and_wait();
        for (int i = 0; i < 20; ++i) {
          try {
            auto f = pool.submit([&ran] { ++ran; });
            ++accepted;
            f.add_done_callback([&](ConcurrentFuture<> done) { cancelled += done.cancelled(); });
          } catch (const RuntimeError&) {
            ++refused;
          }
        }
      });
    }
    start.arrive_and_wait();
    pool.shutdown(round % 2 == 0, round % 3 == 0);
    for (auto& t : threads) t.join();
    pool.shutdown();
    ASSERT_EQ(accepted + refused, 80);
    ASSERT_EQ(ran + cancelled, accepted);
  }
}

/// Keeps jobs instead of running them.
class HoldingExecutor final : public Executor {
 public:
  void execute(Job&& job) override { jobs.push_back(std::move(job)); }
  void shutdown(bool, bool) override { jobs.clear(); }
  std::vector<Job> jobs;
};

TEST(Executor, AnyClassCanRunJobs) {
  HoldingExecutor executor;
  auto a = executor.submit([] { return 1; });
  auto b = executor.submit([] { return 2; });
  auto c = executor.submit([] { return 3; });

  executor.jobs[0]();
  executor.jobs[1].fail(std::make_exception_ptr(BrokenExecutor("no")));
  executor.shutdown(false, true);  // Drops the third.

  EXPECT_EQ(a.result(), 1);
  EXPECT_THROW((void)b.result(), BrokenExecutor);
  EXPECT_TRUE(c.cancelled());
}

TEST(ThreadPoolExecutor, LeavingDoesNotWaitForAnInitializerThatHasNotBegun) {  // EXE-13
  for (int round = 0; round < 200; ++round) {
    auto may_end = std::make_shared<std::latch>(1);
    ConcurrentFuture<> ended;
    {
      ThreadPoolExecutor pool({.max_workers = 1}, [may_end] { may_end->wait(); });
      auto job = pool.submit([] {});

      (void)pool.leave(true);  // The thread may not have come to anything yet.

      ended = pool.ended();
    }
    may_end->count_down();
    ended.result();
  }
}

}  // namespace
}  // namespace aster
