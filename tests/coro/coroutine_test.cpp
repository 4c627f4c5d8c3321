// SPDX-License-Identifier: MIT
#include <aster/coro/coroutine.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "support/hand_driver.hpp"

namespace aster {
namespace {

using support::HandDriver;

static_assert(!std::is_copy_constructible_v<Coroutine<int>>);
static_assert(awaitable<Coroutine<int>>);
static_assert(!awaitable<int>);
static_assert(std::is_same_v<await_result_t<Coroutine<int&>>, int&>);
static_assert(std::is_same_v<await_result_t<Coroutine<>>, void>);

// Suspends for good.
struct Never : detail::Waiter {
  using aster_awaiter = void;
  Never() noexcept = default;
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    detail::driver_of(handle).suspend(*this);
  }
  void await_resume() noexcept {}
  bool cancel(detail::Driver&, std::string&) noexcept override { return false; }
};

Coroutine<int> add(int a, int b) { co_return a + b; }

template <class T>
T run_inline(Coroutine<T> coroutine) {
  HandDriver<T> driver(std::move(coroutine));
  EXPECT_TRUE(driver.send());
  return driver.result.take();
}

TEST(Coroutine, RunsNothingUntilItIsAwaited) {
  bool ran = false;
  auto body = [&]() -> Coroutine<> {
    ran = true;
    co_return;
  };

  Coroutine<> coroutine = body();
  EXPECT_FALSE(ran);  // CORO-1

  run_inline(std::move(coroutine));
  EXPECT_TRUE(ran);
}

TEST(Coroutine, RunsInlineInTheAwaitingOneWithoutATripThroughTheLoop) {
  auto outer = []() -> Coroutine<int> {
    int three = co_await add(1, 2);
    co_return co_await add(three, 4);
  };
  HandDriver<int> driver(outer());

  EXPECT_TRUE(driver.send());  // CORO-2: one step does it all.

  EXPECT_EQ(driver.result.take(), 7);
  EXPECT_FALSE(driver.is_woken());
}

TEST(Coroutine, GivesAReferenceAsAReference) {
  int value = 1;
  auto inner = [&]() -> Coroutine<int&> { co_return value; };
  auto outer = [&]() -> Coroutine<> {
    int& same = co_await inner();
    same = 9;
  };

  run_inline(outer());

  EXPECT_EQ(value, 9);
}

TEST(Coroutine, GivesMoveOnlyResults) {
  auto inner = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(5); };
  auto outer = [&]() -> Coroutine<int> {
    std::unique_ptr<int> five = co_await inner();
    co_return *five;
  };

  EXPECT_EQ(run_inline(outer()), 5);
}

TEST(Coroutine, ReturnsAnythingItsResultIsMadeFrom) {
  auto text = []() -> Coroutine<std::string> { co_return "text"; };
  auto nothing = []() -> Coroutine<std::unique_ptr<int>> { co_return nullptr; };

  EXPECT_EQ(run_inline(text()), "text");
  EXPECT_EQ(run_inline(nothing()), nullptr);
}

TEST(Coroutine, TakesMoveOnlyArgumentsByValue) {
  auto inner = [](std::unique_ptr<int> p) -> Coroutine<int> { co_return *p; };
  auto outer = [&]() -> Coroutine<int> {
    auto p = std::make_unique<int>(6);
    co_return co_await inner(std::move(p));
  };

  EXPECT_EQ(run_inline(outer()), 6);
}

TEST(Coroutine, AnExceptionPassesUpThroughAllLevels) {
  auto innermost = []() -> Coroutine<int> {
    throw std::logic_error("deep");
    co_return 0;
  };
  auto middle = [&]() -> Coroutine<int> { co_return 1 + co_await innermost(); };
  auto outer = [&]() -> Coroutine<std::string> {
    try {
      co_await middle();
    } catch (const std::logic_error& error) {
      co_return error.what();
    }
    co_return "none";
  };

  EXPECT_EQ(run_inline(outer()), "deep");
}

TEST(Coroutine, DestructorsOfLocalsRunBeforeTheCallerGoesOn) {
  std::string log;
  struct Note {
    std::string& log;
    explicit Note(std::string& to) : log(to) {}
    ~Note() { log += "destroyed "; }
  };
  auto inner = [&]() -> Coroutine<> {
    Note note(log);
    log += "inner ";
    co_return;
  };
  auto outer = [&]() -> Coroutine<> {
    co_await inner();
    log += "outer";
  };

  run_inline(outer());

  EXPECT_EQ(log, "inner destroyed outer");
}

