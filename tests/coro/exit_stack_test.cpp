// SPDX-License-Identifier: MIT
#include <aster/coro/async_iteration.hpp>
#include <aster/coro/context_manager.hpp>
#include <aster/coro/exit_stack.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/line.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

std::string text_of(const std::exception_ptr& error) {
  return error != nullptr ? describe(error) : "none";
}

// Notes what it is told; throws or swallows on exit when told so.
class Manager {
 public:
  Manager(std::string& log, char name, bool swallows = false, bool fails = false)
      : log_(log), name_(name), swallows_(swallows), fails_(fails) {}
  Coroutine<char> enter() {
    co_await sleep(1s);
    log_ += std::string("+") + name_ + ' ';
    co_return name_;
  }
  Coroutine<bool> exit(std::exception_ptr error) {
    co_await sleep(1s);
    log_ += std::string("-") + name_ + '(' + text_of(error) + ") ";
    if (fails_) throw ValueError(std::string(1, name_));
    co_return swallows_;
  }

 private:
  std::string& log_;
  char name_;
  bool swallows_;
  bool fails_;
};

class Stack : public support::DriverTest {  // AG-9
 protected:
  // Runs `body` in a stack and gives how the block ended.
  template <class Body>
  std::string end_of(Body body) {
    auto block = [&]() -> Coroutine<std::string> {
      auto whole = with(AsyncExitStack{}, body);
      const auto ended = co_await outcome(std::move(whole));
      co_return text_of(ended.exception());
    };
    return run(block());
  }
};
ASTER_BOTH_DRIVERS(Stack);

TEST_P(Stack, DoesTheLastFirst) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    const char entered = co_await stack.enter_async_context(Manager(log, 'a'));
    EXPECT_EQ(entered, 'a');
    stack.callback([&](int n) { log += "callback" + std::to_string(n) + ' '; }, 1);
    auto later = [&](std::unique_ptr<int> n) -> Coroutine<> {
      co_await sleep(1s);
      log += "async" + std::to_string(*n) + ' ';
    };
    stack.push_async_callback(later, std::make_unique<int>(2));
    stack.push([&](const std::exception_ptr& error) { log += "push(" + text_of(error) + ") "; });
    stack.push_async_exit([&](std::exception_ptr error) -> Coroutine<bool> {
      co_await sleep(1s);
      log += "exit(" + text_of(error) + ") ";
      co_return true;  // Nothing to swallow.
    });
    log += "body ";
  };

  EXPECT_EQ(end_of(body), "none");

  EXPECT_EQ(log, "+a body exit(none) push(none) async2 callback1 -a(none) ");
}

TEST_P(Stack, EachIsGivenTheErrorOfTheOneBefore) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a'));
    co_await stack.enter_async_context(Manager(log, 'b', false, true));
    co_await stack.enter_async_context(Manager(log, 'c'));
    log.clear();
    throw ValueError("body");
  };

  EXPECT_EQ(end_of(body), "aster::ValueError: b");

  EXPECT_EQ(log,
            "-c(aster::ValueError: body) -b(aster::ValueError: body) -a(aster::ValueError: b) ");
}

TEST_P(Stack, WhatIsSwallowedIsGone) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a'));
    co_await stack.enter_async_context(Manager(log, 'b', true));
    co_await stack.enter_async_context(Manager(log, 'c', false, true));
    log.clear();
    throw ValueError("body");
  };

  EXPECT_EQ(end_of(body), "none");

  EXPECT_EQ(log, "-c(aster::ValueError: body) -b(aster::ValueError: c) -a(none) ");
}

TEST_P(Stack, AnErrorAfterASwallowedOneLeaves) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a', false, true));
    co_await stack.enter_async_context(Manager(log, 'b', true));
    throw ValueError("body");
  };

  EXPECT_EQ(end_of(body), "aster::ValueError: a");
}

