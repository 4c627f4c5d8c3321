// SPDX-License-Identifier: MIT
//
// add_signal_handler, SIG-1 to SIG-6: the signals are raised for real. Google Test runs
// its cases on the main thread, where handlers may be added.
#include <aster/coro/outcome.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/context.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/backends.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

struct sigaction action_of(int number) {
  struct sigaction action{};
  ::sigaction(number, nullptr, &action);
  return action;
}

// Runs what is ready, waiting for nothing.
void turns(EventLoop& loop, int count = 3) {
  for (int i = 0; i < count; ++i) loop.run_once(0s);
}

template <class E, class F>
std::string text_of(F call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return {};
}

using Signals = support::OnEachBackend;
ASTER_ON_EACH_BACKEND(Signals);

TEST_P(Signals, RunTheCallbackAsACallbackOfTheLoop) {
  std::string log;
  loop->add_signal_handler(SIGUSR1, [&] { log += "signal "; });

  std::raise(SIGUSR1);
  EXPECT_EQ(log, "");  // SIG-1: not inside the signal handler.
  turns(*loop);

  EXPECT_EQ(log, "signal ");
}

TEST_P(Signals, WakeALoopThatWaits) {
  std::atomic<bool> waiting{false};
  loop->add_signal_handler(SIGUSR1, [&] { loop->stop(); });
  loop->call_soon([&] { waiting = true; });
  std::thread thread([&] {
    while (!waiting) std::this_thread::yield();
    ::kill(::getpid(), SIGUSR1);
  });

  loop->run_forever();  // SIG-1

  thread.join();
}

TEST_P(Signals, ANewHandlerReplacesTheFormer) {
  std::string log;
  loop->add_signal_handler(SIGUSR1, [&] { log += "old "; });
  loop->add_signal_handler(SIGUSR1, [&] { log += "new "; });

  std::raise(SIGUSR1);
  turns(*loop);

  EXPECT_EQ(log, "new ");  // SIG-1
  EXPECT_TRUE(loop->remove_signal_handler(SIGUSR1));
  EXPECT_FALSE(loop->remove_signal_handler(SIGUSR1));
}

TEST_P(Signals, BadNumbersAreErrors) {
  for (const int number : {-1, 0, 65, 1000}) {
    const std::string invalid = ": invalid signal number " + std::to_string(number);
    EXPECT_EQ(text_of<ValueError>([&] { loop->add_signal_handler(number, [] {}); }),
              "add_signal_handler" + invalid);  // SIG-2
    EXPECT_EQ(text_of<ValueError>([&] { loop->remove_signal_handler(number); }),
              "remove_signal_handler" + invalid);
  }
  for (const int number : {SIGKILL, SIGSTOP}) {
    EXPECT_EQ(text_of<RuntimeError>([&] { loop->add_signal_handler(number, [] {}); }),
              "add_signal_handler: sig " + std::to_string(number) + " cannot be caught");  // SIG-2
  }
  EXPECT_FALSE(loop->remove_signal_handler(SIGKILL));
  EXPECT_THROW(loop->add_signal_handler(SIGUSR1, Function<void()>()), ValueError);
}

TEST_P(Signals, OnlyTheMainThreadMayHandleThem) {
  std::string text;
  std::thread thread([&] {
    auto mine = new_event_loop({.backend = GetParam()});
    text = text_of<RuntimeError>([&] { mine->add_signal_handler(SIGUSR1, [] {}); });
    mine->close();
  });
  thread.join();

  EXPECT_EQ(text, "add_signal_handler: only the main thread may handle signals");  // SIG-1
  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_DFL);
}

TEST_P(Signals, SystemCallsAreRestarted) {
  loop->add_signal_handler(SIGUSR1, [] {});

  EXPECT_NE(action_of(SIGUSR1).sa_flags & SA_RESTART, 0);  // SIG-3
}

TEST_P(Signals, RemovingRestoresWhatWasThere) {
  static std::atomic<int> seen{0};
  seen = 0;
  struct sigaction mine{};
  mine.sa_handler = [](int) { ++seen; };
  ::sigaction(SIGUSR2, &mine, nullptr);
  loop->add_signal_handler(SIGUSR1, [] {});
  loop->add_signal_handler(SIGUSR2, [] {});

  loop->remove_signal_handler(SIGUSR1);
  loop->remove_signal_handler(SIGUSR2);

  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_DFL);  // SIG-4
  EXPECT_EQ(action_of(SIGUSR2).sa_handler, mine.sa_handler);
  std::raise(SIGUSR2);
  EXPECT_EQ(seen, 1);
  std::signal(SIGUSR2, SIG_DFL);
}

TEST_P(Signals, AHandlerThatTheProgramInstalledSinceIsKept) {
  loop->add_signal_handler(SIGUSR1, [] {});
  std::signal(SIGUSR1, SIG_IGN);

  EXPECT_TRUE(loop->remove_signal_handler(SIGUSR1));

  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_IGN);
  std::signal(SIGUSR1, SIG_DFL);
}

