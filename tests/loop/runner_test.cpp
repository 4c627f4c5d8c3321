// SPDX-License-Identifier: MIT
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <source_location>
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

Coroutine<int> gives(int n) { co_return n; }

auto simulated = [] { return std::make_unique<testing::SimLoop>(); };

template <class F>
std::string runtime_error_of(F call) {
  try {
    call();
  } catch (const RuntimeError& error) {
    return error.what();
  }
  return {};
}

// run -----------------------------------------------------------------------------------

TEST(Run, GivesWhatMainReturns) { EXPECT_EQ(run(gives(3)), 3); }  // RUN-1

TEST(Run, ThrowsWhatMainThrows) {
  auto fails = []() -> Coroutine<> {
    throw std::logic_error("e");
    co_return;
  };

  EXPECT_THROW(run(fails()), std::logic_error);  // RUN-1
}

TEST(Run, GivesMoveOnlyResultsAndReferences) {
  int value = 1;
  auto pointer = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(2); };
  auto reference = [&]() -> Coroutine<int&> { co_return value; };

  EXPECT_EQ(*run(pointer()), 2);
  EXPECT_EQ(&run(reference()), &value);
}

TEST(Run, TakesAnyAwaitable) {
  struct Ready {
    Ready() = default;
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    int await_resume() const { return 8; }
  };

  EXPECT_EQ(run(Ready()), 8);  // RUN-3
  run(sleep(0s));
}

TEST(Run, InsideARunningLoopIsAnErrorBeforeMainStarts) {
  auto shared = std::make_shared<int>(0);
  std::string text;
  auto inner = [](std::shared_ptr<int>) -> Coroutine<> {
    ADD_FAILURE();
    co_return;
  };
  auto outer = [&]() -> Coroutine<> {
    text = runtime_error_of([&] { run(inner(shared)); });
    co_return;
  };

  run(outer());

  EXPECT_NE(text.find("cannot be called from a running event loop"), std::string::npos);  // RUN-2
  EXPECT_EQ(shared.use_count(), 1);
}

TEST(Run, ClosesItsLoop) {
  static std::shared_ptr<EventLoop> made;
  auto factory = []() -> std::shared_ptr<EventLoop> {
    made = std::make_shared<testing::SimLoop>();
    return made;
  };

  run(gives(1), {.loop_factory = factory});

  EXPECT_TRUE(made->is_closed());  // RUN-6
  made.reset();
}

TEST(Run, MakesItsLoopTheCurrentOneAndUnsetsIt) {
  bool same = false;
  auto body = [&]() -> Coroutine<> {
    same = &get_event_loop_policy()->get_event_loop() == &get_running_loop();
    co_return;
  };

  run(body());

  EXPECT_TRUE(same);  // RUN-5
  EXPECT_THROW(static_cast<void>(get_event_loop()), RuntimeError);
}

TEST(Run, WithAFactoryLeavesTheCurrentLoopAlone) {
  bool has_current = true;
  auto body = [&]() -> Coroutine<> {
    has_current = runtime_error_of([] {
                    static_cast<void>(get_event_loop_policy()->get_event_loop());
                  }).empty();
    co_return;
  };

  run(body(), {.loop_factory = simulated});

  EXPECT_FALSE(has_current);  // RUN-5
}

TEST(Run, CallsItsFactoryOnce) {
  static int calls = 0;
  auto factory = [] {
    ++calls;
    return std::make_unique<testing::SimLoop>();
  };

  run(gives(1), {.loop_factory = factory});

  EXPECT_EQ(calls, 1);
}

std::unique_ptr<EventLoop> make_loop() { return std::make_unique<testing::SimLoop>(); }

TEST(Run, TakesAFunctionAsFactory) { EXPECT_EQ(run(gives(2), {.loop_factory = make_loop}), 2); }

