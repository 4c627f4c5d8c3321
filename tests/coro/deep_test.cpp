// SPDX-License-Identifier: MIT
//
// Depth and number of awaits use no native stack: everything here runs on a
// thread whose stack is small.
#include <aster/coro/coroutine.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/task_group.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/reports.hpp"
#include "support/small_stack.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::on_small_stack;

constexpr int depth = 100'000;

Coroutine<int> count_down(int n) {
  if (n == 0) co_return 0;
  int rest = co_await count_down(n - 1);
  co_return rest + 1;
}

Coroutine<int> throw_at_bottom(int n) {
  if (n == 0) throw std::logic_error("bottom");
  co_return co_await throw_at_bottom(n - 1);
}

Coroutine<> sleep_at_bottom(int n, int& destroyed) {
  struct Count {
    int& number;
    explicit Count(int& to) : number(to) {}
    ~Count() { ++number; }
  } count(destroyed);
  if (n == 0) {
    co_await sleep(1h);
  } else {
    co_await sleep_at_bottom(n - 1, destroyed);
  }
}

// Where the native stack is at each level; `lowest` is the deepest place seen.
Coroutine<> note_stack(int n, std::uintptr_t& lowest) {
  lowest = std::min(lowest, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  if (n > 0) co_await note_stack(n - 1, lowest);
}

TEST(Deep, FramesRunInsideOneAnotherOnlyWhileLittleStackIsInUse) {
  testing::SimLoop loop;
  std::uintptr_t first = UINTPTR_MAX;
  std::uintptr_t lowest = UINTPTR_MAX;
  auto main = [&]() -> Coroutine<> {
    co_await note_stack(0, first);
    co_await note_stack(10'000, lowest);
  };
  loop.run_until_complete(main());

  EXPECT_LT(lowest, first);  // The second level runs inside the first.
  // One more frame, unoptimised and instrumented, may lie below the mark.
  EXPECT_LT(first - lowest, detail::native_call_depth + 8192);
}

TEST(Deep, AFrameThatWaitsInsideOthersGoesOnAloneAndThenItsAwaiters) {
  testing::SimLoop loop;
  std::string log;
  auto leaf = [&]() -> Coroutine<int> {
    log += "leaf ";
    co_await sleep(1s);
    log += "woken ";
    co_return 1;
  };
  auto middle = [&]() -> Coroutine<int> {
    const int first = co_await leaf();
    const int second = co_await leaf();
    co_return first + second;
  };
  auto main = [&]() -> Coroutine<> {
    const int sum = co_await middle();
    log += std::to_string(sum);
  };
  loop.run_until_complete(main());

  EXPECT_EQ(log, "leaf woken leaf woken 2");
}

TEST(DeepSlow, AHundredThousandAwaitsReturn) {
  on_small_stack([] {
    testing::SimLoop loop;
    EXPECT_EQ(loop.run_until_complete(count_down(depth)), depth);
  });
}

TEST(DeepSlow, AnExceptionLeavesAHundredThousandAwaits) {
  on_small_stack([] {
    testing::SimLoop loop;
    EXPECT_THROW(loop.run_until_complete(throw_at_bottom(depth)), std::logic_error);
  });
}

TEST(DeepSlow, ACancellationLeavesAHundredThousandAwaits) {
  on_small_stack([] {
    testing::SimLoop loop;
    int destroyed = 0;
    auto task = loop.create_task(sleep_at_bottom(depth, destroyed));
    loop.run_until_idle();

    task.cancel();
    loop.run_until_idle();

    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(destroyed, depth + 1);
  });
}

TEST(DeepSlow, AHundredThousandSuspendedAwaitsAreDestroyed) {
  on_small_stack([] {
    testing::SimLoop loop;
    support::Reports reports(loop);
    int destroyed = 0;
    static_cast<void>(loop.create_task(sleep_at_bottom(depth, destroyed)));
    loop.run_until_idle();

    loop.close();

    EXPECT_EQ(destroyed, depth + 1);
  });
}

Coroutine<int> one() { co_return 1; }

Coroutine<> await_many(int count, int& sum) {
  for (int i = 0; i < count; ++i) sum += co_await one();
}

TEST(DeepSlow, TenMillionReadyAwaitsRunInOneStep) {
  on_small_stack([] {
    testing::SimLoop loop;
    int sum = 0;
    auto task = loop.create_task(await_many(10'000'000, sum));

    loop.run_once();

    EXPECT_TRUE(task.done());
    EXPECT_EQ(sum, 10'000'000);
  });
}

Coroutine<int> failing() {
  throw std::logic_error("always");
  co_return 1;
}

Coroutine<> await_failures(int count, int& caught) {
  for (int i = 0; i < count; ++i) {
    try {
      co_await failing();
    } catch (const std::logic_error&) {
      ++caught;
    }
  }
}

TEST(DeepSlow, AHundredThousandAwaitsThatThrowAtOnceRunInOneStep) {
  on_small_stack([] {
    testing::SimLoop loop;
    int caught = 0;
    auto task = loop.create_task(await_failures(depth, caught));

    loop.run_once();

    EXPECT_TRUE(task.done());
    EXPECT_EQ(caught, depth);
  });
}

TEST(DeepSlow, AMillionAwaitsOfADoneFutureRunInOneStep) {
  on_small_stack([] {
    testing::SimLoop loop;
    Future<int> one = loop.create_future<int>();
    one.set_result(1);
    auto body = [&]() -> Coroutine<int> {
      int sum = 0;
      for (int i = 0; i < 1'000'000; ++i) sum += co_await one;
      co_return sum;
    };
    auto task = loop.create_task(body());

    loop.run_once();

    EXPECT_EQ(task.result(), 1'000'000);
  });
}

TEST(DeepSlow, AHundredThousandCallbacksOfOneFutureRunInOrder) {
  on_small_stack([] {
    testing::SimLoop loop;
    Future<> future = loop.create_future<>();
    int last = -1;
    bool in_order = true;
    for (int i = 0; i < depth; ++i) {
      future.add_done_callback([&, i](const Future<>&) {
        in_order = in_order && last == i - 1;
        last = i;
      });
    }

    future.set_result();
    loop.run_once();

    EXPECT_TRUE(in_order);
    EXPECT_EQ(last, depth - 1);
  });
}

TEST(DeepSlow, AHundredThousandCallbacksThatNeverRanAreDestroyed) {
  on_small_stack([] {
    testing::SimLoop loop;
    auto held = std::make_shared<int>(0);
    Future<> future = loop.create_future<>();
    for (int i = 0; i < depth; ++i) {
      future.add_done_callback([held](const Future<>&) { ++*held; });
    }

    future = {};

    EXPECT_EQ(held.use_count(), 1);
    EXPECT_EQ(*held, 0);
  });
}

Coroutine<> increase(int& count) {
  ++count;
  co_return;
}

// Each one is made, joined and gone before the next.
Coroutine<> create_and_join(int times, int& count) {
  for (int i = 0; i < times; ++i) co_await create_task(increase(count));
}

TEST(DeepSlow, AMillionTasksAreCreatedAndJoinedOneByOne) {
  on_small_stack([] {
    testing::SimLoop loop;
    int count = 0;
    loop.run_until_complete(create_and_join(1'000'000, count));
    EXPECT_EQ(count, 1'000'000);
  });
}

// All of them exist before the first one runs.
Coroutine<> create_and_join_together(int batch, int& count) {
  std::vector<Task<>> tasks;
  tasks.reserve(static_cast<std::size_t>(batch));
  for (int i = 0; i < batch; ++i) tasks.push_back(create_task(increase(count)));
  for (Task<>& task : tasks) co_await task;
}

TEST(DeepSlow, AMillionTasksAreCreatedAndJoinedAHundredThousandAtATime) {
  on_small_stack([] {
    testing::SimLoop loop;
    int count = 0;
    for (int i = 0; i < 10; ++i) loop.run_until_complete(create_and_join_together(depth, count));
    EXPECT_EQ(count, 1'000'000);
  });
}

Coroutine<> create_in_group(int batch, int& count) {
  co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
    for (int i = 0; i < batch; ++i) group.create_task(increase(count));
    co_return;
  });
}