TEST_P(Signals, EachDeliveryIsACall) {
  int count = 0;
  loop->add_signal_handler(SIGUSR1, [&] { ++count; });

  for (int i = 0; i < 1000; ++i) std::raise(SIGUSR1);
  turns(*loop);

  EXPECT_EQ(count, 1000);  // SIG-5
}

TEST_P(Signals, ARemovedHandlerIsNotCalledForWhatHasCome) {
  int count = 0;
  loop->add_signal_handler(SIGUSR1, [&] {
    ++count;
    EXPECT_TRUE(loop->remove_signal_handler(SIGUSR1));
  });
  loop->add_signal_handler(SIGUSR2, [&] { ++count; });
  for (int i = 0; i < 3; ++i) std::raise(SIGUSR1);
  std::raise(SIGUSR2);
  loop->remove_signal_handler(SIGUSR2);

  turns(*loop);

  EXPECT_EQ(count, 1);
  loop->add_signal_handler(SIGUSR1, [&] { count += 10; });
  turns(*loop);
  EXPECT_EQ(count, 1);  // What came before it was added is not its.
}

TEST_P(Signals, AllOfThemAtOnceAreAllCalled) {
  // C21: whatever else wakes the loop, nothing is lost.
  std::array<int, 32> counts{};
  std::vector<int> numbers;
  for (int number = 1; number < 32; ++number) {
    if (number == SIGKILL || number == SIGSTOP) continue;
    numbers.push_back(number);
    loop->add_signal_handler(number,
                             [&counts, number] { ++counts[static_cast<std::size_t>(number)]; });
  }
  for (int i = 0; i < 10000; ++i) loop->call_soon_threadsafe([] {});

  for (const int number : numbers) std::raise(number);
  turns(*loop);

  for (const int number : numbers) EXPECT_EQ(counts[static_cast<std::size_t>(number)], 1) << number;
}

TEST_P(Signals, ClosingTheLoopRemovesThem) {
  loop->add_signal_handler(SIGUSR1, [] {});
  loop->add_signal_handler(SIGUSR2, [] {});
  std::raise(SIGUSR2);

  loop->close();

  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_DFL);  // SIG-6
  EXPECT_EQ(action_of(SIGUSR2).sa_handler, SIG_DFL);
  EXPECT_FALSE(loop->remove_signal_handler(SIGUSR1));
  EXPECT_THROW(loop->add_signal_handler(SIGUSR1, [] {}), RuntimeError);
}

TEST_P(Signals, TheNewestOfSeveralLoopsHasIt) {
  auto other = new_event_loop({.backend = GetParam()});
  std::string log;
  loop->add_signal_handler(SIGUSR1, [&] { log += "first "; });
  other->add_signal_handler(SIGUSR1, [&] { log += "second "; });

  std::raise(SIGUSR1);
  turns(*loop);
  turns(*other);
  EXPECT_EQ(log, "second ");

  other->close();
  std::raise(SIGUSR1);
  turns(*loop);
  EXPECT_EQ(log, "second first ");
}

TEST_P(Signals, TheOlderOfSeveralLoopsMayGoFirst) {
  auto other = new_event_loop({.backend = GetParam()});
  std::string log;
  loop->add_signal_handler(SIGUSR1, [&] { log += "first "; });
  other->add_signal_handler(SIGUSR1, [&] { log += "second "; });

  loop->close();
  std::raise(SIGUSR1);
  turns(*other);

  EXPECT_EQ(log, "second ");
  other->close();
  EXPECT_EQ(action_of(SIGUSR1).sa_handler, SIG_DFL);  // SIG-4
}

TEST_P(Signals, AnErrorOfTheCallbackIsTold) {
  const support::Reports reports(*loop);
  loop->add_signal_handler(SIGUSR1, [] { throw ValueError("no signals please"); });

  std::raise(SIGUSR1);
  std::raise(SIGUSR1);
  turns(*loop);

  EXPECT_EQ(reports.errors, std::vector<std::string>(2, "aster::ValueError: no signals please"));
  EXPECT_EQ(reports.messages.front(), "Exception in callback of a signal handler");
}

TEST_P(Signals, ABaseErrorLeavesTheLoopAndLosesNoCall) {
  int count = 0;
  loop->add_signal_handler(SIGUSR1, [&] {
    if (++count == 1) throw SystemExit(3);
  });
  std::raise(SIGUSR1);
  std::raise(SIGUSR1);

  EXPECT_THROW(turns(*loop), SystemExit);
  turns(*loop);

  EXPECT_EQ(count, 2);
}

TEST_P(Signals, TheCallbackRunsInTheContextOfTheCall) {
  static ContextVar<int> variable{"variable", 0};
  int seen = -1;
  copy_context().run([&] {
    variable.set(5);
    loop->add_signal_handler(SIGUSR1, [&] { seen = variable.get(); });
  });

  std::raise(SIGUSR1);
  turns(*loop);

  EXPECT_EQ(seen, 5);
}

