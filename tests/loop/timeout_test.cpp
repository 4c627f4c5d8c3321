// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/task/task.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/line.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::cancelling_here;
using Seconds = std::chrono::duration<double>;

class TimeoutTest : public support::DriverTest {};
class WaitFor : public support::DriverTest {};
ASTER_BOTH_DRIVERS(TimeoutTest);
ASTER_BOTH_DRIVERS(WaitFor);

// timeout ------------------------------------------------------------------------------

TEST_P(TimeoutTest, LetsABodyThatIsInTimePass) {
  run([&]() -> Coroutine<> {
    auto body = [](Timeout&) -> Coroutine<int> { co_return co_await sleep(1s, 3); };
    int three = co_await with(timeout(2s), body);
    EXPECT_EQ(three, 3);
    co_await sleep(5s);
    EXPECT_EQ(cancelling_here(), 0);
  });
}

TEST_P(TimeoutTest, EndsABodyThatIsNotInTimeoutError) {
  const TimePoint start = loop.time();
  auto body = [&](Timeout& limit) -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += limit.state();  // TMO-8: inside it is a cancellation.
      EXPECT_TRUE(limit.expired());
      EXPECT_EQ(cancelling_here(), 1);  // TMO-4
      throw;
    }
  };
  auto outer = [&]() -> Coroutine<> { co_await with(timeout(2s), body); };

  EXPECT_THROW(run(outer), TimeoutError);  // TMO-5

  EXPECT_EQ(log, "expiring");
  EXPECT_EQ(loop.time() - start, 2s);
}

TEST_P(TimeoutTest, TheTaskIsNotCancelledAfterwards) {
  run([&]() -> Coroutine<> {
    auto body = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    try {
      co_await with(timeout(1s), body);
    } catch (const TimeoutError&) {
      log += "timeout";
    }
    EXPECT_EQ(cancelling_here(), 0);
    co_await sleep(1s);
  });

  EXPECT_EQ(log, "timeout");
}

TEST_P(TimeoutTest, CountsFromItsCallNotFromTheEntry) {
  const TimePoint start = loop.time();
  auto outer = [&]() -> Coroutine<> {
    auto limit = timeout(2s);  // TMO-1
    co_await sleep(1s);
    auto body = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(std::move(limit), body);
  };

  EXPECT_THROW(run(outer), TimeoutError);
  EXPECT_EQ(loop.time() - start, 2s);
}

TEST_P(TimeoutTest, InfiniteMeansNone) {
  run([&]() -> Coroutine<> {
    auto body = [](Timeout& limit) -> Coroutine<> {
      EXPECT_EQ(limit.when(), std::nullopt);
      co_await sleep(1h);
    };
    co_await with(timeout(Delay::infinite()), body);  // TMO-1
    co_await with(timeout_at(std::nullopt), body);    // TMO-2
  });
}

TEST_P(TimeoutTest, OfNanIsAnError) {
  auto outer = []() -> Coroutine<> {
    static_cast<void>(timeout(Seconds(std::numeric_limits<double>::quiet_NaN())));
    co_return;
  };

  EXPECT_THROW(run(outer), ValueError);
}

TEST(TimeoutWithoutLoop, IsAnError) { EXPECT_THROW(static_cast<void>(timeout(1s)), RuntimeError); }

TEST_P(TimeoutTest, AtAPointInTime) {
  const TimePoint when = loop.time() + 3s;
  auto outer = [&]() -> Coroutine<> {
    auto body = [&](Timeout& limit) -> Coroutine<> {
      EXPECT_EQ(limit.when(), when);
      co_await sleep(1h);
    };
    co_await with(timeout_at(when), body);
  };

  EXPECT_THROW(run(outer), TimeoutError);  // TMO-2
  EXPECT_EQ(loop.time(), when);
}

TEST_P(TimeoutTest, InThePastLetsTheBodyRunToItsFirstSuspension) {
  auto outer = [&]() -> Coroutine<> {
    auto body = [&](Timeout&) -> Coroutine<> {
      log += "started ";
      co_await sleep(1s);
      log += "never";
    };
    co_await with(timeout(-1s), body);
  };

  EXPECT_THROW(run(outer), TimeoutError);  // TMO-3
  EXPECT_EQ(log, "started ");
}

TEST_P(TimeoutTest, InThePastDoesNotHurtABodyThatNeverSuspends) {
  run([&]() -> Coroutine<> {
    auto body = [&](Timeout&) -> Coroutine<> { co_return; };
    co_await with(timeout(0s), body);
    co_await sleep(0s);  // The expiry that was queued is gone.
    EXPECT_EQ(cancelling_here(), 0);
  });
}

