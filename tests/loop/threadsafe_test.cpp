// SPDX-License-Identifier: MIT
//
// The door between threads, on every real back end.
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/backends.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

using Threadsafe = support::OnEachBackend;
ASTER_ON_EACH_BACKEND(Threadsafe);

TEST_P(Threadsafe, ACallWakesALoopThatWaits) {
  std::atomic<bool> waiting{false};
  loop->call_soon([&] { waiting = true; });
  std::thread thread([&] {
    while (!waiting) std::this_thread::yield();
    loop->call_soon_threadsafe([&] { loop->stop(); });
  });

  loop->run_forever();  // LOOP-12

  thread.join();
}

TEST_P(Threadsafe, CallsOfOneThreadRunInTheirOrder) {
  std::vector<int> order;
  std::thread thread([&] {
    for (int i = 0; i < 1000; ++i) loop->call_soon_threadsafe([&order, i] { order.push_back(i); });
    loop->call_soon_threadsafe([&] { loop->stop(); });
  });

  loop->run_forever();
  thread.join();

  ASSERT_EQ(order.size(), 1000U);  // LOOP-13, ORD-37
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(Threadsafe, CallsOfSeveralThreadsAllRunEachThreadsInOrder) {
  constexpr int thread_count = 4;
  constexpr int calls = 2000;
  std::vector<std::vector<int>> seen(thread_count);
  int total = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < thread_count; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < calls; ++i) {
        loop->call_soon_threadsafe([&, t, i] {
          seen[t].push_back(i);
          if (++total == thread_count * calls) loop->stop();
        });
      }
    });
  }

  loop->run_forever();
  for (std::thread& thread : threads) thread.join();

  for (const auto& mine : seen) {
    ASSERT_EQ(mine.size(), static_cast<std::size_t>(calls));
    for (int i = 0; i < calls; ++i) ASSERT_EQ(mine[static_cast<std::size_t>(i)], i);
  }
}

// Either a call is refused, or its callable runs or is destroyed by close: never
// lost, never both.
TEST_P(Threadsafe, CallsAgainstACloseAreRefusedOrAccountedFor) {
  for (int round = 0; round < 20; ++round) {
    std::shared_ptr<EventLoop> closing = new_event_loop({.backend = GetParam()});
    auto live = std::make_shared<int>(0);
    std::atomic<int> accepted{0};
    std::atomic<int> refused{0};
    std::atomic<int> ran{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (!go) std::this_thread::yield();
        for (int i = 0; i < 200; ++i) {
          try {
            closing->call_soon_threadsafe([&ran, live] { ++ran; });
            ++accepted;
          } catch (const RuntimeError&) {
            ++refused;
          }
        }
      });
    }
    go = true;

    for (int i = 0; i < round; ++i) closing->run_once();
    closing->close();

    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(accepted + refused, 600);
    EXPECT_LE(ran, accepted);
    EXPECT_EQ(live.use_count(), 1);
  }
}

TEST_P(Threadsafe, CancelFromAnotherThreadWaitsForARunningCallback) {
  std::atomic<bool> started{false};
  std::atomic<bool> ended{false};
  bool ended_at_cancel = false;
  ThreadsafeHandle handle = loop->call_soon_threadsafe([&] {
    started = true;
    std::this_thread::sleep_for(20ms);  // Longer than a cancel that does not wait.
    ended = true;
    loop->stop();
  });
  std::thread thread([&] {
    while (!started) std::this_thread::yield();
    handle.cancel();
    ended_at_cancel = ended;
  });

  loop->run_forever();
  thread.join();

  EXPECT_TRUE(ended_at_cancel);  // HND-8
}

TEST_P(Threadsafe, CancelAgainstTheRunIsOneOrTheOther) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<bool> ran{false};
    bool ran_before_cancel_returned = false;
    ThreadsafeHandle handle = loop->call_soon_threadsafe([&] { ran = true; });
    std::thread thread([&] {
      handle.cancel();
      ran_before_cancel_returned = ran;
    });

    loop->run_once();
    thread.join();
    loop->run_once();

    EXPECT_EQ(ran, ran_before_cancel_returned);  // HND-8
    EXPECT_EQ(handle.cancelled(), !ran);
  }
}

TEST_P(Threadsafe, AFutureIsCompletedThroughTheDoor) {
  Future<std::string> f = loop->create_future<std::string>();
  std::thread thread(
      [&] { loop->call_soon_threadsafe([&f] { f.set_result("from another thread"); }); });

  EXPECT_EQ(loop->run_until_complete(f), "from another thread");

  thread.join();
}

TEST_P(Threadsafe, LoopsInSeveralThreadsPostToEachOther) {
  std::shared_ptr<EventLoop> other = new_event_loop({.backend = GetParam()});
  int here = 0;
  std::thread thread([&] { other->run_forever(); });
  Function<void()> ping;
  ping = [&] {
    if (++here == 200) {
      other->call_soon_threadsafe([&] { other->stop(); });
      loop->stop();
      return;
    }
    other->call_soon_threadsafe([&] { loop->call_soon_threadsafe([&] { ping(); }); });
  };
  loop->call_soon([&] { ping(); });

  loop->run_forever();
  thread.join();

  EXPECT_EQ(here, 200);
  other->close();
}

}  // namespace
}  // namespace aster
