// SPDX-License-Identifier: MIT
//
// What a loop does with the asynchronous generators that began on it.
#include <aster/coro/async_generator.hpp>
#include <aster/executor/executor.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using std::string;
using ::testing::ElementsAre;

using Log = std::shared_ptr<std::vector<string>>;

// Notes its closing, which takes a turn, and its destruction.
AsyncGenerator<int> noting(string name, Log log) {
  struct Destroyed {
    string text;
    Log to;
    Destroyed(const string& of, Log where) : text(of + " destroyed"), to(std::move(where)) {}
    Destroyed(const Destroyed&) = delete;
    Destroyed& operator=(const Destroyed&) = delete;
    ~Destroyed() { to->push_back(text); }
  } const destroyed(name, log);
  bool closing = false;
  try {
    for (int i = 0;; ++i) co_yield i;
  } catch (const GeneratorExit&) {
    closing = true;
  }
  if (closing) {
    log->push_back(name + " closes");
    co_await sleep(1s);
    log->push_back(name + " closed");
  }
}

std::shared_ptr<EventLoop> sim_loop() { return std::make_shared<testing::SimLoop>(); }

TEST(AsyncGens, RunClosesThoseThatAreOpen) {
  // RUN-6, AG-5, ACC-18
  const auto log = std::make_shared<std::vector<string>>();
  AsyncGenerator<int> a = noting("a", log);
  AsyncGenerator<int> b = noting("b", log);
  auto main = [&]() -> Coroutine<> {
    co_await a.next();
    co_await b.next();
    log->push_back("main ends");
  };

  run(main(), {.loop_factory = sim_loop});

  EXPECT_THAT(*log, ElementsAre("main ends", "a closes", "b closes", "a closed", "a destroyed",
                                "b closed", "b destroyed"));
}

TEST(AsyncGens, OneThatMainDropsAtItsEndIsDestroyedAsInAsyncio) {
  // Its closing task is made, and cancelled by `run` before it begins.
  const auto log = std::make_shared<std::vector<string>>();
  auto main = [&]() -> Coroutine<> {
    AsyncGenerator<int> a = noting("a", log);
    co_await a.next();
  };

  run(main(), {.loop_factory = sim_loop});

  EXPECT_THAT(*log, ElementsAre("a destroyed"));
}

TEST(AsyncGens, TheEndOfARunIsTasksThenGeneratorsThenTheExecutor) {
  // ORD-36, RUN-6
  const auto log = std::make_shared<std::vector<string>>();
  AsyncGenerator<int> a = noting("a", log);
  auto left_over = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log->push_back("task cancelled");
      throw;
    }
  };
  auto main = [&]() -> Coroutine<> {
    co_await a.next();
    auto task = create_task(left_over());
    co_await sleep(0s);
    // Its end waits for the job, which waits for the generator.
    auto wait_for_close = [&] {
      log->push_back("job");
      return 0;
    };
    co_await get_running_loop().run_in_executor(nullptr, wait_for_close);
  };

  run(main());

  EXPECT_THAT(*log, ElementsAre("job", "task cancelled", "a closes", "a closed", "a destroyed"));
}

TEST(AsyncGens, AFailureToCloseIsToldToTheHandler) {
  testing::SimLoop loop;
  support::Reports reports(loop);
  auto fails = []() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const GeneratorExit&) {
      throw std::logic_error("cleanup");
    }
  };
  auto g = fails();
  auto main = [&]() -> Coroutine<> { co_await g.next(); };
  loop.run_until_complete(main());

  loop.run_until_complete(loop.shutdown_asyncgens());

  // ERR-29, ACC-18
  EXPECT_THAT(reports.messages,
              ElementsAre("an error occurred during closing of asynchronous generator"));
  EXPECT_THAT(reports.errors, ElementsAre("std::logic_error: cleanup"));
}

TEST(AsyncGens, OneThatRunsDuringTheShutdownIsReported) {
  testing::SimLoop loop;
  support::Reports reports(loop);
  auto waits = []() -> AsyncGenerator<int> {
    co_await sleep(1h);
    co_yield 1;
  };
  auto g = waits();
  auto main = [&]() -> Coroutine<> { co_await g.next(); };
  auto task = loop.create_task(main());
  loop.run_until_idle();

  loop.run_until_complete(loop.shutdown_asyncgens());

  ASSERT_EQ(reports.errors.size(), 1U);
  EXPECT_EQ(reports.errors[0],
            "aster::RuntimeError: aclose(): asynchronous generator is already running");
  loop.close();
}

TEST(AsyncGens, OneThatBeginsAfterTheShutdownIsWarnedOf) {
  testing::SimLoop loop;
  support::Logged logged;
  const auto log = std::make_shared<std::vector<string>>();
  AsyncGenerator<int> g = noting("a", log);
  auto main = [&]() -> Coroutine<> {
    co_await loop.shutdown_asyncgens();
    co_await g.next();
  };
  loop.run_until_complete(main());

  EXPECT_TRUE(logged.contains("after loop.shutdown_asyncgens()"));  // ACC-18
}

TEST(AsyncGens, ALoopThatClosesDestroysADroppedOne) {
  testing::SimLoop loop;
  const auto log = std::make_shared<std::vector<string>>();
  AsyncGenerator<int> g = noting("a", log);
  auto main = [&]() -> Coroutine<> { co_await g.next(); };
  loop.run_until_complete(main());
  g = {};
  EXPECT_TRUE(log->empty());

  loop.close();

  EXPECT_THAT(*log, ElementsAre("a destroyed"));  // AG-5
}

TEST(AsyncGens, OneThatOutlivesItsLoopIsDestroyedQuietly) {
  const auto log = std::make_shared<std::vector<string>>();
  {
    AsyncGenerator<int> g = noting("a", log);
    AsyncGenerator<int> h = noting("b", log);
    {
      testing::SimLoop loop;
      auto main = [&]() -> Coroutine<> {
        co_await g.next();
        co_await h.next();
      };
      loop.run_until_complete(main());
      loop.close();
      h = {};
    }
    EXPECT_THAT(*log, ElementsAre("b destroyed"));
  }
  EXPECT_THAT(*log, ElementsAre("b destroyed", "a destroyed"));
}

TEST(AsyncGens, OneThatIsDroppedWhileTheLoopStandsIsClosedByItsNextRun) {
  testing::SimLoop loop;
  const auto log = std::make_shared<std::vector<string>>();
  AsyncGenerator<int> g = noting("a", log);
  auto main = [&]() -> Coroutine<> { co_await g.next(); };
  loop.run_until_complete(main());

  g = {};
  EXPECT_TRUE(log->empty());
  loop.run_until_complete(sleep(2s));

  EXPECT_THAT(*log, ElementsAre("a closes", "a closed", "a destroyed"));
}

TEST(AsyncGens, ATaskThatClosesADroppedOneCanBeCancelled) {
  testing::SimLoop loop;
  const auto log = std::make_shared<std::vector<string>>();
  auto main = [&]() -> Coroutine<> {
    {
      AsyncGenerator<int> g = noting("a", log);
      co_await g.next();
    }
    co_await sleep(500ms);
    for (AnyTask& task : all_tasks()) {
      if (!(task == current_task())) task.cancel();
    }
    co_await sleep(0s);
    co_await sleep(0s);
  };
  loop.run_until_complete(main());

  EXPECT_THAT(*log, ElementsAre("a closes", "a destroyed"));
}

}  // namespace
}  // namespace aster
