// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/executor/executor.hpp>
#include <aster/executor/thread_pool.hpp>
#include <aster/executor/to_thread.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>

namespace aster {
namespace {

using namespace std::chrono_literals;

std::string this_thread_name() {
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  return name;
}

/// Keeps jobs until the test runs or drops them.
class HoldingExecutor final : public Executor {
 public:
  void execute(Job&& job) override {
    if (refuses) throw RuntimeError("refused");
    jobs.push_back(std::move(job));
  }
  void shutdown(bool, bool) override { jobs.clear(); }
  std::vector<Job> jobs;
  bool refuses = false;
};

/// A latch that outlives a stuck job and the test's frame.
std::shared_ptr<std::latch> shared_latch() { return std::make_shared<std::latch>(1); }

TEST(RunInExecutor, RunsInAThreadOfTheDefaultPool) {  // EXE-1, CF-12
  EventLoop loop;

  Future<std::string> name = loop.run_in_executor(nullptr, this_thread_name);

  EXPECT_EQ(loop.run_until_complete(name), "asyncio_0");
}

TEST(RunInExecutor, SubmitsAtTheCall) {  // EXE-1
  EventLoop loop;
  std::latch ran{1};

  Future<> f = loop.run_in_executor(nullptr, [&] { ran.count_down(); });

  ran.wait();  // The loop does not run.
  EXPECT_FALSE(f.done());
  loop.run_until_complete(f);
}

TEST(RunInExecutor, BringsValuesReferencesAndErrorsHome) {  // EXE-5
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};
  int target = 3;

  auto owner = loop.run_in_executor(&pool, [](int n) { return std::make_unique<int>(n); }, 5);
  EXPECT_EQ(*loop.run_until_complete(std::move(owner)), 5);
  auto reference = loop.run_in_executor(&pool, [&]() -> int& { return target; });
  EXPECT_EQ(&loop.run_until_complete(reference), &target);
  auto failed = loop.run_in_executor(&pool, []() -> int { throw std::out_of_range("far"); });
  EXPECT_THROW(loop.run_until_complete(failed), std::out_of_range);
}

TEST(RunInExecutor, DestroysTheFunctionWhenItHasRun) {
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto token = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = token;

  auto f = loop.run_in_executor(&pool, [t = std::move(token)] { return *t; });

  EXPECT_EQ(loop.run_until_complete(f), 1);
  EXPECT_TRUE(watch.expired());
}

TEST(RunInExecutor, CancellingTakesAWaitingCallBack) {  // EXE-4, CAN-14
  EventLoop loop;
  HoldingExecutor executor;
  auto token = std::make_shared<int>(0);
  auto f = loop.run_in_executor(&executor, [token] { ++*token; });

  EXPECT_TRUE(f.cancel());

  EXPECT_TRUE(f.cancelled());
  EXPECT_EQ(token.use_count(), 1);  // At once, though the executor holds the job.
  executor.jobs[0]();
  EXPECT_EQ(*token, 0);
}

TEST(RunInExecutor, CancellingLeavesARunningCallAlone) {  // EXE-4, CAN-14
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};
  std::latch entered{1};
  std::latch may_end{1};
  std::atomic<bool> ended{false};
  auto f = loop.run_in_executor(&pool, [&] {
    entered.count_down();
    may_end.wait();
    ended = true;
  });
  entered.wait();

  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(f.cancelled());
  EXPECT_THROW(loop.run_until_complete(f), CancelledError);
  may_end.count_down();
  pool.shutdown();
  loop.run_once();

  EXPECT_TRUE(ended);
  EXPECT_TRUE(f.cancelled());
}

TEST(RunInExecutor, CancellingTheAwaitingTaskCancelsTheCall) {  // CAN-14
  EventLoop loop;
  HoldingExecutor executor;
  auto waits = [&]() -> Coroutine<> { co_await loop.run_in_executor(&executor, [] {}); };
  Task<> task = loop.create_task(waits);
  loop.run_once();
  ASSERT_EQ(executor.jobs.size(), 1U);

  task.cancel();

  EXPECT_THROW(loop.run_until_complete(task), CancelledError);
}

TEST(RunInExecutor, ADroppedJobCancelsItsFuture) {  // CF-10
  EventLoop loop;
  HoldingExecutor executor;
  auto dropped = loop.run_in_executor(&executor, [] {});
  auto failed = loop.run_in_executor(&executor, [] {});

  executor.jobs[1].fail(std::make_exception_ptr(BrokenThreadPool("broken")));
  executor.jobs.clear();

  EXPECT_THROW(loop.run_until_complete(dropped), CancelledError);
  EXPECT_THROW(loop.run_until_complete(failed), BrokenThreadPool);
}

TEST(RunInExecutor, AnExecutorThatRefusesLeavesNothingBehind) {  // CF-8
  EventLoop loop;
  HoldingExecutor executor;
  executor.refuses = true;
  auto token = std::make_shared<int>(0);

  EXPECT_THROW((void)loop.run_in_executor(&executor, [token] {}), RuntimeError);

  EXPECT_EQ(token.use_count(), 1);
}

