// SPDX-License-Identifier: MIT
#include <aster/coro/async_generator.hpp>
#include <aster/coro/async_iteration.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/hand_driver.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using std::logic_error;
using std::string;
using ::testing::ElementsAre;

struct AsyncGeneratorTest : ::testing::Test {
  testing::SimLoop loop;

  template <class F>
  void run(F main) {
    loop.run_until_complete(main());
  }
};

AsyncGenerator<int> ticks(int n = 10) {
  for (int i = 0; i < n; ++i) {
    co_await sleep(1ms);
    co_yield i;
  }
}

TEST_F(AsyncGeneratorTest, GivesItsValuesThenNothing) {
  run([]() -> Coroutine<> {
    std::vector<int> seen;
    auto g = ticks();
    while (auto item = co_await g.next()) seen.push_back(*item);  // AG-1, AG-2
    EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    const auto more = co_await g.next();
    EXPECT_FALSE(more);
  });
}

TEST_F(AsyncGeneratorTest, RunsNothingBeforeAStepIsAwaited) {
  run([]() -> Coroutine<> {
    bool started = false;
    auto body = [&]() -> AsyncGenerator<int> {
      started = true;
      co_yield 1;
    };
    auto g = body();
    auto step = g.next();
    EXPECT_FALSE(started);  // AG-1
    co_await step;
    EXPECT_TRUE(started);
  });
}

TEST_F(AsyncGeneratorTest, AnextThrowsStopAsyncIterationAtTheEnd) {
  run([]() -> Coroutine<> {
    auto g = ticks(1);
    const int first = co_await g.anext();
    EXPECT_EQ(first, 0);
    EXPECT_THROW(co_await g.anext(), StopAsyncIteration);  // AG-2, EX-12
    EXPECT_THROW(co_await g.anext(), StopAsyncIteration);
  });
}

TEST_F(AsyncGeneratorTest, AsendGivesTheValueToTheYield) {
  run([]() -> Coroutine<> {
    auto body = []() -> AsyncGenerator<string, string> {
      string word = co_yield "ready";
      for (;;) word = co_yield word + "!";
    };
    auto g = body();
    EXPECT_THROW(co_await g.asend("early"), TypeError);
    co_await g.next();
    const auto answer = co_await g.asend("hello");
    EXPECT_EQ(answer, "hello!");
    const auto empty = co_await g.next();
    EXPECT_EQ(empty, "!");
    co_await g.aclose();
  });
}

TEST_F(AsyncGeneratorTest, YieldsMoveOnlyValuesAndReferences) {
  run([]() -> Coroutine<> {
    auto pointers = []() -> AsyncGenerator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
    };
    auto g = pointers();
    const auto one = co_await g.anext();
    EXPECT_EQ(*one, 1);
    string text = "a";
    auto references = [&]() -> AsyncGenerator<string&> { co_yield text; };
    auto r = references();
    auto item = co_await r.next();
    item->get() += "b";
    EXPECT_EQ(text, "ab");
    co_await r.aclose();
  });
}

TEST_F(AsyncGeneratorTest, StepsMayBelongToDifferentTasks) {
  run([]() -> Coroutine<> {
    auto g = ticks();
    auto step = [&]() -> Coroutine<int> {
      const auto item = co_await g.next();
      co_return *item;
    };
    for (int i = 0; i < 3; ++i) {
      auto task = create_task(step());
      const int got = co_await task;
      EXPECT_EQ(got, i);
    }
    co_await g.aclose();
  });
}

TEST_F(AsyncGeneratorTest, ASecondStepAtATimeIsAnErrorAndHarmsNothing) {
  run([]() -> Coroutine<> {
    auto g = ticks();
    auto first = ensure_future(g.next());
    co_await sleep(0s);
    string text;
    try {
      co_await g.next();
    } catch (const RuntimeError& error) {  // AG-3
      text = error.what();
    }
    EXPECT_EQ(text, "anext(): asynchronous generator is already running");
    const auto item = co_await first;
    EXPECT_EQ(item, 0);
    co_await g.aclose();
  });
}

TEST_F(AsyncGeneratorTest, AcloseAwaitsTheCleanup) {
  run([this]() -> Coroutine<> {
    bool cleaned = false;
    auto body = [&]() -> AsyncGenerator<int> {
      std::exception_ptr error;
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {  // EX-13
        error = std::current_exception();
      }
      co_await sleep(3s);
      cleaned = true;
      std::rethrow_exception(error);
    };
    auto g = body();
    co_await g.next();
    const TimePoint before = loop.time();
    co_await g.aclose();  // AG-4
    EXPECT_TRUE(cleaned);
    EXPECT_EQ(loop.time() - before, 3s);
    const auto item = co_await g.next();
    EXPECT_FALSE(item);
  });
}

TEST_F(AsyncGeneratorTest, ADeadlineEndsAStepAndTheGenerator) {
  run([]() -> Coroutine<> {
    bool cancelled = false;
    auto body = [&]() -> AsyncGenerator<int> {
      co_yield 1;
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {  // CAN-23
        cancelled = true;
        throw;
      }
    };
    auto g = body();
    co_await g.next();
    EXPECT_THROW(co_await wait_for(g.next(), 1s), TimeoutError);
    EXPECT_TRUE(cancelled);
    const auto item = co_await g.next();
    EXPECT_FALSE(item);
  });
}

