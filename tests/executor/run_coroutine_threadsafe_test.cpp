// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/executor/run_coroutine_threadsafe.hpp>

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

namespace aster {
namespace {

using namespace std::chrono_literals;

/// A loop that runs in a thread of its own until the end of the scope.
class LoopThread {
 public:
  LoopThread() {
    std::latch running{1};
    thread_ = std::thread([&] {
      loop.call_soon([&] { running.count_down(); });
      loop.run_forever();
    });
    running.wait();
  }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;
  ~LoopThread() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    loop.call_soon_threadsafe([this] { loop.stop(); });
    thread_.join();
  }
  EventLoop loop;

 private:
  std::thread thread_;
};

Coroutine<int> add(int a, int b) {
  co_await sleep(0s);
  co_return a + b;
}

TEST(RunCoroutineThreadsafe, GivesTheCoroutinesResult) {  // WAIT-31
  LoopThread other;
  EXPECT_EQ(run_coroutine_threadsafe(add(1, 2), other.loop).result(), 3);

  auto owner = [](int n) -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(n); };
  EXPECT_EQ(*run_coroutine_threadsafe(owner(4), other.loop).take(), 4);
  auto fails = []() -> Coroutine<> {
    throw std::out_of_range("far");
    co_return;
  };
  EXPECT_THROW(run_coroutine_threadsafe(fails(), other.loop).result(), std::out_of_range);
}

TEST(RunCoroutineThreadsafe, TakesACallableThatLivesWithItsTask) {  // WAIT-31
  LoopThread other;
  auto token = std::make_shared<int>(5);

  auto f = run_coroutine_threadsafe(
      [t = token]() -> Coroutine<int> {
        co_await sleep(0s);
        co_return *t;
      },
      other.loop);

  EXPECT_EQ(f.result(), 5);
}

TEST(RunCoroutineThreadsafe, ResultCanTimeOut) {  // WAIT-31
  LoopThread other;
  auto waits = [](EventLoop& loop) -> Coroutine<> { co_await loop.create_future(); };
  auto f = run_coroutine_threadsafe(waits(other.loop), other.loop);

  EXPECT_THROW(f.result(1ms), TimeoutError);
  EXPECT_FALSE(f.done());

  f.cancel();
}

TEST(RunCoroutineThreadsafe, CancellingCancelsTheTask) {  // WAIT-31
  LoopThread other;
  std::latch waiting{1};
  std::latch cancelled{1};
  auto body = [&](EventLoop& loop) -> Coroutine<> {
    waiting.count_down();
    try {
      co_await loop.create_future();
    } catch (const CancelledError&) {
      cancelled.count_down();
      throw;
    }
  };
  auto f = run_coroutine_threadsafe(body(other.loop), other.loop);
  waiting.wait();

  EXPECT_TRUE(f.cancel());

  EXPECT_THROW(f.result(), CancelledError);
  cancelled.wait();
}

TEST(RunCoroutineThreadsafe, ACancelledTaskCancelsTheFuture) {  // CF-20
  LoopThread other;
  auto body = []() -> Coroutine<> {
    current_task().cancel();
    co_await sleep(0s);
  };
  EXPECT_THROW(run_coroutine_threadsafe(body(), other.loop).result(), CancelledError);
}

TEST(RunCoroutineThreadsafe, CancelledBeforeTheStartItNeverRuns) {  // WAIT-31
  EventLoop loop;
  bool ran = false;
  auto body = [&]() -> Coroutine<> {
    ran = true;
    co_return;
  };
  auto f = run_coroutine_threadsafe(body, loop);
  f.cancel();
  loop.run_once();
  loop.run_once();
  EXPECT_FALSE(ran);
}

TEST(RunCoroutineThreadsafe, AClosedLoopRefusesAndTheCoroutineIsDestroyed) {  // WAIT-31
  EventLoop loop;
  loop.close();
  auto token = std::make_shared<int>(0);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };

  EXPECT_THROW((void)run_coroutine_threadsafe(body(token), loop), RuntimeError);

  EXPECT_EQ(token.use_count(), 1);
  EXPECT_THROW((void)run_coroutine_threadsafe(Coroutine<>(), loop), RuntimeError);
}

TEST(RunCoroutineThreadsafe, ALoopThatClosesFirstReleasesWhoWaits) {
  EventLoop loop;
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  auto waits = [](EventLoop& l) -> Coroutine<> { co_await l.create_future(); };
  auto started = run_coroutine_threadsafe(waits(loop), loop);
  loop.run_once();
  auto not_started = run_coroutine_threadsafe(waits(loop), loop);
  loop.close();
  EXPECT_THROW(started.result(), CancelledError);
  EXPECT_THROW(not_started.result(), CancelledError);
}

TEST(RunCoroutineThreadsafe, EverySubmitAgainstCloseEndsOrThrows) {  // C23
  for (int round = 0; round < 100; ++round) {
    EventLoop loop;
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    std::latch start{4};
    std::vector<std::thread> threads;
    std::atomic<int> ended{0};
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        for (int i = 0; i < 10; ++i) {
          try {
            auto f = run_coroutine_threadsafe(add(i, t), loop);
            if (i % 3 == 0) f.cancel();
            (void)f.exception();
          } catch (const RuntimeError&) {
          } catch (const CancelledError&) {
          }
          ++ended;
        }
      });
    }
    start.arrive_and_wait();
    for (int turn = 0; turn < round; ++turn) loop.run_once();
    loop.close();
    for (auto& thread : threads) thread.join();
    ASSERT_EQ(ended, 30);
  }
}

}  // namespace
}  // namespace aster