TEST(DeepSlow, AGroupOfAHundredThousandTasksEnds) {
  on_small_stack([] {
    testing::SimLoop loop;
    int count = 0;
    loop.run_until_complete(create_in_group(depth, count));
    EXPECT_EQ(count, depth);
  });
}

Coroutine<> await_task(Task<> next) { co_await next; }

TEST(DeepSlow, ACancellationGoesDownAHundredThousandTasks) {
  on_small_stack([] {
    testing::SimLoop loop;
    Future<> last = loop.create_future<>();
    auto wait_last = [&]() -> Coroutine<> { co_await last; };
    Task<> task = loop.create_task(wait_last());
    for (int i = 0; i < depth; ++i) task = loop.create_task(await_task(task));
    loop.run_until_idle();

    EXPECT_TRUE(task.cancel());
    EXPECT_TRUE(last.cancelled());
    loop.run_until_idle();

    EXPECT_TRUE(task.cancelled());
  });
}

TEST(DeepSlow, AHundredThousandTasksThatAwaitEachOtherAreDestroyed) {
  on_small_stack([] {
    testing::SimLoop loop;
    support::Reports reports(loop);
    Future<> last = loop.create_future<>();
    auto wait_last = [&]() -> Coroutine<> { co_await last; };
    Task<> task = loop.create_task(wait_last());
    for (int i = 0; i < depth; ++i) task = loop.create_task(await_task(task));
    loop.run_until_idle();

    loop.close();

    EXPECT_EQ(reports.messages.size(), static_cast<std::size_t>(depth) + 1);
  });
}

}  // namespace
}  // namespace aster