TEST(Run, SetsDebugModeOnlyWhenTold) {
  auto body = []() -> Coroutine<bool> { co_return get_running_loop().get_debug(); };

  EXPECT_TRUE(run(body(), {.debug = true}));  // RUN-4
  EXPECT_FALSE(run(body(), {.debug = false}));
  ::setenv("ASTER_DEBUG", "1", 1);
  EXPECT_TRUE(run(body()));
  EXPECT_FALSE(run(body(), {.debug = false}));
  ::setenv("ASTER_DEBUG", "0", 1);
  EXPECT_FALSE(run(body()));
  ::unsetenv("ASTER_DEBUG");
}

TEST(Run, LeftoverTasksAreCancelledAfterMainAndEndTheirCleanup) {
  std::string log;
  auto leftover = [&]() -> Coroutine<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await sleep(1s);
    log += "cleaned";
    if (cancelled) throw CancelledError();
  };
  auto body = [&]() -> Coroutine<> {
    static_cast<void>(create_task(leftover()));
    co_await sleep(1s);
    log += "main ";
  };

  run(body(), {.loop_factory = simulated});

  EXPECT_EQ(log, "main cleaned");  // RUN-6, ORD-36
}

TEST(Run, AlsoAfterMainFailed) {
  std::string log;
  auto leftover = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "cancelled";
      throw;
    }
  };
  auto body = [&]() -> Coroutine<> {
    static_cast<void>(create_task(leftover()));
    co_await sleep(1s);
    throw std::logic_error("main");
  };

  EXPECT_THROW(run(body(), {.loop_factory = simulated}), std::logic_error);

  EXPECT_EQ(log, "cancelled");
}

TEST(Run, ALeftoverThatFailsWhileItIsCancelledIsReported) {
  std::vector<std::string> reports;
  auto fails = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw ValueError("late");
    }
  };
  auto quiet = []() -> Coroutine<> { co_await sleep(1h); };
  auto body = [&]() -> Coroutine<> {
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      reports.push_back(context.message + " | " + describe(context.exception));
    });
    static_cast<void>(create_task(fails()));
    static_cast<void>(create_task(quiet()));
    co_await sleep(1s);
  };

  run(body(), {.loop_factory = simulated});

  EXPECT_EQ(reports, (std::vector<std::string>{"unhandled exception during asyncio.run() shutdown "
                                               "| aster::ValueError: late"}));  // RUN-7, ERR-23
}

TEST(Run, TheLoopAndTheMainTaskAreMadeAtTheCallersPlace) {
  std::string refused;
  std::source_location of_task;
  auto body = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    of_task = current_task().source();
    std::thread([&] { refused = runtime_error_of([&] { loop.call_soon([] {}); }); }).join();
    co_return;
  };

  run(body(), {.debug = true});
  const unsigned line = __LINE__ - 1;

  EXPECT_NE(refused.find("that loop was made at runner_test.cpp:" + std::to_string(line)),
            std::string::npos)
      << refused;
  EXPECT_EQ(of_task.line(), line);
  EXPECT_NE(std::string(of_task.file_name()).find("runner_test.cpp"), std::string::npos);
}

TEST(Run, ARunnersTasksAreMadeWhereTheyAreRun) {
  Runner runner({.loop_factory = simulated});
  auto place = []() -> Coroutine<unsigned> { co_return current_task().source().line(); };

  const unsigned first = runner.run(place());
  const unsigned second = runner.run(place(), copy_context());

  EXPECT_EQ(first, __LINE__ - 3);
  EXPECT_EQ(second, __LINE__ - 3);
}

TEST(Run, TasksMadeDuringTheShutdownAreDestroyedPending) {
  std::vector<std::string> reports;
  auto child = []() -> Coroutine<> { co_await sleep(1h); };
  auto spawns = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      static_cast<void>(create_task(child(), {.name = "late"}));
      throw;
    }
  };
  auto body = [&]() -> Coroutine<> {
    get_running_loop().set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
      reports.push_back(context.message + " " + (context.task ? context.task.get_name() : ""));
    });
    static_cast<void>(create_task(spawns()));
    co_await sleep(1s);
  };

  run(body(), {.loop_factory = simulated});

  EXPECT_EQ(reports, (std::vector<std::string>{"Task was destroyed but it is pending! late"}));
}  // RUN-8

