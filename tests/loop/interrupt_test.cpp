// SPDX-License-Identifier: MIT
//
// Ctrl-C during run, RUN-16 to RUN-19: the signal is raised for real. Google Test
// runs its cases on the main thread, where the feature is on.
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

namespace aster {
namespace {

using namespace std::chrono_literals;

using Handler = void (*)(int);

Handler present_handler() {
  struct sigaction action{};
  ::sigaction(SIGINT, nullptr, &action);
  return action.sa_handler;
}

struct Interrupt : ::testing::Test {
  ~Interrupt() override { std::signal(SIGINT, SIG_DFL); }
  std::string log;
};

TEST_F(Interrupt, CancelsMainAndThenKeyboardInterruptLeavesRun) {
  auto body = [&]() -> Coroutine<> {
    std::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "cleanup";
      throw;
    }
  };

  EXPECT_THROW(run(body()), KeyboardInterrupt);  // RUN-16

  EXPECT_EQ(log, "cleanup");
}

TEST_F(Interrupt, FromAnotherThreadWakesALoopThatWaits) {
  std::atomic<bool> waiting{false};
  std::thread thread([&] {
    while (!waiting) std::this_thread::yield();
    ::kill(::getpid(), SIGINT);
  });
  auto body = [&]() -> Coroutine<> {
    waiting = true;
    co_await sleep(1h);
  };

  EXPECT_THROW(run(body()), KeyboardInterrupt);  // RUN-16

  thread.join();
}

TEST_F(Interrupt, ASecondOneLeavesAtOnce) {
  auto body = [&]() -> Coroutine<> {
    std::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += "first ";
    }
    std::raise(SIGINT);
    try {
      co_await sleep(1h);
      log += "never ";
    } catch (const CancelledError&) {
      log += "shutdown ";  // What is left is cancelled while the loop is finished.
      throw;
    }
  };

  EXPECT_THROW(run(body()), KeyboardInterrupt);  // RUN-17

  EXPECT_EQ(log, "first shutdown ");
}

TEST_F(Interrupt, TwoBeforeTheLoopLooksLeaveAtOnce) {
  auto body = [&]() -> Coroutine<> {
    std::raise(SIGINT);
    std::raise(SIGINT);
    co_await sleep(1h);
  };

  EXPECT_THROW(run(body()), KeyboardInterrupt);  // RUN-17
}

TEST_F(Interrupt, AMainThatCatchesTheCancellationGivesItsResult) {
  auto body = [&]() -> Coroutine<int> {
    std::raise(SIGINT);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 3;
  };

  EXPECT_EQ(run(body()), 3);  // RUN-18
}

TEST_F(Interrupt, ACancellationByOthersTooStaysACancelledError) {
  auto body = [&]() -> Coroutine<> {
    std::raise(SIGINT);
    co_await sleep(0s);  // The loop takes notice in the next turn.
    AnyTask self = current_task();
    self.cancel();
    co_await sleep(1h);
  };

  EXPECT_THROW(run(body()), CancelledError);  // RUN-16: the count does not return to 0.
}

TEST_F(Interrupt, TheDefaultActionIsBackAfterRun) {
  Handler during = SIG_DFL;
  auto body = [&]() -> Coroutine<> {
    during = present_handler();
    co_return;
  };

  run(body());

  EXPECT_NE(during, SIG_DFL);
  EXPECT_EQ(present_handler(), SIG_DFL);  // RUN-19
}

std::atomic<int> user_signals{0};
void user_handler(int) { ++user_signals; }

TEST_F(Interrupt, AHandlerOfTheProgramTurnsTheFeatureOff) {
  user_signals = 0;
  std::signal(SIGINT, &user_handler);
  auto body = []() -> Coroutine<int> {
    std::raise(SIGINT);
    co_await sleep(0s);
    co_return 3;
  };

  EXPECT_EQ(run(body()), 3);  // RUN-19

  EXPECT_EQ(user_signals, 1);
  EXPECT_EQ(present_handler(), &user_handler);
}

TEST_F(Interrupt, AnIgnoredSignalStaysIgnored) {
  std::signal(SIGINT, SIG_IGN);
  auto body = []() -> Coroutine<int> {
    std::raise(SIGINT);
    co_await sleep(0s);
    co_return 3;
  };

  EXPECT_EQ(run(body()), 3);  // RUN-19
  EXPECT_EQ(present_handler(), SIG_IGN);
}

TEST_F(Interrupt, AHandlerInstalledDuringTheRunIsKept) {
  auto body = []() -> Coroutine<> {
    std::signal(SIGINT, &user_handler);
    co_return;
  };

  run(body());

  EXPECT_EQ(present_handler(), &user_handler);  // RUN-19
}

TEST_F(Interrupt, ARunInAnotherThreadLeavesTheHandlerAlone) {
  Handler during = nullptr;
  auto body = [&]() -> Coroutine<> {
    during = present_handler();
    co_return;
  };

  std::thread([&] { run(body()); }).join();

  EXPECT_EQ(during, SIG_DFL);  // RUN-16: the main thread only.
}

TEST_F(Interrupt, ARunnerCanRunAgainAfterIt) {
  Runner runner;
  auto body = []() -> Coroutine<> {
    std::raise(SIGINT);
    co_await sleep(1h);
  };
  auto fine = []() -> Coroutine<int> { co_return 4; };
  EXPECT_THROW(runner.run(body()), KeyboardInterrupt);

  EXPECT_EQ(runner.run(fine()), 4);
}

TEST_F(Interrupt, ALateOneAfterMainHasEndedIsNotLostNorFatal) {
  // It arrives in the last step: main ends without having been cancelled.
  auto body = []() -> Coroutine<int> {
    std::raise(SIGINT);
    co_return 4;
  };

  try {
    EXPECT_EQ(run(body()), 4);
  } catch (const KeyboardInterrupt&) {  // As CPython would for one that comes in time.
  }
  EXPECT_EQ(present_handler(), SIG_DFL);
}

TEST(InterruptDeathTest, MainEndsTheProcessByTheSignal) {
  auto body = []() -> Coroutine<> {
    std::raise(SIGINT);
    co_await sleep(1h);
  };

  EXPECT_EXIT(aster::main(body()), ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace aster