TEST_P(TimeoutTest, CanBeMovedWhileItRuns) {
  const TimePoint start = loop.time();
  auto outer = [&]() -> Coroutine<> {
    auto body = [&](Timeout& limit) -> Coroutine<> {
      co_await sleep(1s);
      limit.reschedule(loop.time() + 5s);  // TMO-9
      EXPECT_EQ(limit.when(), start + 6s);
      co_await sleep(1h);
    };
    co_await with(timeout(2s), body);
  };

  EXPECT_THROW(run(outer), TimeoutError);
  EXPECT_EQ(loop.time() - start, 6s);
}

TEST_P(TimeoutTest, CanBeTakenAwayWhileItRuns) {
  run([&]() -> Coroutine<> {
    auto body = [](Timeout& limit) -> Coroutine<> {
      limit.reschedule(std::nullopt);
      co_await sleep(1h);
    };
    co_await with(timeout(2s), body);  // TMO-9
  });
}

TEST_P(TimeoutTest, CannotBeMovedBeforeItIsEnteredNorAfterItsEnd) {
  std::string before;
  std::string after;
  run([&]() -> Coroutine<> {
    auto limit = timeout(2s);
    try {
      limit.reschedule(std::nullopt);
    } catch (const RuntimeError& error) {
      before = error.what();
    }
    auto body = [](Timeout&) -> Coroutine<> { co_return; };
    co_await with(limit, body);
    try {
      limit.reschedule(std::nullopt);
    } catch (const RuntimeError& error) {
      after = error.what();
    }
  });

  EXPECT_EQ(before, "Timeout has not been entered");  // TMO-9
  EXPECT_EQ(after, "Cannot change state of finished Timeout");
}

TEST_P(TimeoutTest, CannotBeEnteredTwice) {
  auto outer = [&]() -> Coroutine<> {
    auto limit = timeout(2s);
    auto body = [](Timeout&) -> Coroutine<> { co_return; };
    co_await with(limit, body);
    co_await with(limit, body);
  };

  EXPECT_THROW(run(outer), RuntimeError);  // TMO-10
}

TEST_P(TimeoutTest, CannotBeEnteredOutsideATask) {
  std::string text;
  loop.call_soon([&] {
    try {
      timeout(1s).begin();
    } catch (const RuntimeError& error) {
      text = error.what();
    }
  });

  loop.run_until_idle();

  EXPECT_EQ(text, "Timeout should be used inside a task");  // TMO-10
}

TEST_P(TimeoutTest, TellsItsState) {
  run([&]() -> Coroutine<> {
    auto limit = timeout(1s);
    log += std::string(limit.state()) + " ";
    auto body = [&](Timeout& entered) -> Coroutine<> {
      log += std::string(entered.state()) + " ";
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {
        log += std::string(entered.state()) + " ";
      }
    };
    co_await with(limit, body);
    log += limit.state();
    EXPECT_TRUE(limit.expired());
  });

  EXPECT_EQ(log, "created active expiring expired");  // TMO-12
}

TEST_P(TimeoutTest, ABodyThatSwallowsTheCancellationGoesOnWithoutAnother) {
  run([&]() -> Coroutine<> {
    auto limit = timeout(1s);
    auto body = [&](Timeout&) -> Coroutine<> {
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {
      }
      co_await sleep(1h);  // TMO-13
      log += "went on";
    };
    co_await with(limit, body);  // TMO-7: no error.
    EXPECT_TRUE(limit.expired());
    EXPECT_EQ(cancelling_here(), 0);
  });

  EXPECT_EQ(log, "went on");
}

TEST_P(TimeoutTest, AnotherExceptionPasses) {
  auto outer = [&]() -> Coroutine<> {
    auto body = [](Timeout&) -> Coroutine<> {
      try {
        co_await sleep(1h);
      } catch (const CancelledError&) {
        throw std::logic_error("else");
      }
    };
    co_await with(timeout(1s), body);
  };

  EXPECT_THROW(run(outer), std::logic_error);  // TMO-6
}

TEST_P(TimeoutTest, ACancellationFromOutsideStaysOne) {
  auto outer = [&]() -> Coroutine<> {
    auto body = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(timeout(10s), body);
  };
  auto task = start(outer());
  loop.advance(1s);

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
}

TEST_P(TimeoutTest, ACancellationFromOutsideWinsOverAnExpiryOfTheSameTurn) {
  auto outer = [&]() -> Coroutine<> {
    auto body = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(timeout(1s), body);
  };
  auto task = start(outer());
  loop.run_until_idle();
  loop.call_later(1s, [&] { task.cancel(); });

  loop.advance(1s);

  EXPECT_TRUE(task.cancelled());  // TMO-5: more requests than at the entry.
  EXPECT_EQ(task.cancelling(), 1);
}

