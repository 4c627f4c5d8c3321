// SPDX-License-Identifier: MIT
//
// Callbacks, their handles and timers.
#include <aster/loop/event_loop.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;
using Seconds = std::chrono::duration<double>;

struct Callbacks : ::testing::Test {
  testing::SimLoop loop;
  int calls = 0;
  auto count() {
    return [this] { ++calls; };
  }
};
using Timers = Callbacks;

// Handles --------------------------------------------------------------------------

TEST_F(Callbacks, EachRunsExactlyOnce) {
  loop.call_soon(count());

  loop.run_until_idle();
  loop.run_until_idle();

  EXPECT_EQ(calls, 1);  // LOOP-1
}

TEST_F(Callbacks, MayBeMoveOnly) {
  int seen = 0;
  loop.call_soon([&, p = std::make_unique<int>(4)] { seen = *p; });

  loop.run_until_idle();

  EXPECT_EQ(seen, 4);
}

TEST_F(Callbacks, ACancelledOneIsSkippedAndDestroyedAtOnce) {
  auto shared = std::make_shared<int>(0);
  Handle handle = loop.call_soon([shared] { ADD_FAILURE(); });
  EXPECT_FALSE(handle.cancelled());

  handle.cancel();
  EXPECT_TRUE(handle.cancelled());
  EXPECT_EQ(shared.use_count(), 1);  // HND-2
  handle.cancel();

  loop.run_until_idle();  // LOOP-11
}

TEST_F(Callbacks, CancelAfterTheRunDoesNothing) {
  Handle handle = loop.call_soon(count());
  loop.run_until_idle();

  handle.cancel();

  EXPECT_FALSE(handle.cancelled());
  EXPECT_EQ(calls, 1);
}

TEST_F(Callbacks, OneMayCancelItselfWhileItRuns) {
  Handle handle;
  handle = loop.call_soon([&] {
    handle.cancel();
    ++calls;
  });

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(handle.cancelled());
}

TEST_F(Callbacks, DroppingTheHandleDoesNotCancel) {
  {
    Handle handle = loop.call_soon(count());
  }

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);
}

TEST_F(Callbacks, AnEmptyHandleDoesNothing) {
  Handle handle;
  handle.cancel();

  EXPECT_FALSE(handle.cancelled());
  EXPECT_EQ(TimerHandle().when(), TimePoint::max());
}

TEST_F(Callbacks, AHandleMayOutliveItsLoop) {
  Handle handle;
  TimerHandle timer;
  ThreadsafeHandle threadsafe;
  {
    testing::SimLoop other;
    handle = other.call_soon(count());
    timer = other.call_later(1h, count());
    threadsafe = other.call_soon_threadsafe(count());
  }

  handle.cancel();
  timer.cancel();
  threadsafe.cancel();

  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(handle.cancelled());  // By the loop's end.
}

TEST_F(Callbacks, AnExceptionIsReportedAndTheLoopGoesOn) {
  Reports reports(loop);
  loop.call_soon([] { throw std::logic_error("oops"); });
  loop.call_soon(count());

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);  // HND-3
  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0].find("Exception in callback"), 0U);  // ERR-20
  EXPECT_EQ(reports.errors[0], "std::logic_error: oops");
  ASSERT_TRUE(reports.contexts[0].source.has_value());
  EXPECT_NE(std::string(reports.contexts[0].source->file_name()).find("callback_test.cpp"),
            std::string::npos);
}

TEST_F(Callbacks, ACancelledErrorInOneIsReportedToo) {
  Reports reports(loop);
  loop.call_soon([] { throw CancelledError("odd"); });

  loop.run_until_idle();

  ASSERT_EQ(reports.errors.size(), 1U);
  EXPECT_EQ(reports.errors[0], "aster::CancelledError: odd");
}

TEST_F(Callbacks, ACallableIsDestroyedRightAfterItRan) {
  auto shared = std::make_shared<int>(0);
  Handle handle = loop.call_soon([shared] {});
  long uses = 0;
  loop.call_soon([&] { uses = shared.use_count(); });

  loop.run_until_idle();

  EXPECT_EQ(uses, 1);
}

// Threadsafe handles -----------------------------------------------------------------