TEST(RunInExecutor, AResultForAClosedLoopIsDropped) {  // EXE-5
  ThreadPoolExecutor pool{{.max_workers = 1}};
  std::latch entered{1};
  std::latch may_end{1};
  {
    EventLoop loop;
    auto f = loop.run_in_executor(&pool, [&] {
      entered.count_down();
      may_end.wait();
      return std::string(100, 'x');
    });
    entered.wait();
    loop.close();
    EXPECT_FALSE(f.done());
  }
  may_end.count_down();
  pool.shutdown();
}

TEST(RunInExecutor, AResultThatArrivedBeforeCloseIsDropped) {  // EXE-5
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto token = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = token;
  auto f = loop.run_in_executor(&pool, [t = std::move(token)] { return t; });
  pool.shutdown();  // Posted now, and never run.

  loop.close();

  EXPECT_TRUE(watch.expired());
  EXPECT_FALSE(f.done());
}

TEST(RunInExecutor, IsRefusedByAClosedLoop) {  // EXE-7
  EventLoop loop;
  loop.close();
  EXPECT_THROW((void)loop.run_in_executor(nullptr, [] {}), RuntimeError);
}

TEST(RunInExecutor, AnErrorThatNobodyLooksAtIsReported) {  // FUT-13
  EventLoop loop;
  std::vector<std::string> messages;
  loop.set_exception_handler([&](EventLoop& l, const ExceptionContext& context) {
    messages.push_back(context.message);
    l.stop();
  });

  (void)loop.run_in_executor(nullptr, [] { throw std::runtime_error("unseen"); });
  loop.run_forever();

  EXPECT_EQ(messages, std::vector<std::string>{"Future exception was never retrieved"});
}

TEST(RunInExecutor, CompletionsRacingWithCloseAndCancelAreSafe) {  // C23, EXE-4, EXE-5
  for (int round = 0; round < 200; ++round) {
    ThreadPoolExecutor pool{{.max_workers = 2}};
    std::atomic<int> ran{0};
    EventLoop loop;
    std::vector<Future<std::string>> futures;
    for (int i = 0; i < 10; ++i) {
      futures.push_back(loop.run_in_executor(&pool, [&ran] {
        ++ran;
        return std::string(40, 'r');
      }));
    }
    int cancelled = 0;
    for (std::size_t i = 0; i < futures.size(); i += 2) cancelled += futures[i].cancel();
    loop.run_once();
    if (round % 2 == 0) futures.clear();
    loop.close();
    pool.shutdown();
    ASSERT_EQ(cancelled, 5);
    ASSERT_GE(ran, 5);
  }
}

TEST(RunInExecutor, ThreadsPostWhileALoopRuns) {  // EXE-5
  EventLoop loop;
  auto sums = [](EventLoop& l) -> Coroutine<int> {
    int sum = 0;
    for (int i = 0; i < 200; ++i) sum += co_await l.run_in_executor(nullptr, [i] { return i; });
    co_return sum;
  };
  EXPECT_EQ(loop.run_until_complete(sums(loop)), 19900);
}

TEST(SetDefaultExecutor, WantsAThreadPool) {  // EXE-3
  EventLoop loop;
  EXPECT_THROW(loop.set_default_executor(nullptr), TypeError);
  EXPECT_THROW(loop.set_default_executor(std::make_shared<HoldingExecutor>()), TypeError);

  auto pool = std::make_shared<ThreadPoolExecutor>(
      ThreadPoolOptions{.max_workers = 1, .thread_name_prefix = "mine"});
  loop.set_default_executor(pool);

  EXPECT_EQ(loop.run_until_complete(loop.run_in_executor(nullptr, this_thread_name)), "mine_0");
  loop.close();
  EXPECT_THROW((void)pool->submit([] {}), RuntimeError);  // Shut down with the loop.
}

TEST(ShutdownDefaultExecutor, WaitsForTheJobsAndRefusesMore) {  // ACC-19, EXE-7
  EventLoop loop;
  std::atomic<int> ran{0};
  for (int i = 0; i < 20; ++i) (void)loop.run_in_executor(nullptr, [&] { ++ran; });

  loop.run_until_complete(loop.shutdown_default_executor());

  EXPECT_EQ(ran, 20);
  try {
    (void)loop.run_in_executor(nullptr, [] {});
    ADD_FAILURE();
  } catch (const RuntimeError& e) {
    EXPECT_NE(std::string(e.what()).find("Executor shutdown has been called"), std::string::npos);
  }
  loop.run_until_complete(loop.shutdown_default_executor());  // Again: nothing to do.
  ThreadPoolExecutor other;
  EXPECT_EQ(loop.run_until_complete(loop.run_in_executor(&other, [] { return 1; })), 1);
}

TEST(ShutdownDefaultExecutor, WithoutAPoolItOnlyRefuses) {  // ACC-19
  EventLoop loop;
  loop.run_until_complete(loop.shutdown_default_executor());
  EXPECT_THROW((void)loop.run_in_executor(nullptr, [] {}), RuntimeError);
  EXPECT_THROW(loop.run_until_complete(loop.shutdown_default_executor(
                   std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN()))),
               ValueError);
}

