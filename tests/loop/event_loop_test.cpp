// SPDX-License-Identifier: MIT
//
// Life and death of a loop, who runs it, and what it does with errors.
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Logged;
using support::Reports;

Coroutine<int> gives(int n) { co_return n; }

// The text of the RuntimeError that `call` throws; empty when it throws none.
template <class F>
std::string runtime_error_of(F call) {
  try {
    call();
  } catch (const RuntimeError& error) {
    return error.what();
  }
  return {};
}
bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

struct Loop : ::testing::Test {
  testing::SimLoop loop;
};

// Who runs ---------------------------------------------------------------------------

TEST_F(Loop, GetRunningLoopIsTheOneThatRuns) {
  EventLoop* seen = nullptr;
  loop.call_soon([&] { seen = &get_running_loop(); });

  loop.run_once();

  EXPECT_EQ(seen, &loop);  // ACC-1
}

TEST(GetRunningLoop, WithoutOneIsAnError) {
  EXPECT_TRUE(contains(runtime_error_of([] { static_cast<void>(get_running_loop()); }),
                       "no running event loop"));  // ACC-1
}

TEST_F(Loop, IsRunningWhileItRuns) {
  bool during = false;
  loop.call_soon([&] { during = loop.is_running(); });

  loop.run_once();

  EXPECT_TRUE(during);  // ACC-15
  EXPECT_FALSE(loop.is_running());
}

TEST_F(Loop, IsNoLongerTheRunningOneAfterABaseError) {
  loop.call_soon([] { throw KeyboardInterrupt(); });

  EXPECT_THROW(loop.run_forever(), KeyboardInterrupt);

  EXPECT_FALSE(loop.is_running());
  EXPECT_THROW(static_cast<void>(get_running_loop()), RuntimeError);
}

TEST_F(Loop, CannotBeRunFromInsideItself) {
  std::vector<std::string> texts;
  loop.call_soon([&] {
    texts.push_back(runtime_error_of([&] { loop.run_forever(); }));
    texts.push_back(runtime_error_of([&] { loop.run_once(); }));
    texts.push_back(runtime_error_of([&] { loop.run_until_complete(gives(1)); }));
  });

  loop.run_once();

  ASSERT_EQ(texts.size(), 3U);  // LOOP-22, ACC-9
  for (const std::string& text : texts) EXPECT_TRUE(contains(text, "already running")) << text;
}

TEST_F(Loop, RefusedRunsLeaveNoTaskBehind) {
  loop.call_soon([&] { runtime_error_of([&] { loop.run_until_complete(gives(1)); }); });

  loop.run_once();

  EXPECT_TRUE(all_tasks(loop).empty());
}

TEST_F(Loop, CannotRunWhileAnotherRunsInThisThread) {
  testing::SimLoop other;
  std::string text;
  loop.call_soon([&] { text = runtime_error_of([&] { other.run_forever(); }); });

  loop.run_once();

  EXPECT_TRUE(contains(text, "while another loop is running"));  // ACC-9
}

TEST_F(Loop, RunsInAnyThreadAfterAnother) {
  EXPECT_EQ(loop.run_until_complete(gives(1)), 1);
  int seen = 0;

  std::thread([&] { seen = loop.run_until_complete(gives(2)); }).join();

  EXPECT_EQ(seen, 2);
}

// run_until_complete ---------------------------------------------------------------------

TEST_F(Loop, RunUntilCompleteGivesTheResultOrThrows) {
  auto fails = []() -> Coroutine<> {
    throw std::logic_error("e");
    co_return;
  };

  EXPECT_EQ(loop.run_until_complete(gives(3)), 3);  // ACC-10
  EXPECT_THROW(loop.run_until_complete(fails()), std::logic_error);
}

TEST_F(Loop, RunUntilCompleteOfADoneFutureGivesItsResult) {
  Future<int> f = loop.create_future<int>();
  f.set_result(2);

  EXPECT_EQ(loop.run_until_complete(f), 2);
  EXPECT_EQ(loop.run_until_complete(f), 2);
}