TEST(Coroutine, AwaitedByItsNameItIsUsedUp) {
  auto outer = []() -> Coroutine<std::string> {
    Coroutine<int> named = add(1, 2);
    int first = co_await named;
    EXPECT_EQ(first, 3);
    EXPECT_FALSE(named);
    try {
      co_await named;
    } catch (const RuntimeError& error) {
      co_return error.what();
    }
    co_return "no error";
  };

  EXPECT_EQ(run_inline(outer()), "cannot reuse already awaited coroutine");  // CORO-3
}

TEST(Coroutine, AwaitingAMovedFromOneIsAnError) {
  auto outer = []() -> Coroutine<> {
    Coroutine<int> first = add(1, 2);
    Coroutine<int> second = std::move(first);
    EXPECT_THROW(static_cast<void>(first.release()),
                 RuntimeError);  // NOLINT(bugprone-use-after-move)
    bool thrown = false;
    try {
      co_await first;
    } catch (const RuntimeError&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);  // CORO-3
    int three = co_await second;
    EXPECT_EQ(three, 3);
  };

  run_inline(outer());
}

TEST(Coroutine, AwaitingAnEmptyOneIsAnError) {
  auto outer = []() -> Coroutine<> {
    Coroutine<> empty;
    co_await empty;
  };

  EXPECT_THROW(run_inline(outer()), RuntimeError);
}

TEST(Coroutine, DroppedUnawaitedItDestroysItsArgumentsAndRunsNothing) {
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> {
    ADD_FAILURE() << "must not run";
    co_return;
  };
  {
    Coroutine<> dropped = body(shared);
  }

  EXPECT_EQ(shared.use_count(), 1);  // CORO-4
}

TEST(Coroutine, CloseDestroysItWithoutRunningIt) {
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };
  Coroutine<> coroutine = body(shared);

  coroutine.close();

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_FALSE(coroutine);
}

TEST(Coroutine, AssignmentDestroysTheFormerOne) {
  auto shared = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };
  Coroutine<> coroutine = body(shared);

  coroutine = Coroutine<>();

  EXPECT_EQ(shared.use_count(), 1);
}

TEST(Coroutine, AnAwaitThatThrowsWhileAnotherArgumentLivesFreesBoth) {
  auto shared = std::make_shared<int>(1);
  auto good = [](std::shared_ptr<int> p) -> Coroutine<int> { co_return *p; };
  auto bad = []() -> Coroutine<int> {
    throw std::logic_error("bad");
    co_return 0;
  };
  auto outer = [&]() -> Coroutine<int> {
    Coroutine<int> never = good(shared);
    co_return co_await bad() + co_await never;
  };

  EXPECT_THROW(run_inline(outer()), std::logic_error);
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(Coroutine, DestroyedWhileSuspendedItsFramesGoInnermostFirst) {
  std::string log;
  struct Note {
    std::string& log;
    char name;
    Note(std::string& to, char letter) : log(to), name(letter) {}
    ~Note() { log += name; }
  };
  auto inner = [&]() -> Coroutine<> {
    Note note(log, 'i');
    co_await Never();
  };
  auto middle = [&]() -> Coroutine<> {
    Note note(log, 'm');
    co_await inner();
  };
  auto outer = [&]() -> Coroutine<> {
    Note note(log, 'o');
    co_await middle();
  };
  {
    HandDriver<> driver(outer());
    EXPECT_FALSE(driver.send());
    EXPECT_EQ(log, "");
  }

  EXPECT_EQ(log, "imo");  // CORO-8
}

TEST(Coroutine, ItsPromiseIsNotMadeFromItsParameters) {
  // An aggregate promise would be, silently; see the compilers' page.
  auto body = [](detail::Result<int>* pointer) -> Coroutine<bool> { co_return pointer == nullptr; };

  EXPECT_TRUE(run_inline(body(nullptr)));
}

TEST(Coroutine, AMemberFunctionCanBeOne) {
  struct Adder {
    int base = 10;
    Coroutine<int> add(int n) { co_return base + n; }
  } adder;

  EXPECT_EQ(run_inline(adder.add(5)), 15);
}

}  // namespace
}  // namespace aster