TEST_P(Stack, AnErrorOfAnExitIsSwallowedByAnother) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a', true));
    co_await stack.enter_async_context(Manager(log, 'b', false, true));
  };

  EXPECT_EQ(end_of(body), "none");

  EXPECT_EQ(log, "+a +b -b(none) -a(aster::ValueError: b) ");
}

TEST_P(Stack, WhatFailsToEnterIsNotLeft) {
  struct Fails {
    Coroutine<> enter() {
      co_await sleep(1s);
      throw ValueError("enter");
    }
    Coroutine<bool> exit(std::exception_ptr) {
      ADD_FAILURE();
      co_return false;
    }
  };
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a'));
    co_await stack.enter_async_context(Fails());
  };

  EXPECT_EQ(end_of(body), "aster::ValueError: enter");

  EXPECT_EQ(log, "+a -a(aster::ValueError: enter) ");
}

TEST_P(Stack, ANamedManagerIsTakenByReference) {
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'x'));
  };
  Manager named(log, 'n');
  auto entered = [&](AsyncExitStack& stack) -> Coroutine<> {
    stack.push_async_exit(named);  // Its exit only.
    co_await body(stack);
  };

  EXPECT_EQ(end_of(entered), "none");

  EXPECT_EQ(log, "+x -x(none) -n(none) ");
}

TEST_P(Stack, PopAllMovesEverything) {
  AsyncExitStack kept;
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a'));
    co_await stack.enter_async_context(Manager(log, 'b'));
    kept = stack.pop_all();
    log += "left ";
  };

  EXPECT_EQ(end_of(body), "none");
  EXPECT_EQ(log, "+a +b left ");
  run(kept.aclose());
  EXPECT_EQ(log, "+a +b left -b(none) -a(none) ");
  run(kept.aclose());  // Nothing is left.
  EXPECT_EQ(log, "+a +b left -b(none) -a(none) ");
}

TEST_P(Stack, AStackThatIsDroppedCallsNothing) {
  auto held = std::make_shared<int>(0);
  {
    AsyncExitStack stack;
    for (int i = 0; i < 100'000; ++i) stack.callback([held] { ADD_FAILURE(); });
  }

  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(Stack, ACallableLivesUntilItHasBeenCalled) {
  auto held = std::make_shared<int>(0);
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    stack.callback([&] { EXPECT_EQ(held.use_count(), 1); });
    stack.callback([held] { EXPECT_EQ(*held, 0); });
    co_return;
  };

  EXPECT_EQ(end_of(body), "none");

  EXPECT_EQ(held.use_count(), 1);
}

TEST(StackCancelled, ACancelledExitIsAnErrorAndTheOthersStillCome) {
  testing::SimLoop loop;
  std::string log;
  auto body = [&](AsyncExitStack& stack) -> Coroutine<> {
    co_await stack.enter_async_context(Manager(log, 'a'));
    co_await stack.enter_async_context(Manager(log, 'b'));
  };
  auto task = loop.create_task(with(AsyncExitStack{}, body));
  loop.advance(2500ms);  // In the exit of b.

  task.cancel("stop");
  loop.advance(10s);

  EXPECT_EQ(log, "+a +b -a(aster::CancelledError: stop) ") << log;
  EXPECT_TRUE(task.cancelled());
}

// Managers made of generators -------------------------------------------------------------

class Managers : public support::DriverTest {  // AG-9
 protected:
  template <class M, class Body>
  std::string end_of(M manager, Body body) {
    auto block = [&]() -> Coroutine<std::string> {
      auto whole = with(std::move(manager), body);
      const auto ended = co_await outcome(std::move(whole));
      co_return text_of(ended.exception());
    };
    return run(block());
  }
  Coroutine<> fails() {
    co_await sleep(1s);
    throw ValueError("body");
  }
};
ASTER_BOTH_DRIVERS(Managers);

TEST_P(Managers, AGeneratorIsOneOfThem) {
  const auto numbered = asynccontextmanager([&](int number) -> AsyncGenerator<int> {
    co_await sleep(1s);
    log += "enter ";
    co_yield number + 1;
    co_await sleep(1s);
    log += "exit ";
  });
  auto body = [&](int given) -> Coroutine<> {
    log += "body(" + std::to_string(given) + ") ";
    co_return;
  };

  EXPECT_EQ(end_of(numbered(1), body), "none");
  EXPECT_EQ(end_of(numbered(2), body), "none");

  EXPECT_EQ(log, "enter body(2) exit enter body(3) exit ");
}

TEST_P(Managers, AnErrorOfTheBodyComesOutOfItsYield) {
  const auto passes = asynccontextmanager([&]() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const ValueError& error) {
      log += std::string("caught ") + error.what();
      throw;
    }
  });

  EXPECT_EQ(end_of(passes(), [&] { return fails(); }), "aster::ValueError: body");

  EXPECT_EQ(log, "caught body");
}