TEST_F(Loop, RunUntilCompleteOfAnotherLoopsFutureIsAnError) {
  testing::SimLoop other;

  EXPECT_THROW(loop.run_until_complete(other.create_future<int>()), ValueError);
}

TEST_F(Loop, RunUntilCompleteStoppedBeforeTheEndIsAnError) {
  Future<> f = loop.create_future<>();
  loop.call_soon([&] { loop.stop(); });

  EXPECT_TRUE(contains(runtime_error_of([&] { loop.run_until_complete(f); }),
                       "Event loop stopped before Future completed."));  // ACC-11

  f.set_result();
  loop.run_until_complete(f);  // It can go on.
}

TEST_F(Loop, ABaseErrorOfTheTaskLeavesRunUntilCompleteAndCountsAsRetrieved) {
  Reports reports(loop);
  auto exits = []() -> Coroutine<> {
    throw SystemExit(1);
    co_return;
  };

  EXPECT_THROW(loop.run_until_complete(exits()), SystemExit);  // ACC-12
  loop.run_until_idle();

  EXPECT_TRUE(reports.empty());
}

TEST_F(Loop, ARunThatABaseErrorEndedCanBeFollowedByAnother) {
  Future<> f = loop.create_future<>();
  loop.call_soon([] { throw KeyboardInterrupt(); });
  EXPECT_THROW(loop.run_until_complete(f), KeyboardInterrupt);

  f.set_result();  // Its stop callback is gone.
  int turns = 0;
  loop.call_soon([&] {
    ++turns;
    loop.call_soon([&] {
      ++turns;
      loop.stop();
    });
  });
  loop.run_forever();

  EXPECT_EQ(turns, 2);
}

// stop -----------------------------------------------------------------------------------

TEST_F(Loop, StopBeforeTheRunAllowsOneTurn) {
  int first = 0;
  int second = 0;
  loop.call_soon([&] {
    ++first;
    loop.call_soon([&] { ++second; });
  });
  loop.stop();

  loop.run_forever();

  EXPECT_EQ(first, 1);  // ACC-14
  EXPECT_EQ(second, 0);
}

TEST_F(Loop, StopBeforeTheRunDoesNotWaitForATimer) {
  const TimePoint start = loop.time();
  loop.call_later(1h, [] {});
  loop.stop();

  loop.run_forever();

  EXPECT_EQ(loop.time(), start);  // ACC-14, LOOP-9
}

TEST_F(Loop, StopIsForgottenAfterTheRun) {
  loop.stop();
  loop.run_forever();

  EXPECT_EQ(loop.run_until_complete(gives(1)), 1);
}

// close ----------------------------------------------------------------------------------

TEST_F(Loop, CloseDropsCallbacksAndTimersUnrun) {
  auto shared = std::make_shared<int>(0);
  loop.call_soon([shared] { ADD_FAILURE(); });
  loop.call_later(1s, [shared] { ADD_FAILURE(); });
  loop.call_soon_threadsafe([shared] { ADD_FAILURE(); });

  loop.close();

  EXPECT_TRUE(loop.is_closed());  // ACC-15, ACC-16
  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(Loop, CloseTwiceIsFine) {
  loop.close();
  loop.close();

  EXPECT_TRUE(loop.is_closed());
}

TEST_F(Loop, CannotBeClosedWhileItRuns) {
  std::string text;
  loop.call_soon([&] { text = runtime_error_of([&] { loop.close(); }); });

  loop.run_once();

  EXPECT_TRUE(contains(text, "Cannot close a running event loop"));  // ACC-16
  EXPECT_FALSE(loop.is_closed());
}

TEST_F(Loop, EveryCallOnAClosedOneIsAnError) {
  loop.close();
  std::vector<std::string> texts{
      runtime_error_of([&] { loop.call_soon([] {}); }),
      runtime_error_of([&] { loop.call_later(1s, [] {}); }),
      runtime_error_of([&] { loop.call_at(TimePoint(), [] {}); }),
      runtime_error_of([&] { loop.call_soon_threadsafe([] {}); }),
      runtime_error_of([&] { loop.run_forever(); }),
      runtime_error_of([&] { loop.run_once(); }),
      runtime_error_of([&] { loop.run_until_complete(gives(1)); }),
      runtime_error_of([&] { static_cast<void>(loop.create_task(gives(1))); }),
      runtime_error_of([&] { loop.add_reader(0, [] {}); }),
      runtime_error_of([&] { loop.set_task_factory(nullptr); }),
      runtime_error_of([&] { static_cast<void>(loop.backend()); }),
  };

  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_TRUE(contains(texts[i], "Event loop is closed")) << i << ": " << texts[i];  // ACC-16
  }
}