TEST_F(AsyncGeneratorTest, ATaskThatIsDestroyedInsideAStepTakesTheFrameAlong) {
  support::Reports reports(loop);
  bool destroyed = false;
  struct Flag {
    bool& flag;
    explicit Flag(bool& to) : flag(to) {}
    Flag(const Flag&) = delete;
    Flag& operator=(const Flag&) = delete;
    ~Flag() { flag = true; }
  };
  auto body = [&]() -> AsyncGenerator<int> {
    const Flag flag(destroyed);
    co_await sleep(1h);
    co_yield 1;
  };
  auto g = body();
  auto main = [&]() -> Coroutine<> { co_await g.next(); };
  auto task = loop.create_task(main());
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(destroyed);
  EXPECT_TRUE(task.cancelled());
}

TEST_F(AsyncGeneratorTest, ItsErrorsNameTheAwaitsTheyCameThrough) {
  auto body = []() -> AsyncGenerator<int> {
    co_await sleep(0s);
    throw logic_error("x");
    co_yield 1;
  };
  unsigned line = 0;
  std::vector<std::source_location> path;
  run([&]() -> Coroutine<> {
    auto fails = [&]() -> Coroutine<> {
      auto g = body();
      line = std::source_location::current().line() + 1;
      co_await g.next();
    };
    try {
      co_await fails();
    } catch (const logic_error&) {
      path = await_path(std::current_exception());
    }
  });
  ASSERT_FALSE(path.empty());
  EXPECT_EQ(path.back().line(), line);
}

TEST_F(AsyncGeneratorTest, RunsUnderAnotherDriver) {
  std::vector<int> seen;
  auto body = [&]() -> Coroutine<> {
    auto numbers = []() -> AsyncGenerator<int> {
      co_yield 1;
      co_await outcome(std::suspend_never());
      co_yield 2;
    };
    auto g = numbers();
    while (auto item = co_await g.next()) seen.push_back(*item);
  };
  support::HandDriver<> driver(body());
  EXPECT_TRUE(driver.send());
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST_F(AsyncGeneratorTest, WithoutALoopADroppedOneIsDestroyed) {
  auto alive = std::make_shared<int>(1);
  std::weak_ptr<int> watch = alive;
  auto numbers = [](std::shared_ptr<int> held) -> AsyncGenerator<int> { co_yield *held; };
  auto body = [&]() -> Coroutine<> {
    auto g = numbers(std::move(alive));
    co_await g.next();
  };
  support::HandDriver<> driver(body());
  EXPECT_TRUE(driver.send());
  EXPECT_TRUE(watch.expired());
}

TEST_F(AsyncGeneratorTest, AMillionReadyStepsRunInOneTurn) {
  run([]() -> Coroutine<> {
    auto numbers = []() -> AsyncGenerator<int> {
      for (int i = 1; i <= 1'000'000; ++i) co_yield i;
    };
    long sum = 0;
    co_await for_each(numbers(), [&](int i) { sum += i; });
    EXPECT_EQ(sum, 500'000'500'000);
  });
}

TEST_F(AsyncGeneratorTest, CollectGivesAllThatIsLeft) {
  run([]() -> Coroutine<> {
    auto g = ticks(4);
    co_await g.next();
    const std::vector<int> rest = co_await collect(g);
    EXPECT_THAT(rest, ElementsAre(1, 2, 3));
    const std::vector<int> all = co_await collect(ticks(2));
    EXPECT_THAT(all, ElementsAre(0, 1));
  });
}

TEST_F(AsyncGeneratorTest, ForEachAwaitsWhatTheBodyGives) {
  run([this]() -> Coroutine<> {
    const TimePoint before = loop.time();
    auto body = [](int) { return sleep(1s); };
    co_await for_each(ticks(3), body);
    EXPECT_EQ(loop.time() - before, 3s + 3ms);
  });
}

TEST_F(AsyncGeneratorTest, ForEachClosesATemporaryWhenTheBodyThrows) {
  run([]() -> Coroutine<> {
    bool closed = false;
    auto numbers = [&]() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
        closed = true;
        throw;
      }
    };
    auto fails = [](int) { throw logic_error("x"); };
    EXPECT_THROW(co_await for_each(numbers(), fails), logic_error);
    EXPECT_TRUE(closed);
    closed = false;
    auto named = numbers();
    EXPECT_THROW(co_await for_each(named, fails), logic_error);
    EXPECT_FALSE(closed);  // AG-6
    co_await named.aclose();
    EXPECT_TRUE(closed);
  });
}

TEST_F(AsyncGeneratorTest, AclosingClosesANamedOneToo) {
  run([]() -> Coroutine<> {
    auto g = ticks();
    auto body = [](AsyncGenerator<int>& inside) -> Coroutine<int> {
      co_return co_await inside.anext();
    };
    const int first = co_await with(aclosing(g), body);  // AG-7
    EXPECT_EQ(first, 0);
    const auto item = co_await g.next();
    EXPECT_FALSE(item);
  });
}

TEST_F(AsyncGeneratorTest, AnEmptyOneSaysSo) {
  auto g = ticks();
  const AsyncGenerator<int> h = std::move(g);
  EXPECT_FALSE(g);  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(h);
  EXPECT_THROW(static_cast<void>(g.next()), RuntimeError);
}

}  // namespace
}  // namespace aster
