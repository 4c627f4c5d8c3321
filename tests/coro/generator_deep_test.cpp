// SPDX-License-Identifier: MIT
//
// The depth of yield_from uses no native stack and does not slow steps down.
#include <aster/coro/generator.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

#include "support/small_stack.hpp"

namespace aster {
namespace {

using support::on_small_stack;
using Deep = Generator<int, int, int>;

constexpr int depth = 100'000;

// Counts how often frames run, by level: the innermost in `inner`, others in `outer`.
struct Runs {
  long inner = 0;
  long outer = 0;
};

struct Count {
  int& number;
  explicit Count(int& to) : number(to) {}
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
  ~Count() { ++number; }
};

Deep echo(int levels, Runs& runs, int& destroyed) {
  const Count count(destroyed);
  if (levels == 0) {
    int sent = 0;
    while (sent >= 0) {
      ++runs.inner;
      sent = co_yield sent + 1;
    }
    co_return 0;
  }
  ++runs.outer;
  const int below = co_yield yield_from(echo(levels - 1, runs, destroyed));
  ++runs.outer;
  co_return below + 1;
}

TEST(GeneratorDeepSlow, AMillionStepsAtAHundredThousandLevelsResumeTheInnermostOnly) {
  // Would take hours if a step went through the frames between.
  on_small_stack([] {
    Runs runs;
    int destroyed = 0;
    Deep g = echo(depth, runs, destroyed);
    EXPECT_EQ(g.next(), 1);
    EXPECT_EQ(runs.outer, depth);
    for (int i = 1; i < 1'000'000; ++i) {
      if (g.send(i) != i + 1) FAIL() << i;
    }
    EXPECT_EQ(runs.inner, 1'000'000);
    EXPECT_EQ(runs.outer, depth);
    try {
      g.send(-1);
      FAIL();
    } catch (const StopIteration& stop) {
      EXPECT_EQ(stop.value<int>(), depth);
    }
    EXPECT_EQ(runs.outer, 2 * depth);
    EXPECT_EQ(destroyed, depth + 1);
  });
}

TEST(GeneratorDeepSlow, AnErrorLeavesAHundredThousandLevels) {
  on_small_stack([] {
    Runs runs;
    int destroyed = 0;
    Deep g = echo(depth, runs, destroyed);
    g.next();
    EXPECT_THROW(g.throw_(std::logic_error("x")), std::logic_error);
    EXPECT_EQ(destroyed, depth + 1);
  });
}

TEST(GeneratorDeepSlow, CloseEndsAHundredThousandLevels) {
  on_small_stack([] {
    Runs runs;
    int destroyed = 0;
    Deep g = echo(depth, runs, destroyed);
    g.next();
    EXPECT_EQ(g.close(), std::nullopt);
    EXPECT_EQ(destroyed, depth + 1);
    EXPECT_EQ(runs.outer, depth);
  });
}

TEST(GeneratorDeepSlow, AHundredThousandLevelsAreDestroyed) {
  on_small_stack([] {
    Runs runs;
    int destroyed = 0;
    {
      Deep g = echo(depth, runs, destroyed);
      g.next();
    }
    EXPECT_EQ(destroyed, depth + 1);
  });
}

Deep wrap(Deep inner) {
  const int returned = co_yield yield_from(std::move(inner));
  co_return returned + 1;
}

TEST(GeneratorDeepSlow, AChainThatGrowsWhileItRunsIsStillOne) {
  on_small_stack([] {
    Runs runs;
    int destroyed = 0;
    Deep g = echo(0, runs, destroyed);
    g.next();
    for (int i = 0; i < depth; ++i) {
      g = wrap(std::move(g));
      if (g.next() != 1) FAIL();
    }
  });
}

}  // namespace
}  // namespace aster