TEST(Run, ClosesTheLoopEvenWhenFinishingFails) {
  static std::shared_ptr<EventLoop> made;
  auto factory = []() -> std::shared_ptr<EventLoop> {
    made = std::make_shared<testing::SimLoop>();
    return made;
  };
  auto exits = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw SystemExit(4);
    }
  };
  auto body = [&]() -> Coroutine<> {
    static_cast<void>(create_task(exits()));
    co_await sleep(1s);
  };

  EXPECT_THROW(run(body(), {.loop_factory = factory}), SystemExit);  // RUN-6

  EXPECT_TRUE(made->is_closed());
  made.reset();
}

TEST(Run, ABaseErrorOfATaskLeavesItAfterTheOthersEnded) {
  std::string log;
  auto other = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "cancelled";
      throw;
    }
  };
  auto exits = []() -> Coroutine<> {
    co_await sleep(1s);
    throw SystemExit(4);
  };
  auto body = [&]() -> Coroutine<> {
    static_cast<void>(create_task(other()));
    static_cast<void>(create_task(exits()));
    co_await sleep(1h);
  };

  EXPECT_THROW(run(body(), {.loop_factory = simulated}), SystemExit);

  EXPECT_EQ(log, "cancelled");
}

// Runner ---------------------------------------------------------------------------------

TEST(Runner, RunsSeveralMainsOnOneLoop) {
  Runner runner({.loop_factory = simulated});
  EventLoop* first = nullptr;
  auto body = [&]() -> Coroutine<EventLoop*> { co_return &get_running_loop(); };

  first = runner.run(body());

  EXPECT_EQ(runner.run(body()), first);  // RUN-9, RUN-11
  EXPECT_EQ(&runner.get_loop(), first);
}

TEST(Runner, MakesItsLoopAtFirstNeed) {
  static int calls = 0;
  auto factory = [] {
    ++calls;
    return std::make_unique<testing::SimLoop>();
  };
  Runner runner({.loop_factory = factory});
  EXPECT_EQ(calls, 0);  // RUN-10

  runner.get_loop();

  EXPECT_EQ(calls, 1);  // RUN-14
}

TEST(Runner, TasksGoOnBetweenTwoRuns) {
  Runner runner({.loop_factory = simulated});
  bool ended = false;
  auto background = [&]() -> Coroutine<> {
    co_await sleep(2s);
    ended = true;
  };
  auto first = [&]() -> Coroutine<> {
    static_cast<void>(create_task(background()));
    co_await sleep(1s);
  };
  runner.run(first());
  EXPECT_FALSE(ended);

  runner.run(sleep(2s));

  EXPECT_TRUE(ended);
}

TEST(Runner, CannotRunInsideARunningLoop) {
  Runner runner({.loop_factory = simulated});
  std::string text;
  auto body = [&]() -> Coroutine<> {
    text = runtime_error_of([&] { runner.run(gives(1)); });
    co_return;
  };

  runner.run(body());

  EXPECT_NE(text.find("running event loop"), std::string::npos);  // RUN-12
}

TEST(Runner, CannotBeUsedAfterClose) {
  Runner runner({.loop_factory = simulated});
  runner.run(gives(1));
  runner.close();

  EXPECT_NE(runtime_error_of([&] { runner.run(gives(1)); }).find("Runner is closed"),
            std::string::npos);  // RUN-13
  EXPECT_THROW(runner.get_loop(), RuntimeError);
}

TEST(Runner, CloseIsANoOpBeforeTheFirstUseAndTwice) {
  static int calls = 0;
  auto factory = [] {
    ++calls;
    return std::make_unique<testing::SimLoop>();
  };
  Runner runner({.loop_factory = factory});

  runner.close();
  runner.close();

  EXPECT_EQ(calls, 0);  // RUN-15
}

TEST(Runner, TheDestructorLogsWhatCloseThrows) {
  Logged logged;
  auto exits = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw SystemExit(4);
    }
  };
  auto body = [&]() -> Coroutine<> {
    static_cast<void>(create_task(exits()));
    co_await sleep(1s);
  };
  {
    Runner runner({.loop_factory = simulated});
    runner.run(body());
  }

  EXPECT_TRUE(logged.contains("SystemExit"));  // RUN-9
}