TEST_P(TimeoutTest, ABodyThatEndsInTheTurnOfTheDeadlineTakesTheExpiryBack) {
  auto done = loop.create_future<>();
  auto outer = [&]() -> Coroutine<> {
    auto body = [&](Timeout&) -> Coroutine<> { co_await done; };
    co_await with(timeout(1s), body);
  };
  auto task = start(outer());
  loop.run_until_idle();

  done.set_result();  // The task's step is queued before the expiry, in one turn.
  loop.sim().advance(1s);
  loop.run_until_idle();

  EXPECT_TRUE(task.done());
  EXPECT_NO_THROW(task.result());
}

TEST_P(TimeoutTest, ARequestFromBeforeTheEntryDoesNotHideAnExpiry) {
  auto outer = [&]() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    auto body = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(timeout(1s), body);
  };
  auto task = start(outer());
  loop.run_until_idle();
  task.cancel();

  loop.advance(1s);

  EXPECT_THROW(task.result(), TimeoutError);  // TMO-5
}

// The nesting matrix, TMO-11: which of two nested limits comes first.

TEST_P(TimeoutTest, AnInnerExpiryIsConvertedByTheInnerBlockOnly) {
  run([&]() -> Coroutine<> {
    auto inner = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    auto middle = [&](Timeout& outer_limit) -> Coroutine<> {
      try {
        co_await with(timeout(1s), inner);
      } catch (const TimeoutError&) {
        log += "inner ";
      }
      EXPECT_FALSE(outer_limit.expired());
      co_await sleep(1s);
    };
    co_await with(timeout(5s), middle);
  });

  EXPECT_EQ(log, "inner ");  // TMO-11
}

TEST_P(TimeoutTest, AnOuterExpiryPassesTheInnerBlockAsACancellation) {
  auto outer = [&]() -> Coroutine<> {
    auto inner = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    auto middle = [&](Timeout&) -> Coroutine<> {
      try {
        co_await with(timeout(5s), inner);
      } catch (const CancelledError&) {
        log += "cancelled ";
        throw;
      }
    };
    co_await with(timeout(1s), middle);
  };

  EXPECT_THROW(run(outer), TimeoutError);
  EXPECT_EQ(log, "cancelled ");  // TMO-11
}

TEST_P(TimeoutTest, WhenBothExpireTogetherTheOuterOneIsThrown) {
  auto outer = [&]() -> Coroutine<> {
    const TimePoint when = loop.time() + 1s;
    auto inner = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    auto middle = [&, when](Timeout&) -> Coroutine<> {
      try {
        co_await with(timeout_at(when), inner);
      } catch (const CancelledError&) {
        log += "cancelled ";
        throw;
      } catch (const TimeoutError&) {
        log += "timeout ";
        throw;
      }
    };
    co_await with(timeout_at(when), middle);
  };
  auto task = start(outer());

  loop.advance(1s);

  EXPECT_THROW(task.result(), TimeoutError);  // TMO-11
  EXPECT_EQ(log, "cancelled ");
  EXPECT_EQ(task.cancelling(), 0);
}

// wait_for ------------------------------------------------------------------------------

TEST_P(WaitFor, GivesTheResultInTime) {
  auto body = []() -> Coroutine<int> { co_return co_await wait_for(sleep(1s, 3), 2s); };

  EXPECT_EQ(run(body), 3);
}

TEST_P(WaitFor, RunsACoroutineInTheCallersTask) {
  run([&]() -> Coroutine<> {
    const detail::Driver* caller = loop.scheduler().current();
    const detail::Driver* seen = nullptr;
    auto inner = [&]() -> Coroutine<> {
      seen = loop.scheduler().current();
      co_return;
    };
    co_await wait_for(inner(), 1s);
    EXPECT_EQ(seen, caller);  // WAIT-8
  });
}

TEST_P(WaitFor, InfiniteIsAPlainAwait) {
  auto body = []() -> Coroutine<int> {
    co_return co_await wait_for(sleep(100h, 3), Delay::infinite());
  };

  EXPECT_EQ(run(body), 3);  // WAIT-8
}

TEST_P(WaitFor, OfNanIsAnError) {
  EXPECT_THROW(
      static_cast<void>(wait_for(sleep(1s), Seconds(std::numeric_limits<double>::quiet_NaN()))),
      ValueError);
}

TEST_P(WaitFor, ZeroOfADoneFutureGivesItsResult) {
  Future<int> f = loop.create_future<int>();
  f.set_result(1);

  EXPECT_EQ(run(wait_for(f, 0s)), 1);  // WAIT-9
}

TEST_P(WaitFor, ZeroOfAPendingFutureCancelsIt) {
  Future<int> f = loop.create_future<int>();

  EXPECT_THROW(run(wait_for(f, 0s)), TimeoutError);  // WAIT-9
  const auto task = loop.create_task(sleep(1h));
  loop.run_until_idle();
  try {
    run(wait_for(task, 0s));
    ADD_FAILURE();
  } catch (const TimeoutError& error) {
    EXPECT_TRUE(is_cancelled_error(error.cause()));
  }
  EXPECT_TRUE(f.cancelled());
}

