// SPDX-License-Identifier: MIT
//
// Cancelling gathers within tasks within gathers uses no native stack, and gives what
// CPython gives, when all children have ended.
#include <aster/loop/sleep.hpp>
#include <aster/task/gather.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

#include "support/small_stack.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::on_small_stack;

constexpr int depth = 100'000;

Coroutine<int> forever() {
  co_await sleep(1h);
  co_return 1;
}

Coroutine<int> gathering(Future<int> inner) {
  auto all = co_await gather(inner);
  co_return std::get<0>(all);
}

TEST(GatherDeepSlow, ACancellationPassesAHundredThousandGathersInTasks) {
  on_small_stack([] {
    testing::SimLoop loop;
    Future<int> inner = loop.create_task(forever());
    const Future<int> innermost = inner;
    Task<int> outermost;
    for (int i = 0; i < depth; ++i) {
      outermost = loop.create_task(gathering(std::move(inner)));
      inner = outermost;
    }
    inner = {};
    loop.run_until_idle();

    auto all = gather(outermost);
    EXPECT_TRUE(all.cancel("all"));
    loop.run_until_idle();

    EXPECT_TRUE(is_cancelled_error(all.exception()));

    EXPECT_TRUE(innermost.cancelled());
    EXPECT_TRUE(outermost.cancelled());
    EXPECT_EQ(outermost.cancelling(), 1);
  });
}

struct GatherEnd : ::testing::Test {
  testing::SimLoop loop;

  Coroutine<int> fails_when_cancelled(Duration cleanup, std::string text) {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_await sleep(cleanup);
    throw ValueError(text);
  }
  Coroutine<int> ends_when_cancelled(Duration cleanup) {
    std::exception_ptr error;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      error = std::current_exception();
    }
    co_await sleep(cleanup);
    std::rethrow_exception(error);
  }
};

TEST_F(GatherEnd, AChildThatFailedInTheTurnOfTheCancellationDecides) {
  Future<int> f = loop.create_future<int>();
  Task<int> slow = loop.create_task(ends_when_cancelled(1s));
  auto both = gather(f, slow);
  loop.run_until_idle();

  f.set_exception(ValueError("f"));
  EXPECT_TRUE(both.cancel());  // Before it has been told of `f`.
  loop.run_until_idle();

  EXPECT_FALSE(both.done());  // WAIT-20: not before all have ended.
  loop.advance(1s);
  EXPECT_EQ(describe(both.exception()), "aster::ValueError: f");
}

TEST_F(GatherEnd, TheFirstChildToFailOrToEndCancelledDecides) {
  auto failing_first = gather(loop.create_task(fails_when_cancelled(1s, "cleanup")),
                              loop.create_task(ends_when_cancelled(2s)));
  auto cancelled_first = gather(loop.create_task(fails_when_cancelled(2s, "cleanup")),
                                loop.create_task(ends_when_cancelled(1s)));
  loop.run_until_idle();

  failing_first.cancel();
  cancelled_first.cancel();
  loop.advance(2s);

  EXPECT_EQ(describe(failing_first.exception()), "aster::ValueError: cleanup");  // WAIT-20
  EXPECT_TRUE(is_cancelled_error(cancelled_first.exception()));
}

TEST_F(GatherEnd, ChildrenAreAskedDepthFirst) {
  std::string log;
  auto note = [&log](char name) -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += name;
      throw;
    }
  };
  auto nested = [&]() -> Coroutine<> {
    auto pair = gather(loop.create_task(note('b')), loop.create_task(note('c')));
    co_await std::move(pair);
  };
  auto all =
      gather(loop.create_task(note('a')), loop.create_task(nested()),
             gather(return_exceptions, loop.create_task(note('d'))), loop.create_task(note('e')));
  loop.run_until_idle();

  all.cancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "abcde");  // As in CPython.
  EXPECT_TRUE(is_cancelled_error(all.exception()));
}

}  // namespace
}  // namespace aster