TEST_F(Loop, SomeQuestionsMayBeAskedOfAClosedOne) {
  loop.close();

  EXPECT_FALSE(loop.is_running());
  EXPECT_FALSE(loop.remove_reader(0));  // FD-3
  EXPECT_FALSE(loop.remove_writer(0));
  EXPECT_EQ(loop.backend_fd(), -1);
  EXPECT_EQ(loop.backend_timeout(), Duration::max());
  EXPECT_TRUE(all_tasks(loop).empty());
  loop.stop();
}

TEST(LoopDestructor, ClosesAndSaysSoInDebugMode) {
  Logged logged;
  auto shared = std::make_shared<int>(0);
  {
    EventLoop loop({.debug = true});
    loop.call_soon([shared] {});
  }

  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_TRUE(logged.contains("unclosed event loop"));  // ACC-17
}

TEST_F(Loop, DestructorsThatRunDuringCloseMayCallIt) {
  std::string text;
  struct Posts {
    EventLoop& loop;
    std::string& text;
    Posts(EventLoop& to, std::string& into) : loop(to), text(into) {}
    ~Posts() {
      text = runtime_error_of([&] { loop.call_soon([] {}); });
    }
  };
  auto body = [&]() -> Coroutine<> {
    Posts posts(loop, text);
    co_await sleep(1h);
  };
  Reports reports(loop);
  static_cast<void>(loop.create_task(body()));
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(contains(text, "Event loop is closed"));
}

TEST_F(Loop, ATaskMayHoldTheLastHandleOfAnotherWhenItCloses) {
  Reports reports(loop);
  auto waits = [](Task<> other) -> Coroutine<> { co_await other; };
  auto forever = []() -> Coroutine<> { co_await sleep(1h); };
  static_cast<void>(loop.create_task(waits(loop.create_task(forever()))));
  loop.run_until_idle();

  loop.close();

  EXPECT_EQ(reports.messages.size(), 2U);
}

// Exception handlers ------------------------------------------------------------------------

TEST_F(Loop, TheDefaultHandlerLogsTheContext) {
  Logged logged;
  EXPECT_FALSE(loop.has_exception_handler());  // ERR-2

  loop.call_exception_handler(
      {"it broke", std::make_exception_ptr(ValueError("v")), {}, "socket 7", {}});

  EXPECT_TRUE(logged.contains("it broke"));  // ERR-3
  EXPECT_TRUE(logged.contains("aster::ValueError: v"));
  EXPECT_TRUE(logged.contains("socket 7"));
}

TEST_F(Loop, TheDefaultHandlerHasATextWhenThereIsNoMessage) {
  Logged logged;

  loop.default_exception_handler({});

  EXPECT_TRUE(logged.contains("Unhandled exception in event loop"));  // ERR-7
}

TEST_F(Loop, AHandlerReplacesTheDefaultAndNullRestoresIt) {
  Logged logged;
  {
    Reports reports(loop);
    EXPECT_TRUE(loop.has_exception_handler());
    loop.call_exception_handler({"one", nullptr, {}, {}, {}});
    EXPECT_EQ(reports.messages, std::vector<std::string>{"one"});  // ERR-1
    EXPECT_FALSE(logged.contains("one"));
    loop.set_exception_handler(nullptr);
  }

  loop.call_exception_handler({"two", nullptr, {}, {}, {}});

  EXPECT_TRUE(logged.contains("two"));
}

