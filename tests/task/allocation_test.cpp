// SPDX-License-Identifier: MIT
//
// What is done over and over allocates nothing: counted are all requests of the
// program to malloc and to `operator new`.
#include "support/allocations.hpp"

#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::allocation_count;
using support::allocations_of;

constexpr int warm_up = 100;
constexpr int rounds = 1000;

// Does it often enough for lists and vectors to have their size, then counts.
template <class Once>
Coroutine<std::uint64_t> count_rounds(Once once) {
  for (int i = 0; i < warm_up; ++i) co_await once();
  const std::uint64_t before = allocation_count();
  for (int i = 0; i < rounds; ++i) co_await once();
  co_return allocation_count() - before;
}

TEST(SteadyState, SleepOfNothingAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = []() -> Coroutine<> { co_await sleep(0s); };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, SleepAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = []() -> Coroutine<> { co_await sleep(1ms); };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, SleepWithinATimeoutAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = []() -> Coroutine<> { co_await wait_for(sleep(1ms), 1s); };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

// One side of a hand-over: waits for the future, then offers the next.
struct Exchange {
  Future<int> offered;
};

Coroutine<> give(Exchange& exchange, EventLoop& loop, int times) {
  for (int i = 0; i < times; ++i) {
    exchange.offered = loop.create_future<int>();
    co_await yield_now();  // The taker waits now.
    exchange.offered.set_result(i);
    co_await yield_now();
  }
}

TEST(SteadyState, AFutureHandOverAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  Exchange exchange;
  exchange.offered = loop.create_future<int>();
  auto once = [&]() -> Coroutine<> {
    while (exchange.offered.done()) co_await yield_now();
    Future<int> next = exchange.offered;
    co_await std::move(next);
  };
  auto giver = loop.create_task(give(exchange, loop, warm_up + rounds + 10));
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
  loop.run_until_complete(giver);
}

TEST(SteadyState, AnAwaitedCoroutineAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = []() -> Coroutine<> { co_return; };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, ATaskThatIsCreatedAndJoinedAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto work = []() -> Coroutine<> { co_return; };
  auto once = [&]() -> Coroutine<> { co_await create_task(work()); };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, ATaskOfAGroupAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto work = []() -> Coroutine<> { co_return; };
  auto body = [&]() -> Coroutine<std::uint64_t> {
    std::uint64_t count = 0;
    co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
      auto once = [&]() -> Coroutine<> { co_await group.create_task(work()); };
      count = co_await count_rounds(once);
    });
    co_return count;
  };
  EXPECT_EQ(loop.run_until_complete(body()), 0U);
}

TEST(SteadyState, ASmallCallbackAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  int called = 0;
  auto once = [&]() -> Coroutine<> {
    loop.call_soon([&called] { ++called; });
    co_await yield_now();
  };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
  EXPECT_EQ(called, warm_up + rounds);
}

TEST(SteadyState, ACallbackOfManyCapturesAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = [&]() -> Coroutine<> {
    loop.call_soon([bytes = std::array<char, 1000>{}] { static_cast<void>(bytes); });
    co_await yield_now();
  };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, ATimerThatIsTakenBackAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto once = [&]() -> Coroutine<> {
    loop.call_later(1h, [] {}).cancel();
    co_await yield_now();
  };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
}

TEST(SteadyState, ADoneCallbackOfAFutureAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  int called = 0;
  auto once = [&]() -> Coroutine<> {
    Future<> future = loop.create_future<>();
    future.add_done_callback([&called](const Future<>&) { ++called; });
    future.set_result();
    co_await yield_now();
  };
  EXPECT_EQ(loop.run_until_complete(count_rounds(once)), 0U);
  EXPECT_EQ(called, warm_up + rounds);
}

// The delivery of a cancellation ------------------------------------------------------

Coroutine<> await_down(int levels, Future<> last) {
  if (levels > 0) {
    co_await await_down(levels - 1, last);
  } else {
    co_await last;
  }
}

/// How often a cancellation asks for memory on its way up through `levels` awaits of
/// coroutines, from the step that throws to the task's end.
std::uint64_t delivery(int levels, const std::string& message = {}) {
  testing::SimLoop loop;
  std::uint64_t count = 0;
  for (int i = 0; i < 2; ++i) {  // The first time is for the runtime's own tables.
    Future<> last = loop.create_future<>();
    auto task = loop.create_task(await_down(levels, last));
    loop.run_until_idle();
    EXPECT_TRUE(task.cancel(message));
    count = allocations_of([&] { loop.run_once(); });
    EXPECT_TRUE(task.cancelled());
  }
  return count;
}

TEST(Delivery, OfACancellationIsOneAllocationOfTheRuntimeAndOneForEachLevel) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for (const int levels : {0, 1, 2, 10, 100}) {
    EXPECT_EQ(delivery(levels), static_cast<std::uint64_t>(levels) + 1) << levels;
  }
}

TEST(Delivery, OfAShortMessageIsOneMore) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(delivery(10, "shutdown"), 12U);
}

TEST(Delivery, OfALongMessageIsTwoMore) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(delivery(10, "the operator has asked for an orderly end"), 13U);
}

struct Refusal {};

Coroutine<> refuses() {
  throw Refusal();
  co_return;
}

// Throwing it again would be one more of the runtime.
TEST(Delivery, OfAnErrorToAnOutcomeIsTheErrorsOwnAllocationOnly) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto rethrown = []() -> Coroutine<> {
    Outcome<> ended = co_await outcome(refuses());
    EXPECT_THROW(ended.value(), Refusal);
  };
  auto kept = []() -> Coroutine<> {
    Outcome<> ended = co_await outcome(refuses());
    EXPECT_FALSE(ended.has_value());
  };
  EXPECT_EQ(loop.run_until_complete(count_rounds(rethrown)), 2U * rounds);
  EXPECT_EQ(loop.run_until_complete(count_rounds(kept)), 1U * rounds);
}

}  // namespace
}  // namespace aster