TEST_P(WaitFor, ZeroOfATaskThatSwallowsTheCancellationGivesItsResult) {
  auto stubborn = []() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 4;
  };
  auto inner = loop.create_task(stubborn());
  loop.run_until_idle();

  EXPECT_EQ(run(wait_for(inner, 0s)), 4);
}

TEST_P(WaitFor, OverTimeItCancelsAndWaitsForTheEnd) {
  auto slow_end = [&]() -> Coroutine<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await sleep(3s);
    log += "ended";
    if (cancelled) throw CancelledError();
  };
  auto inner = loop.create_task(slow_end());
  const TimePoint start = loop.time();

  try {
    run(wait_for(inner, 1s));
    ADD_FAILURE();
  } catch (const TimeoutError& error) {  // WAIT-10
    EXPECT_TRUE(is_cancelled_error(error.cause()));
  }

  EXPECT_EQ(log, "ended");
  EXPECT_TRUE(inner.cancelled());
  EXPECT_EQ(loop.time() - start, 4s);
}

TEST_P(WaitFor, GivesTheValueOfOneThatSwallowsTheCancellation) {
  auto stubborn = []() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_return 4;
  };

  EXPECT_EQ(run(wait_for(stubborn(), 1s)), 4);  // WAIT-11
}

TEST_P(WaitFor, ThrowsAnotherErrorRaisedDuringTheCancellation) {
  auto fails = []() -> Coroutine<int> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw std::logic_error("cleanup");
    }
    co_return 4;
  };

  EXPECT_THROW(run(wait_for(fails(), 1s)), std::logic_error);  // WAIT-12
}

TEST_P(WaitFor, ACancellationOfTheCallerWinsOverAResultOfTheSameTurn) {
  Future<int> f = loop.create_future<int>();
  auto outer = start(wait_for(f, 1h));
  loop.run_until_idle();

  f.set_result(5);
  outer.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(outer.cancelled());  // WAIT-13
  EXPECT_EQ(f.result(), 5);
}

TEST_P(WaitFor, AnExpiryInTheTurnOfTheCompletionLosesNoResult) {
  Future<int> f = loop.create_future<int>();
  auto outer = start(wait_for(f, 1s));
  loop.call_later(1s, [&] { f.set_result(5); });  // Before the limit's timer.

  loop.advance(1s);

  // As CPython: the expiry cancels the task, whose step is queued but not run.
  EXPECT_THROW(static_cast<void>(outer.result()), TimeoutError);  // WAIT-14
  EXPECT_EQ(f.result(), 5);
}

TEST_P(WaitFor, MovesAMoveOnlyResult) {
  auto make = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
  auto body = [&]() -> Coroutine<int> {
    std::unique_ptr<int> p = co_await wait_for(make(), 1s);
    co_return *p;
  };

  EXPECT_EQ(run(body), 4);
}

TEST_P(WaitFor, LeavesNoTimerBehind) {
  run([]() -> Coroutine<> { co_await wait_for(sleep(1s), 1h); });

  EXPECT_EQ(loop.backend_timeout(), Duration::max());
}

TEST(WaitForOnALoop, IsTakenDownWithIt) {
  testing::SimLoop loop;
  support::Reports reports(loop);
  auto task = loop.create_task(wait_for(sleep(1h), 2h));
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(TimeoutTest, OneEnteredByHandMayOutliveItsTask) {
  auto limit = std::make_unique<Timeout>(timeout_at(loop.time() + 5ms));
  auto enter = [&]() -> Coroutine<> {
    limit->begin();
    co_return;
  };
  loop.run_until_complete(enter());
  // Tasks that may well get the memory of the one that is gone.
  std::vector<Task<>> others;
  auto wait = []() -> Coroutine<> { co_await sleep(1h); };
  for (int i = 0; i < 10; ++i) others.push_back(loop.create_task(wait()));

  loop.advance(10ms);

  for (Task<>& other : others) {
    EXPECT_EQ(other.cancelling(), 0);
    other.cancel();
  }
  EXPECT_TRUE(limit->expired());
  loop.run_until_idle();
}

TEST_F(TimeoutTest, OneEnteredByHandMayOutliveItsLoop) {
  std::optional<Timeout> limit;
  {
    testing::SimLoop other;
    auto enter = [&]() -> Coroutine<> {
      limit.emplace(timeout(5ms));
      limit->begin();
      co_return;
    };
    other.run_until_complete(enter());
  }

  limit.reset();
}

}  // namespace
}  // namespace aster