TEST_P(Signals, InAForkedChildTheyDoWhatTheyDidBefore) {
  int count = 0;
  loop->add_signal_handler(SIGTERM, [&] { ++count; });

  const pid_t child = ::fork();
  if (child == 0) {
    std::raise(SIGTERM);  // Ends it, as without us.
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  turns(*loop);

  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_EQ(count, 0);  // ACC-8: the parent has heard nothing.
  std::raise(SIGTERM);
  turns(*loop);
  EXPECT_EQ(count, 1);
}

TEST_P(Signals, AForkedChildMayHaveHandlersOfItsOwn) {
  loop->add_signal_handler(SIGTERM, [] {});

  const pid_t child = ::fork();
  if (child == 0) {
    bool good = text_of<RuntimeError>([&] { loop->add_signal_handler(SIGTERM, [] {}); }) != "";
    int count = 0;
    auto mine = new_event_loop({.backend = GetParam()});
    mine->add_signal_handler(SIGTERM, [&] { ++count; });
    std::raise(SIGTERM);
    turns(*mine);
    mine->close();
    loop->close();
    good = good && count == 1;
    if (!good) ::_exit(1);
    std::raise(SIGTERM);  // Does what it did before the first handler.
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);

  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGTERM);
}

TEST_P(Signals, AForkedChildLeavesAHandlerOfTheProgramsToCtrlC) {
  static volatile std::sig_atomic_t seen;
  seen = 0;
  struct sigaction mine{};
  struct sigaction before{};
  mine.sa_handler = [](int) { seen = 1; };
  ::sigaction(SIGINT, &mine, &before);
  loop->add_signal_handler(SIGINT, [] {});

  const pid_t child = ::fork();
  if (child == 0) {
    const auto main = []() -> Coroutine<> {
      std::raise(SIGINT);
      co_return;
    };
    Runner runner;
    runner.run(main());
    ::_exit(seen == 1 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  loop->remove_signal_handler(SIGINT);
  ::sigaction(SIGINT, &before, nullptr);

  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(Signals, AForkedChildOfALoopWithCtrlCHasItsOwn) {
  loop->add_signal_handler(SIGINT, [] {});

  const pid_t child = ::fork();
  if (child == 0) {
    bool is_cancelled = false;
    const auto main = [&]() -> Coroutine<> {
      std::raise(SIGINT);
      const Outcome<void> end = co_await outcome(sleep(10s));
      is_cancelled = end.cancelled();
      end.value();
    };
    try {
      Runner runner;
      runner.run(main());
    } catch (const KeyboardInterrupt&) {
      ::_exit(is_cancelled ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  ::waitpid(child, &status, 0);

  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(Signals, FromManyThreadsNoneIsLost) {
  constexpr int per_thread = 2000;
  std::atomic<int> sent{0};
  std::atomic<int> taken{0};
  loop->add_signal_handler(SIGRTMIN, [&] { ++taken; });
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < per_thread; ++n) {
        ::pthread_kill(::pthread_self(), SIGRTMIN);
        ++sent;
      }
    });
  }

  for (int i = 0; i < 1000000 && taken < 3 * per_thread; ++i) loop->run_once(10ms);

  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sent, 3 * per_thread);
  EXPECT_EQ(taken, 3 * per_thread);  // C21
}

TEST(SignalsInRun, AHandlerOfSigintTakesTheInterruptOver) {
  int count = 0;
  auto body = [&]() -> Coroutine<int> {
    get_running_loop().add_signal_handler(SIGINT, [&] { ++count; });
    std::raise(SIGINT);
    co_await sleep(1ms);
    co_return 3;
  };

  EXPECT_EQ(run(body()), 3);  // RUN-19

  EXPECT_EQ(count, 1);
  EXPECT_EQ(action_of(SIGINT).sa_handler, SIG_DFL);  // SIG-6
}

TEST(SignalsInRun, OnceItIsRemovedInterruptsCancelAgain) {
  auto body = []() -> Coroutine<> {
    get_running_loop().add_signal_handler(SIGINT, [] {});
    EXPECT_TRUE(get_running_loop().remove_signal_handler(SIGINT));
    std::raise(SIGINT);
    co_await sleep(1h);
  };

  EXPECT_THROW(run(body()), KeyboardInterrupt);  // RUN-16, SIG-4
}

TEST(SignalsInRun, AHandlerMayOutliveTheMainTask) {
  Runner runner;
  int count = 0;
  auto add = [&]() -> Coroutine<> {
    get_running_loop().add_signal_handler(SIGINT, [&] { ++count; });
    co_return;
  };
  auto raise = []() -> Coroutine<int> {
    std::raise(SIGINT);
    co_await sleep(1ms);
    co_return 4;
  };

  runner.run(add());
  EXPECT_EQ(runner.run(raise()), 4);
  runner.close();

  EXPECT_EQ(count, 1);
  EXPECT_EQ(action_of(SIGINT).sa_handler, SIG_DFL);
}

TEST(SignalsInRun, ASimulatedLoopHearsThemToo) {
  testing::SimLoop loop;
  int count = 0;
  loop.add_signal_handler(SIGUSR1, [&] { ++count; });

  std::raise(SIGUSR1);
  loop.run_until_idle();

  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace aster
