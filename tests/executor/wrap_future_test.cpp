// SPDX-License-Identifier: MIT
#include <aster/executor/thread_pool.hpp>
#include <aster/executor/wrap_future.hpp>
#include <aster/loop/event_loop.hpp>

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>

namespace aster {
namespace {

TEST(WrapFuture, EndsAsItsSourceDoes) {  // FUT-17, CF-20
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};

  EXPECT_EQ(loop.run_until_complete(wrap_future(pool.submit([] { return 3; }), loop)), 3);
  auto owner = wrap_future(pool.submit([] { return std::make_unique<int>(4); }), loop);
  EXPECT_EQ(*loop.run_until_complete(std::move(owner)), 4);
  EXPECT_THROW(loop.run_until_complete(
                   wrap_future(pool.submit([] { throw std::out_of_range("far"); }), loop)),
               std::out_of_range);
}

TEST(WrapFuture, TakesOneThatIsDone) {  // FUT-17
  EventLoop loop;
  ConcurrentFuture<int> source;
  source.set_result(1);

  Future<int> f = wrap_future(source, loop);
  EXPECT_FALSE(f.done());  // Never inside the call.

  EXPECT_EQ(loop.run_until_complete(f), 1);
  EXPECT_EQ(source.result(), 1);  // Copied, not taken.
}

TEST(WrapFuture, UsesTheRunningLoop) {  // FUT-17
  EventLoop loop;
  ConcurrentFuture<int> source;
  EXPECT_THROW((void)wrap_future(source), RuntimeError);

  auto amain = [](ConcurrentFuture<int> s) -> Coroutine<int> { co_return co_await wrap_future(s); };
  std::thread worker([source]() mutable { source.set_result(8); });
  EXPECT_EQ(loop.run_until_complete(amain(source)), 8);
  worker.join();
}

TEST(WrapFuture, ALoopsFutureIsWhatItIs) {  // FUT-17
  EventLoop loop;
  Future<int> f = loop.create_future<int>();
  EXPECT_EQ(wrap_future(f), f);
}

TEST(WrapFuture, CancellingItCancelsTheSource) {  // CF-20
  EventLoop loop;
  ConcurrentFuture<int> source;
  bool called = false;
  source.add_done_callback([&](ConcurrentFuture<int>) { called = true; });
  Future<int> f = wrap_future(source, loop);

  f.cancel();
  EXPECT_FALSE(called);  // Not inside `cancel`.
  loop.run_once();

  EXPECT_TRUE(called && source.cancelled());
}

TEST(WrapFuture, ACancelledSourceCancelsIt) {  // CF-20
  EventLoop loop;
  ConcurrentFuture<int> source;
  Future<int> f = wrap_future(source, loop);

  source.cancel();

  EXPECT_THROW(loop.run_until_complete(f), CancelledError);
}

TEST(WrapFuture, IsCancelledWhenNobodyIsLeftToCompleteIt) {
  EventLoop loop;
  Future<int> f;
  {
    ConcurrentFuture<int> source;
    f = wrap_future(source, loop);
  }
  EXPECT_THROW(loop.run_until_complete(f), CancelledError);
}

TEST(WrapFuture, AClosedLoopDropsIt) {  // CF-20
  ConcurrentFuture<std::shared_ptr<int>> source;
  auto token = std::make_shared<int>(1);
  {
    EventLoop loop;
    auto f = wrap_future(source, loop);
    loop.close();
    EXPECT_THROW((void)wrap_future(source, loop), RuntimeError);
    source.set_result(token);
    EXPECT_FALSE(f.done());
  }
  EXPECT_EQ(source.result(), token);
}

TEST(WrapFuture, CompletionRacingWithCancelAndCloseIsSafe) {  // CF-20, C23
  for (int round = 0; round < 300; ++round) {
    EventLoop loop;
    ConcurrentFuture<int> source;
    Future<int> f = wrap_future(source, loop);
    std::latch start{2};
    std::thread worker([source, &start]() mutable {
      start.arrive_and_wait();
      if (source.set_running_or_notify_cancel()) source.set_result(1);
    });
    start.arrive_and_wait();
    if (round % 3 == 0) f.cancel();
    if (round % 2 == 0) loop.run_once();
    loop.close();
    worker.join();
    ASSERT_TRUE(source.done());
  }
}

}  // namespace
}  // namespace aster
