// SPDX-License-Identifier: MIT
//
// Real time on every back end; all waits are a few milliseconds.
#include <aster/loop/event_loop.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <sys/time.h>

#include <chrono>
#include <csignal>

#include "support/backends.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

using Clock = support::OnEachBackend;
ASTER_ON_EACH_BACKEND(Clock);

TEST_P(Clock, IsSteadyAndNeverGoesBack) {
  TimePoint last = loop->time();  // LOOP-6
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = loop->time();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST_P(Clock, ATimerIsNeverEarly) {
  for (const Duration delay : {Duration(1ms), Duration(300us), Duration(1ns)}) {
    TimePoint ran{};
    const TimePoint when = loop->call_later(delay,
                                            [&] {
                                              ran = loop->time();
                                              loop->stop();
                                            })
                               .when();

    loop->run_forever();

    EXPECT_GE(ran, when);  // LOOP-7: stronger than asyncio's clock tick.
  }
}

TEST_P(Clock, ATimerDoesNotSpin) {
  int turns = 0;
  bool done = false;
  loop->call_later(3ms, [&] { done = true; });

  while (!done) {
    loop->run_once(1s);
    ++turns;
  }

  EXPECT_LE(turns, 5);  // LOOP-10
}

TEST_P(Clock, ASignalThatInterruptsTheWaitEndsNothing) {
  struct sigaction action{};
  struct sigaction former{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, &former);
  itimerval often{{0, 500}, {0, 500}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const TimePoint start = loop->time();

  loop->run_until_complete(sleep(5ms));  // LOOP-16

  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &former, nullptr);
  EXPECT_GE(loop->time() - start, 5ms);
}

TEST_P(Clock, CallbacksThatPostThemselvesDoNotStarveTimers) {
  bool stopped = false;
  Function<void()> again;
  again = [&] {
    if (!stopped) loop->call_soon([&] { again(); });
  };
  loop->call_soon([&] { again(); });
  loop->call_later(1ms, [&] {
    stopped = true;
    loop->stop();
  });

  loop->run_forever();  // LOOP-2

  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace aster