TEST(ShutdownDefaultExecutor, ReportsStuckJobsAfterItsTime) {  // ACC-19, EXE-13, C24
  auto entered = shared_latch();
  auto may_end = shared_latch();
  ConcurrentFuture<> ended;
  {
    EventLoop loop;
    std::vector<std::string> messages;
    loop.set_exception_handler(
        [&](EventLoop&, const ExceptionContext& context) { messages.push_back(context.message); });
    auto pool = std::make_shared<ThreadPoolExecutor>(
        ThreadPoolOptions{.max_workers = 1, .thread_name_prefix = "asyncio"});
    ended = pool->ended();
    loop.set_default_executor(std::move(pool));
    auto stuck = loop.run_in_executor(nullptr, [entered, may_end] {
      entered->count_down();
      may_end->wait();
    });
    auto queued = loop.run_in_executor(nullptr, [] {});
    entered->wait();

    loop.run_until_complete(loop.shutdown_default_executor(1ms));
    loop.run_once();

    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0],
              "shutdown_default_executor: 1 job did not end within 0.001 s and run on in "
              "asyncio_0 (aster::ShutdownDefaultExecutor_ReportsStuckJobsAfterItsTime_Test::"
              "TestBody::<lambda>); 1 that had not begun were cancelled");
    EXPECT_FALSE(stuck.done());
    EXPECT_TRUE(queued.cancelled());
  }  // Closing does not wait either.
  may_end->count_down();
  ended.result();
}

void wait_for_ever(const std::shared_ptr<std::latch>& entered,
                   const std::shared_ptr<std::latch>& may_end) {
  entered->count_down();
  may_end->wait();
}

TEST(Run, ReturnsWithinItsBoundAndNamesTheStuckJob) {  // EXE-13, RUN-6, K-12, C24
  auto entered = shared_latch();
  auto may_end = shared_latch();
  auto pool =
      std::make_shared<ThreadPoolExecutor>(ThreadPoolOptions{.thread_name_prefix = "asyncio"});
  ConcurrentFuture<> ended = pool->ended();
  std::vector<std::string> messages;
  Duration took{};
  auto amain = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    loop.set_default_executor(std::move(pool));
    loop.set_exception_handler([&](EventLoop& of, const ExceptionContext& context) {
      messages.push_back(context.message);
      took = of.time().time_since_epoch();
    });
    (void)create_task(to_thread(wait_for_ever, entered, may_end));
    co_await sleep(0s);
    entered->wait();
  };

  // Virtual time: nobody waits for 300 seconds.
  run(amain(), {.loop_factory = [] { return std::shared_ptr<EventLoop>(new testing::SimLoop); }});

  ASSERT_EQ(messages.size(), 1U);
  EXPECT_NE(messages[0].find("1 job did not end within 300 s"), std::string::npos) << messages[0];
  EXPECT_NE(messages[0].find("asyncio_0 ("), std::string::npos) << messages[0];
  EXPECT_GE(took, 300s);
  may_end->count_down();
  ended.result();
}

TEST(ShutdownDefaultExecutor, WhenCancelledThePoolGoesOnEnding) {  // CAN-22
  EventLoop loop;
  std::latch entered{1};
  std::latch may_end{1};
  auto pool = std::make_shared<ThreadPoolExecutor>();
  loop.set_default_executor(pool);
  auto job = loop.run_in_executor(nullptr, [&] {
    entered.count_down();
    may_end.wait();
    return 1;
  });
  entered.wait();
  Task<> shutdown = loop.create_task(loop.shutdown_default_executor());
  loop.run_once();

  shutdown.cancel();
  EXPECT_THROW(loop.run_until_complete(shutdown), CancelledError);
  may_end.count_down();

  EXPECT_EQ(loop.run_until_complete(job), 1);
  pool->ended().result();
}

TEST(Run, EndsThePoolAndItsLoop) {  // RUN-6
  std::atomic<bool> ran{false};
  auto amain = [&ran]() -> Coroutine<int> {
    (void)get_running_loop().run_in_executor(nullptr, [&ran] { ran = true; });
    co_return 5;
  };
  EXPECT_EQ(run(amain()), 5);
  EXPECT_TRUE(ran);
}

TEST(SimLoop, RunsJobsOfTheDefaultExecutorAsCallbacks) {
  testing::SimLoop loop;
  std::vector<int> order;
  const auto here = std::this_thread::get_id();
  auto a = loop.run_in_executor(nullptr, [&] {
    order.push_back(1);
    return std::this_thread::get_id();
  });
  auto b = loop.run_in_executor(nullptr, [&] { order.push_back(2); });
  auto taken_back = loop.run_in_executor(nullptr, [&] { order.push_back(3); });
  taken_back.cancel();
  EXPECT_TRUE(order.empty());

  EXPECT_EQ(loop.run_until_complete(a), here);
  loop.run_until_complete(loop.shutdown_default_executor());

  EXPECT_TRUE(b.done());
  EXPECT_EQ(order, (std::vector{1, 2}));
  EXPECT_THROW((void)loop.run_in_executor(nullptr, [] {}), RuntimeError);
}

}  // namespace
}  // namespace aster