TEST_F(Callbacks, AThreadsafeOneCancelledInTimeDoesNotRun) {
  auto shared = std::make_shared<int>(0);
  ThreadsafeHandle handle = loop.call_soon_threadsafe([shared] { ADD_FAILURE(); });

  std::thread([&] { handle.cancel(); }).join();

  EXPECT_TRUE(handle.cancelled());  // HND-8
  EXPECT_EQ(shared.use_count(), 1);
  loop.run_until_idle();
}

TEST_F(Callbacks, CancellingARunningThreadsafeOneFromItselfDoesNotWait) {
  ThreadsafeHandle handle;
  handle = loop.call_soon_threadsafe([&] {
    handle.cancel();
    ++calls;
  });

  loop.run_until_idle();

  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(handle.cancelled());
}

TEST_F(Callbacks, AnExceptionOfAThreadsafeOneIsReported) {
  Reports reports(loop);
  loop.call_soon_threadsafe([] { throw std::logic_error("oops"); });

  loop.run_until_idle();

  EXPECT_EQ(reports.errors, (std::vector<std::string>{"std::logic_error: oops"}));
}

// Timers ----------------------------------------------------------------------------------

TEST_F(Timers, RunWhenTheirTimeHasComeNotEarlier) {
  loop.call_later(10ms, count());

  loop.advance(9ms);
  EXPECT_EQ(calls, 0);

  loop.advance(1ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(Timers, TellWhenTheyAreDue) {
  const TimePoint now = loop.time();

  EXPECT_EQ(loop.call_later(5s, count()).when(), now + 5s);     // HND-6
  EXPECT_EQ(loop.call_at(now + 7s, count()).when(), now + 7s);  // LOOP-4
}

TEST_F(Timers, ANanDelayIsAnErrorAndKeepsNothing) {
  auto shared = std::make_shared<int>(0);

  EXPECT_THROW(loop.call_later(Seconds(std::numeric_limits<double>::quiet_NaN()), [shared] {}),
               ValueError);

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST_F(Timers, AnInfiniteDelayNeverComes) {
  TimerHandle handle = loop.call_later(Seconds(std::numeric_limits<double>::infinity()), count());

  loop.advance(std::chrono::hours(24 * 365 * 10));

  EXPECT_EQ(calls, 0);
  EXPECT_EQ(handle.when(), TimePoint::max());
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST_F(Timers, AHugeDelayDoesNotOverflow) {
  loop.call_later(std::chrono::hours::max(), count());
  loop.call_later(std::chrono::nanoseconds::max(), count());

  loop.advance(1h);

  EXPECT_EQ(calls, 0);
}

TEST_F(Timers, HugeNegativeDelaysAndTimesAreDueNow) {
  loop.call_later(std::chrono::hours::min(), count());
  loop.call_at(TimePoint::min(), count());

  EXPECT_EQ(loop.backend_timeout(), 0s);
  loop.run_until_idle();

  EXPECT_EQ(calls, 2);
}

TEST_F(Timers, AFloatingDelayIsNeverEarly) {
  loop.call_later(Seconds(0.1), count());

  loop.advance(100ms - 1ns);
  EXPECT_EQ(calls, 0);

  loop.advance(2ns);
  EXPECT_EQ(calls, 1);
}

TEST_F(Timers, ACancelledOneLeavesTheHeap) {
  TimerHandle handle = loop.call_later(1h, count());

  handle.cancel();

  EXPECT_TRUE(handle.cancelled());  // HND-7, LOOP-15
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST_F(Timers, ATimerThatRunsMayStartAnother) {
  loop.call_later(1s, [this] {
    ++calls;
    loop.call_later(1s, count());
  });

  loop.advance(2s);

  EXPECT_EQ(calls, 2);
}

TEST_F(Timers, OneThatIsDueAtOnceDoesNotStarveOthers) {
  int others = 0;
  Function<void()> again;
  again = [&] {
    if (++calls < 100) loop.call_later(0s, [&] { again(); });
  };
  loop.call_later(0s, [&] { again(); });
  loop.call_soon([&] { ++others; });

  loop.run_once();

  EXPECT_EQ(calls, 1);
  EXPECT_EQ(others, 1);
  loop.run_until_idle();
}

TEST_F(Timers, TenThousandRunInOrderOfTime) {
  std::vector<int> order;
  for (int i = 0; i < 10'000; ++i) {
    const int when = (i * 7919) % 10'000;
    loop.call_later(when * 1ms, [&order, when] { order.push_back(when); });
  }

  loop.advance(10s);

  ASSERT_EQ(order.size(), 10'000U);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace aster
