// SPDX-License-Identifier: MIT
// Timers that are due, and taken back in the very turn that would run them.
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

namespace {

using namespace aster;
using namespace std::chrono_literals;

/// Makes `ready` done so that its awaiter steps in the turn in which timers of
/// `deadline` are due, before them.
template <class F>
void step_before_due_timers(aster::testing::SimLoop& loop, Future<> ready, TimePoint deadline,
                            F&& and_then) {
  loop.call_soon([&loop, ready, deadline, and_then]() mutable {
    loop.sim().advance(deadline - loop.time());
    ready.set_result();
    and_then();
  });
}

TEST(DueTimer, ABlockMayEndInTheTurnInWhichItsTimeoutIsDue) {
  aster::testing::SimLoop loop;
  Future<> ready = loop.create_future<>();
  bool left = false;

  auto task = loop.create_task([&]() -> Coroutine<> {
    auto limit = std::make_unique<Timeout>(timeout(2ms));
    limit->begin();
    step_before_due_timers(loop, ready, *limit->when(), [] {});
    co_await ready;
    limit->end(nullptr);
    limit.reset();
    left = true;
  });
  loop.run_until_complete(task);

  EXPECT_TRUE(left);
  loop.close();
}

TEST(DueTimer, AsCompletedMayEndInTheTurnInWhichItsDeadlineIsDue) {
  aster::testing::SimLoop loop;
  Future<> ready = loop.create_future<>();
  Future<> never = loop.create_future<>();

  auto task = loop.create_task([&]() -> Coroutine<> {
    {
      const TimePoint deadline = loop.time() + 3ms;
      std::vector<Future<>> all{never};
      auto each = as_completed(all, {.timeout = 2ms});
      step_before_due_timers(loop, ready, deadline, [] {});
      co_await ready;
    }
    co_await yield_now();
  });
  loop.run_until_complete(task);

  loop.close();
}

TEST(DueTimer, ATimeoutMovedInTheTurnInWhichItIsDueDoesNotExpireThen) {
  aster::testing::SimLoop loop;
  Future<> ready = loop.create_future<>();
  bool expired = true;

  auto task = loop.create_task([&]() -> Coroutine<> {
    Timeout limit = timeout(2ms);
    limit.begin();
    step_before_due_timers(loop, ready, *limit.when(), [] {});
    co_await ready;
    limit.reschedule(loop.time() + 1h);
    co_await yield_now();
    expired = limit.expired();
    limit.end(nullptr);
  });
  loop.run_until_complete(task);

  EXPECT_FALSE(expired);
  loop.close();
}

}  // namespace