TEST_P(Managers, AnErrorThatIsCaughtThereIsSwallowed) {
  const auto swallows = asynccontextmanager([]() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const ValueError&) {
    }
    co_await sleep(1s);
  });

  EXPECT_EQ(end_of(swallows(), [&] { return fails(); }), "none");
}

TEST_P(Managers, AnotherErrorReplacesIt) {
  const auto replaces = asynccontextmanager([]() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const ValueError&) {
      throw KeyError("other");
    }
  });

  EXPECT_EQ(end_of(replaces(), [&] { return fails(); }), "aster::KeyError: other");
}

TEST_P(Managers, AGeneratorHasToYieldOnce) {
  const auto never = asynccontextmanager([]() -> AsyncGenerator<int> { co_return; });
  const auto twice = asynccontextmanager([&]() -> AsyncGenerator<int> {
    try {
      co_yield 1;
    } catch (const ValueError&) {
    }
    struct Closed {
      std::string& log;
      explicit Closed(std::string& to) : log(to) {}
      ~Closed() { log += "closed "; }
    } closed(log);
    co_yield 2;
  });
  auto body = []() -> Coroutine<> { co_return; };

  EXPECT_EQ(end_of(never(), body), "aster::RuntimeError: generator didn't yield");
  EXPECT_EQ(end_of(twice(), body), "aster::RuntimeError: generator didn't stop");
  EXPECT_EQ(end_of(twice(), [&] { return fails(); }),
            "aster::RuntimeError: generator didn't stop after athrow()");

  EXPECT_EQ(log, "closed closed ");
}

TEST_P(Managers, AStopIterationOfTheBodyStaysOne) {
  const auto plain = asynccontextmanager([]() -> AsyncGenerator<int> { co_yield 1; });
  auto stops = []() -> Coroutine<> {
    co_await sleep(1s);
    throw StopAsyncIteration("mine");
  };

  EXPECT_EQ(end_of(plain(), stops), "aster::StopAsyncIteration: mine");
}

TEST_P(Managers, TheFunctionLivesAsLongAsItsManagers) {
  auto made = [&] {
    auto held = std::make_shared<std::string>("held");
    return asynccontextmanager([held]() -> AsyncGenerator<std::string> {
      co_yield *held;
      co_await sleep(1s);
      EXPECT_EQ(*held, "held");
    })();
  }();

  EXPECT_EQ(end_of(std::move(made), []() -> Coroutine<> { co_return; }), "none");
}

TEST_P(Managers, NullcontextDoesNothingAndGivesItsValue) {
  auto body = [&](const std::string& given) -> Coroutine<> {
    log += given;
    co_return;
  };
  std::string named = "named";
  auto same = [&](std::string& given) -> Coroutine<> {
    EXPECT_EQ(&given, &named);
    co_return;
  };

  EXPECT_EQ(end_of(nullcontext(), [&] { return fails(); }), "aster::ValueError: body");
  EXPECT_EQ(end_of(nullcontext(std::string("moved")), body), "none");
  run(with(nullcontext(named), same));

  EXPECT_EQ(log, "moved");
}

}  // namespace
}  // namespace aster