TEST(Runner, AFactoryThatGivesNothingIsAnError) {
  Runner runner({.loop_factory = [] { return std::shared_ptr<EventLoop>(); }});

  EXPECT_THROW(runner.run(gives(1)), ValueError);
}

TEST(Runner, ARunnerOfAnotherThreadWorks) {
  int seen = 0;

  std::thread([&] { seen = run(gives(4)); }).join();

  EXPECT_EQ(seen, 4);
}

// main -----------------------------------------------------------------------------------

TEST(Main, GivesTheStatusOfItsCoroutine) {
  auto nothing = []() -> Coroutine<> { co_return; };

  EXPECT_EQ(aster::main(gives(7), {.loop_factory = simulated}), 7);
  EXPECT_EQ(aster::main(nothing(), {.loop_factory = simulated}), 0);
}

TEST(Main, AnExceptionIsOneLineAndStatusOne) {
  auto fails = []() -> Coroutine<> {
    throw ValueError("broken");
    co_return;
  };
  ::testing::internal::CaptureStderr();

  const int status = aster::main(fails(), {.loop_factory = simulated});

  EXPECT_EQ(status, 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("aster::ValueError: broken"),
            std::string::npos);
}

TEST(Main, AnExceptionIsPrintedWithItsCauses) {
  auto fails = []() -> Coroutine<> {
    try {
      throw std::runtime_error("disk");
    } catch (...) {
      std::throw_with_nested(ValueError("broken"));
    }
    co_return;
  };
  ::testing::internal::CaptureStderr();

  EXPECT_EQ(aster::main(fails(), {.loop_factory = simulated}), 1);

  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "aster::ValueError: broken; caused by std::runtime_error: disk\n");
}

TEST(Main, SystemExitGivesItsStatus) {
  auto exits = []() -> Coroutine<> {
    throw SystemExit(5);
    co_return;
  };

  EXPECT_EQ(aster::main(exits(), {.loop_factory = simulated}), 5);
}

// Policies ---------------------------------------------------------------------------------

TEST(Policy, NewEventLoopIsNotMadeCurrent) {
  auto loop = new_event_loop();  // ACC-4

  EXPECT_NE(runtime_error_of([] {
              static_cast<void>(get_event_loop());
            }).find("There is no current event loop"),
            std::string::npos);  // ACC-2
  loop->close();
}

TEST(Policy, TheCurrentLoopIsPerThread) {
  auto loop = new_event_loop();
  set_event_loop(loop);
  bool other_has_one = true;

  std::thread([&] {
    other_has_one = runtime_error_of([] { static_cast<void>(get_event_loop()); }).empty();
  }).join();

  EXPECT_EQ(&get_event_loop(), loop.get());  // ACC-3
  EXPECT_FALSE(other_has_one);
  set_event_loop(nullptr);
  EXPECT_THROW(static_cast<void>(get_event_loop()), RuntimeError);
  loop->close();
}

TEST(Policy, TheRunningLoopComesBeforeTheCurrentOne) {
  auto current = new_event_loop();
  set_event_loop(current);
  testing::SimLoop running;
  EventLoop* seen = nullptr;
  running.call_soon([&] { seen = &get_event_loop(); });

  running.run_once();

  EXPECT_EQ(seen, &running);  // ACC-2
  set_event_loop(nullptr);
  current->close();
}

TEST(Policy, AnotherPolicyDecidesWhatNewLoopsAre) {
  struct Simulated : EventLoopPolicy {
    std::shared_ptr<EventLoop> new_event_loop(LoopOptions) override {
      return std::make_shared<testing::SimLoop>();
    }
  };
  set_event_loop_policy(std::make_shared<Simulated>());  // ACC-22

  auto loop = new_event_loop();
  EXPECT_NE(dynamic_cast<testing::SimLoop*>(loop.get()), nullptr);

  set_event_loop_policy(nullptr);
  auto other = new_event_loop();
  EXPECT_EQ(dynamic_cast<testing::SimLoop*>(other.get()), nullptr);
}

}  // namespace
}  // namespace aster
