// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

namespace aster {
namespace {

using namespace std::chrono_literals;

Coroutine<int> gives(int n) { co_return n; }

struct EnsureFuture : ::testing::Test {
  testing::SimLoop loop;
};

TEST_F(EnsureFuture, OfAFutureIsThatFuture) {
  Future<int> f = loop.create_future<int>();

  EXPECT_EQ(ensure_future(f), f);  // FUT-16
}

TEST_F(EnsureFuture, OfATaskIsThatTask) {
  Task<int> task = loop.create_task(gives(1));

  auto same = ensure_future(task);

  static_assert(std::is_same_v<decltype(same), Task<int>>);
  EXPECT_EQ(same, task);
}

TEST_F(EnsureFuture, OfACoroutineIsATaskOfTheRunningLoop) {
  auto body = []() -> Coroutine<int> {
    Task<int> task = ensure_future(gives(2));
    EXPECT_FALSE(task.done());
    co_return co_await task;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 2);  // FUT-16
}

TEST_F(EnsureFuture, OfAnotherAwaitableIsATaskThatAwaitsIt) {
  auto body = []() -> Coroutine<int> { co_return co_await ensure_future(sleep(1s, 5)); };

  EXPECT_EQ(loop.run_until_complete(body()), 5);
}

TEST_F(EnsureFuture, ANamedAwaitableThatCannotMoveIsAwaitedInPlace) {
  struct Fixed {
    Fixed() = default;
    Fixed(const Fixed&) = delete;
    Fixed& operator=(const Fixed&) = delete;
    int resumes = 0;
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    int await_resume() { return ++resumes; }
  };
  Fixed fixed;
  auto body = [&]() -> Coroutine<int> { co_return co_await ensure_future(fixed); };

  EXPECT_EQ(loop.run_until_complete(body()), 1);
  EXPECT_EQ(fixed.resumes, 1);
}

TEST(EnsureFutureWithoutLoop, OfACoroutineIsAnErrorAndDestroysIt) {
  auto shared = std::make_shared<int>(0);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };

  EXPECT_THROW(static_cast<void>(ensure_future(body(shared))), RuntimeError);  // FUT-16

  EXPECT_EQ(shared.use_count(), 1);
}

}  // namespace
}  // namespace aster
