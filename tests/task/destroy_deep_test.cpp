// SPDX-License-Identifier: MIT
//
// Futures that hold futures, a hundred thousand deep, are destroyed without native stack.
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "support/reports.hpp"
#include "support/small_stack.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::on_small_stack;

constexpr int depth = 100'000;

Future<> shields_of(Future<> future) {
  for (int i = 0; i < depth; ++i) future = shield(std::move(future));
  return future;
}

// Its inner future and `weak` end together.
struct Watched {
  Future<> future;
  std::weak_ptr<int> weak;
};
Watched watched(testing::SimLoop& loop) {
  Watched made{loop.create_future<>(), {}};
  auto held = std::make_shared<int>(0);
  made.weak = held;
  made.future.add_done_callback([held](const Future<>&) {});
  return made;
}

TEST(DestroyDeepSlow, AHundredThousandShieldsThatAreDoneAreDropped) {
  on_small_stack([] {
    testing::SimLoop loop;
    Future<> inner = loop.create_future<>();
    Future<> outer = shields_of(inner);
    inner.set_result();
    loop.run_until_idle();
    ASSERT_TRUE(outer.done());
    const Future<> second = inner;
    inner = {};

    outer = {};

    EXPECT_TRUE(second.done());
  });
}

TEST(DestroyDeepSlow, AHundredThousandShieldsThatArePendingGoWithTheLoop) {
  on_small_stack([] {
    testing::SimLoop loop;
    Watched inner = watched(loop);
    Future<> outer = shields_of(std::move(inner.future));

    outer = {};
    EXPECT_FALSE(inner.weak.expired());  // Held while it is pending.
    loop.close();

    EXPECT_TRUE(inner.weak.expired());
  });
}

// What a gather gives may hold the gather before it.
struct Node {
  std::shared_ptr<int> held;
  Future<std::vector<Node>> inner;
};

TEST(DestroyDeepSlow, AHundredThousandGathersThatAreDoneAreDropped) {
  on_small_stack([] {
    testing::SimLoop loop;
    auto held = std::make_shared<int>(0);
    Future<std::vector<Node>> outer;
    for (int i = 0; i < depth; ++i) {
      std::vector<Future<Node>> one(1, loop.create_future<Node>());
      one[0].set_result(Node{held, std::exchange(outer, {})});
      outer = gather(one);
    }
    ASSERT_TRUE(outer.done());
    EXPECT_GT(held.use_count(), depth);

    outer = {};

    EXPECT_EQ(held.use_count(), 1);
  });
}

Coroutine<> waits_for(Future<> inner, std::shared_ptr<int> held) {
  co_await wait_for(std::move(inner), 1h);
  static_cast<void>(held);
}

TEST(DestroyDeepSlow, AHundredThousandTasksThatWaitForEachOtherGoWithTheLoop) {
  on_small_stack([] {
    testing::SimLoop loop;
    const support::Reports reports(loop);
    auto held = std::make_shared<int>(0);
    Future<> inner = loop.create_future<>();
    for (int i = 0; i < depth; ++i) inner = loop.create_task(waits_for(std::move(inner), held));
    loop.run_until_idle();
    EXPECT_EQ(held.use_count(), depth + 1);

    inner = {};
    loop.close();

    EXPECT_EQ(held.use_count(), 1);
  });
}

TEST(DestroyDeep, AChildThatEndsWhileItsGatherGoesTellsNobody) {
  testing::SimLoop loop;
  Future<int> pending = loop.create_future<int>();
  // The outermost gather's result completes the inner gather's child as it goes.
  struct Completes {
    Future<int> child;
    Future<std::tuple<int>> inner;
    Completes(Future<int> of, Future<std::tuple<int>> from)
        : child(std::move(of)), inner(std::move(from)) {}
    Completes(const Completes&) = delete;
    Completes& operator=(const Completes&) = delete;
    ~Completes() {
      inner = {};  // Left to the outer one's destruction.
      if (!child.done()) child.set_result(1);
    }
  };
  Future<std::shared_ptr<Completes>> done = loop.create_future<std::shared_ptr<Completes>>();
  done.set_result(std::make_shared<Completes>(pending, gather(pending)));
  auto outer = gather(std::move(done));
  ASSERT_TRUE(outer.done());

  outer = {};
  loop.run_until_idle();

  EXPECT_EQ(pending.result(), 1);
}

}  // namespace
}  // namespace aster
