// SPDX-License-Identifier: MIT
#include <aster/executor/concurrent_future.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

TEST(ConcurrentFuture, GoesFromPendingThroughRunningToFinished) {  // CF-1, CF-3, CF-6
  ConcurrentFuture<int> f;
  EXPECT_FALSE(f.running() || f.done() || f.cancelled());

  EXPECT_TRUE(f.set_running_or_notify_cancel());
  EXPECT_TRUE(f.running());
  EXPECT_FALSE(f.done());

  f.set_result(7);
  EXPECT_TRUE(f.done());
  EXPECT_FALSE(f.running() || f.cancelled());
  EXPECT_EQ(f.result(), 7);
  EXPECT_EQ(f.exception(), nullptr);
}

TEST(ConcurrentFuture, CancelSucceedsOnlyBeforeItRuns) {  // CF-2
  ConcurrentFuture<int> pending;
  EXPECT_TRUE(pending.cancel());
  EXPECT_TRUE(pending.cancel());  // Still so.
  EXPECT_TRUE(pending.cancelled() && pending.done());

  ConcurrentFuture<int> running;
  ASSERT_TRUE(running.set_running_or_notify_cancel());
  EXPECT_FALSE(running.cancel());
  running.set_result(1);
  EXPECT_FALSE(running.cancel());
  EXPECT_FALSE(running.cancelled());
}

TEST(ConcurrentFuture, ACancelledOneIsNotToBeRun) {  // CF-6
  ConcurrentFuture<> f;
  f.cancel();

  EXPECT_FALSE(f.set_running_or_notify_cancel());
  EXPECT_THROW((void)f.set_running_or_notify_cancel(), RuntimeError);
  EXPECT_TRUE(f.cancelled());
}

TEST(ConcurrentFuture, ResultWaitsForAnotherThread) {  // CF-4
  ConcurrentFuture<std::string> f;
  std::latch started{1};
  std::thread worker([&] {
    started.wait();
    f.set_result("done");
  });

  started.count_down();
  EXPECT_EQ(f.result(), "done");
  EXPECT_EQ(f.result(0s), "done");  // Again, as often as wished.

  worker.join();
}

TEST(ConcurrentFuture, TimeoutsAreDelays) {  // CF-4, MAP-2
  ConcurrentFuture<int> f;

  EXPECT_THROW((void)f.result(1ms), TimeoutError);
  EXPECT_THROW((void)f.exception(0s), TimeoutError);
  EXPECT_THROW((void)f.take(-1s), TimeoutError);
  EXPECT_THROW(
      (void)f.result(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())),
      ValueError);
  f.set_result(1);
  EXPECT_EQ(f.result(-1s), 1);
  EXPECT_EQ(f.result(std::chrono::hours::max()), 1);
}

TEST(ConcurrentFuture, CancellingReleasesAWaiter) {  // CF-2, CF-4
  ConcurrentFuture<int> f;
  std::latch about_to_wait{1};
  std::atomic<bool> threw{false};
  std::thread waiter([f, &about_to_wait, &threw] {
    about_to_wait.count_down();
    try {
      (void)f.result();
    } catch (const CancelledError&) {
      threw = true;
    }
  });

  about_to_wait.wait();
  f.cancel();
  waiter.join();

  EXPECT_TRUE(threw);
  EXPECT_THROW((void)f.exception(), CancelledError);
}

TEST(ConcurrentFuture, GivesTheStoredException) {  // CF-4, CF-7
  ConcurrentFuture<int> f;
  f.set_exception(std::out_of_range("far"));

  EXPECT_THROW((void)f.result(), std::out_of_range);
  EXPECT_EQ(describe(f.exception()), "std::out_of_range: far");
  EXPECT_THROW(f.set_exception(std::exception_ptr()), ValueError);
}

TEST(ConcurrentFuture, CannotBeCompletedTwice) {  // CF-7
  ConcurrentFuture<int> f;
  f.set_result(1);
  EXPECT_THROW(f.set_result(2), InvalidStateError);
  EXPECT_THROW(f.set_exception(std::runtime_error("e")), InvalidStateError);

  ConcurrentFuture<int> cancelled;
  cancelled.cancel();
  EXPECT_THROW(cancelled.set_result(2), InvalidStateError);
}

TEST(ConcurrentFuture, CallbacksRunInOrderInTheCompletingThread) {  // CF-5
  ConcurrentFuture<int> f;
  std::vector<int> order;
  std::thread::id where;
  f.add_done_callback([&](ConcurrentFuture<int> done) { order.push_back(done.result()); });
  f.add_done_callback([&](ConcurrentFuture<int>) {
    order.push_back(2);
    where = std::this_thread::get_id();
  });

  std::thread worker([&] { f.set_result(1); });
  const auto id = worker.get_id();
  worker.join();

  EXPECT_EQ(order, (std::vector{1, 2}));
  EXPECT_EQ(where, id);
  f.add_done_callback([&](ConcurrentFuture<int>) { order.push_back(3); });  // Done: now.
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST(ConcurrentFuture, WhatACallbackThrowsIsIgnored) {  // CF-5
  ConcurrentFuture<> f;
  int calls = 0;
  f.add_done_callback([](ConcurrentFuture<>) { throw std::runtime_error("in a callback"); });
  f.add_done_callback([&](ConcurrentFuture<>) { ++calls; });

  EXPECT_TRUE(f.cancel());

  EXPECT_EQ(calls, 1);
}

TEST(ConcurrentFuture, TakesMoveOnlyValuesAndReferences) {
  ConcurrentFuture<std::unique_ptr<int>> owner;
  owner.set_result(std::make_unique<int>(5));
  EXPECT_EQ(*owner.take(), 5);
  EXPECT_THROW((void)owner.take(), InvalidStateError);

  int target = 1;
  ConcurrentFuture<int&> reference;
  reference.set_result(target);
  reference.result() = 9;
  EXPECT_EQ(target, 9);
}

TEST(ConcurrentFuture, OneOfCancelAndRunWins) {  // CF-2, CF-6
  for (int round = 0; round < 2000; ++round) {
    ConcurrentFuture<int> f;
    std::atomic<bool> ran{false};
    std::thread worker([f, &ran]() mutable {
      if (!f.set_running_or_notify_cancel()) return;
      ran = true;
      f.set_result(1);
    });
    const bool cancelled = f.cancel();
    worker.join();
    ASSERT_NE(cancelled, ran.load());
    ASSERT_EQ(cancelled, f.cancelled());
  }
}

}  // namespace
}  // namespace aster
