// SPDX-License-Identifier: MIT
//
// Depth and number of awaits use no native stack: everything here runs on a
// thread whose stack is small.
#include <aster/coro/coroutine.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

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

TEST(DeepSlow, AMillionReadyAwaitsRunInOneStep) {
  on_small_stack([] {
    testing::SimLoop loop;
    auto one = []() -> Coroutine<int> { co_return 1; };
    auto body = [&]() -> Coroutine<int> {
      int sum = 0;
      for (int i = 0; i < 1'000'000; ++i) sum += co_await one();
      co_return sum;
    };
    auto task = loop.create_task(body());

    loop.run_once();

    EXPECT_EQ(task.result(), 1'000'000);
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
