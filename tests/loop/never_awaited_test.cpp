// SPDX-License-Identifier: MIT
//
// Coroutines that are dropped without having been awaited: reported in debug mode.
#include "base/debug_text.hpp"

#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "support/reports.hpp"

namespace aster {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr unsigned definition_first = __LINE__ + 1;
Coroutine<int> forgotten(int value) { co_return value; }
constexpr unsigned definition_last = __LINE__ - 1;

struct NeverAwaited : ::testing::Test {
  testing::SimLoop loop;
  support::Logged logged;
  support::Reports reports{loop};

  NeverAwaited() { loop.set_debug(true); }
  template <class F>
  void inside(F&& act) {
    loop.call_soon(std::forward<F>(act));
    loop.run_until_idle();
  }
};

TEST_F(NeverAwaited, TheHandlerIsToldTheCoroutinesNameAndDefinition) {  // CORO-4, DBG-7
  inside([] { auto dropped = forgotten(1); });

  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0], "coroutine '" + short_function_name(*reports.contexts[0].source) +
                                     "' was never awaited");
  const std::optional<std::source_location> place = reports.contexts[0].source;
  ASSERT_TRUE(place.has_value());
  EXPECT_THAT(place->file_name(), EndsWith("never_awaited_test.cpp"));
  EXPECT_GE(place->line(), definition_first);
  EXPECT_LE(place->line(), definition_last);
}

TEST_F(NeverAwaited, WithoutAHandlerTheLogIsTold) {  // CORO-4
  loop.set_exception_handler(nullptr);

  inside([] { auto dropped = forgotten(1); });

  EXPECT_TRUE(logged.contains("forgotten' was never awaited"));
  EXPECT_TRUE(logged.contains("never_awaited_test.cpp:"));
}

TEST_F(NeverAwaited, TheTaskInWhichItHappenedIsTold) {
  auto main = []() -> Coroutine<> {
    auto dropped = forgotten(1);
    co_return;
  };

  loop.run_until_complete(loop.create_task(main, {.name = "careless"}));

  ASSERT_EQ(reports.contexts.size(), 1U);
  EXPECT_EQ(reports.contexts[0].task.get_name(), "careless");
}

#if !defined(__OPTIMIZE__) && defined(__GNUC__)
TEST_F(NeverAwaited, InUnoptimisedCodeTheCallerIsTold) {  // DBG-7
  inside([] { auto dropped = forgotten(1); });

  ASSERT_EQ(reports.contexts.size(), 1U);
  EXPECT_THAT(reports.contexts[0].subject, StartsWith("called from "));
  EXPECT_THAT(reports.contexts[0].subject, HasSubstr("test_loop_debug"));
}
#endif

TEST_F(NeverAwaited, NothingIsToldOfOneThatWasAwaited) {
  loop.run_until_complete(forgotten(1));

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, NothingIsToldOfOneThatWasMoved) {
  auto main = []() -> Coroutine<int> {
    auto first = forgotten(1);
    auto second = std::move(first);
    first = std::move(second);
    co_return co_await std::move(first);
  };

  EXPECT_EQ(loop.run_until_complete(main()), 1);

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, NothingIsToldOfOneThatWasClosed) {
  inside([] {
    auto closed = forgotten(1);
    closed.close();
  });

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, NothingIsToldOfATaskCancelledBeforeItsFirstStep) {
  auto task = loop.create_task(forgotten(1));
  task.cancel();

  loop.run_until_idle();

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, AnAssignmentDropsTheFormerOne) {
  inside([] {
    auto one = forgotten(1);
    one = forgotten(2);
    one.close();
  });

  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(NeverAwaited, ACoroutineThatATaskGroupRefusesIsNotForgotten) {
  auto main = []() -> Coroutine<> {
    TaskGroup group;
    bool refused = false;
    try {
      group.create_task(forgotten(1));
    } catch (const RuntimeError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    co_return;
  };
  loop.run_until_complete(main());

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, ATaskGroupThatIsNotLeftIsSilent) {
  auto main = []() -> Coroutine<> {
    TaskGroup group;
    co_await group.enter();
  };
  loop.run_until_complete(main());

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverAwaited, NothingIsToldWithoutDebugMode) {  // CORO-4, DBG-10
  loop.set_debug(false);

  inside([] { auto dropped = forgotten(1); });

  EXPECT_TRUE(reports.empty());
  EXPECT_EQ(logged.text(), "");
}

TEST_F(NeverAwaited, ABaseErrorOfTheHandlerDoesNotLeaveTheDestructor) {
  struct Stop : BaseError {};
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) { throw Stop(); });
  bool went_on = false;

  inside([&] {
    {
      auto dropped = forgotten(1);
    }
    went_on = true;
  });

  EXPECT_TRUE(went_on);
  EXPECT_TRUE(logged.contains("never awaited"));
}

TEST(NeverAwaitedWithoutLoop, IsLoggedWhenTheEnvironmentAsksForDebugMode) {  // DBG-1
  const support::Logged logged;
  ASSERT_EQ(::setenv("ASTER_DEBUG", "1", 1), 0);
  {
    auto dropped = forgotten(1);
  }
  ASSERT_EQ(::setenv("ASTER_DEBUG", "0", 1), 0);
  {
    auto dropped = forgotten(1);
  }
  ASSERT_EQ(::unsetenv("ASTER_DEBUG"), 0);

  const std::string text = logged.text();
  EXPECT_THAT(text, HasSubstr("forgotten' was never awaited"));
  EXPECT_EQ(text.find("never awaited"), text.rfind("never awaited"));
}

}  // namespace
}  // namespace aster