TEST_F(Loop, AFailingHandlerIsReportedToTheDefaultOne) {
  Logged logged;
  loop.set_exception_handler(
      [](EventLoop&, const ExceptionContext&) { throw std::logic_error("handler broke"); });

  loop.call_exception_handler({"first trouble", nullptr, {}, {}, {}});

  EXPECT_TRUE(logged.contains("Unhandled error in exception handler"));  // ERR-4
  EXPECT_TRUE(logged.contains("handler broke"));
  EXPECT_TRUE(logged.contains("first trouble"));
}

TEST_F(Loop, ABaseErrorOfAHandlerPropagates) {
  loop.set_exception_handler(
      [](EventLoop&, const ExceptionContext&) { throw KeyboardInterrupt(); });
  loop.call_soon([] { throw std::logic_error("x"); });

  EXPECT_THROW(loop.run_forever(), KeyboardInterrupt);  // ERR-8
}

TEST_F(Loop, AHandlerMayReplaceItself) {
  auto shared = std::make_shared<int>(3);
  int seen = 0;
  loop.set_exception_handler([&loop = loop, &seen, shared](EventLoop&, const ExceptionContext&) {
    loop.set_exception_handler(nullptr);
    seen = *shared;
  });

  loop.call_exception_handler({"x", nullptr, {}, {}, {}});

  EXPECT_EQ(seen, 3);
  EXPECT_EQ(shared.use_count(), 1);
}

// Debug mode ------------------------------------------------------------------------------------

TEST(DebugMode, CallsFromAnotherThreadThanTheRunningOneAreErrors) {
  EventLoop loop({.debug = true});
  std::vector<std::string> texts;
  loop.call_soon([&] {
    std::thread([&] {
      texts.push_back(runtime_error_of([&] { loop.call_soon([] {}); }));
      texts.push_back(runtime_error_of([&] { loop.call_later(1s, [] {}); }));
      texts.push_back(runtime_error_of([&] { loop.call_at(TimePoint(), [] {}); }));
      texts.push_back(runtime_error_of([&] { static_cast<void>(loop.create_task(gives(1))); }));
    }).join();
  });

  loop.run_once();

  ASSERT_EQ(texts.size(), 4U);
  for (const std::string& text : texts) {
    EXPECT_TRUE(contains(text, "Non-thread-safe operation")) << text;  // LOOP-17
  }
  loop.close();
}

TEST(DebugMode, CallSoonThreadsafeIsAllowedFromAnywhere) {
  EventLoop loop({.debug = true});
  int calls = 0;
  loop.call_soon([&] { std::thread([&] { loop.call_soon_threadsafe([&] { ++calls; }); }).join(); });

  loop.run_once();
  loop.run_once();

  EXPECT_EQ(calls, 1);
  loop.close();
}

TEST_F(Loop, DebugModeMayChangeWhileItRuns) {
  EXPECT_FALSE(loop.get_debug());
  loop.call_soon([&] {
    loop.set_debug(true);
    loop.call_soon([] {});
    loop.set_debug(false);
  });

  loop.run_until_idle();

  EXPECT_FALSE(loop.get_debug());
}

TEST_F(Loop, DebugModeDoesNotOpenAClosedLoop) {
  loop.close();

  loop.set_debug(true);
  loop.set_debug(false);

  EXPECT_THROW(loop.call_soon([] {}), RuntimeError);
}

// Services -------------------------------------------------------------------------------------

TEST_F(Loop, AServiceIsMadeOnceAndClosedWithTheLoop) {
  static int made = 0;
  static int closed = 0;
  struct Counter : EventLoop::Service {
    explicit Counter(EventLoop&) { ++made; }
    void close() noexcept override { ++closed; }
  };
  Counter& first = loop.service<Counter>();

  EXPECT_EQ(&loop.service<Counter>(), &first);
  EXPECT_EQ(made, 1);
  loop.close();
  EXPECT_EQ(closed, 1);
}

TEST_F(Loop, AServiceMayUseAnotherWhenItIsMade) {
  struct Inner : EventLoop::Service {
    explicit Inner(EventLoop&) {}
  };
  struct Outer : EventLoop::Service {
    explicit Outer(EventLoop& loop) : inner(loop.service<Inner>()) {}
    Inner& inner;
  };

  EXPECT_EQ(&loop.service<Outer>().inner, &loop.service<Inner>());
}

}  // namespace
}  // namespace aster
