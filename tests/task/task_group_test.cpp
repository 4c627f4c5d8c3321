// SPDX-License-Identifier: MIT
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/task/task_group.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

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
using support::Reports;

Coroutine<> fails_after(Duration time, std::string text) {
  co_await sleep(time);
  throw ValueError(text);
}

struct Group : support::DriverTest {
  Reports reports{loop};

  Coroutine<> note(Duration time, std::string text) {
    try {
      co_await sleep(time);
    } catch (const CancelledError&) {
      log += text + "-cancelled ";
      throw;
    }
    log += text + " ";
  }

  // Runs `body` in a group; the errors of the group as texts.
  template <class Body>
  std::vector<std::string> errors_of(Body body) {
    try {
      run(with(TaskGroup(), std::move(body)));
    } catch (const ExceptionGroup& group) {
      EXPECT_EQ(group.message(), "unhandled errors in a TaskGroup");  // TG-9
      std::vector<std::string> result;
      for (const auto& error : group.exceptions()) result.push_back(describe(error));
      return result;
    }
    return {};
  }
};
ASTER_BOTH_DRIVERS(Group);
using Texts = std::vector<std::string>;

TEST_P(Group, IsLeftWhenAllChildrenHaveEnded) {
  const TimePoint start = loop.time();
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1s, "a"));
    group.create_task(note(2s, "b"), {.name = "b"});
    log += "body ";
    co_return;
  };

  EXPECT_EQ(errors_of(body), Texts{});

  EXPECT_EQ(log, "body a b ");  // TG-5
  EXPECT_EQ(loop.time() - start, 2s);
}

TEST_P(Group, GivesWhatItsBodyReturns) {
  auto body = [&](TaskGroup& group) -> Coroutine<int> {
    auto child = group.create_task([]() -> Coroutine<int> { co_return 4; });
    co_return co_await child;
  };

  EXPECT_EQ(run(with(TaskGroup(), body)), 4);
}

TEST_P(Group, TakesCallablesWithArguments) {
  std::vector<int> seen;
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto child = [&seen](std::unique_ptr<int> n) -> Coroutine<> {
      co_await sleep(0s);
      seen.push_back(*n);
    };
    auto named = group.create_task({.name = "n"}, child, std::make_unique<int>(3));  // TG-2
    EXPECT_EQ(named.get_name(), "n");
    co_return;
  };

  run(with(TaskGroup(), body));

  EXPECT_EQ(seen, std::vector<int>{3});
}

TEST_P(Group, AFailedChildCancelsTheOthersAndTheBody) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_after(1s, "bad"));
    group.create_task(note(1h, "other"));
    co_await note(1h, "body");
  };

  EXPECT_EQ(errors_of(body), (Texts{"aster::ValueError: bad"}));  // TG-6, ORD-31

  EXPECT_EQ(log, "other-cancelled body-cancelled ");
}

TEST_P(Group, ItsOwnCancellationOfTheParentDoesNotLeakOut) {
  int cancelling = -1;
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_after(1s, "bad"));
    co_await sleep(1h);
  };
  auto outer = [&]() -> Coroutine<> {
    try {
      co_await with(TaskGroup(), body);
    } catch (const ExceptionGroup&) {
    }
    co_await sleep(0s);
    cancelling = cancelling_here();
  };

  run(outer());

  EXPECT_EQ(cancelling, 0);  // TG-13
}

TEST_P(Group, ACancelledChildIsNoError) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto child = group.create_task(note(1h, "child"));
    group.create_task(note(1s, "other"));
    co_await sleep(0s);
    child.cancel();
  };

  EXPECT_EQ(errors_of(body), Texts{});  // TG-7

  EXPECT_EQ(log, "child-cancelled other ");
}

TEST_P(Group, AnErrorOfTheBodyCancelsTheChildrenAndJoinsTheGroup) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_await sleep(1s);
    throw TypeError("body");
  };

  EXPECT_EQ(errors_of(body), (Texts{"aster::TypeError: body"}));  // TG-8

  EXPECT_EQ(log, "child-cancelled ");
}

TEST_P(Group, ErrorsComeInTheOrderOfCompletionTheBodysLast) {
  auto fails_on_cancel = [](Duration cleanup, std::string text) -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
    }
    co_await sleep(cleanup);
    throw ValueError(text);
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_on_cancel(2s, "slow"));
    group.create_task(fails_on_cancel(1s, "fast"));
    co_await sleep(1s);
    throw TypeError("body");
  };

  EXPECT_EQ(errors_of(body), (Texts{"aster::ValueError: fast", "aster::ValueError: slow",
                                    "aster::TypeError: body"}));  // TG-10
}

TEST_P(Group, MustBeEnteredBeforeItTakesTasks) {
  auto shared = std::make_shared<int>(0);
  auto child = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };
  TaskGroup group;

  EXPECT_THROW(group.create_task(child(shared)), RuntimeError);  // TG-3

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_P(Group, TakesNoTasksAfterItsEnd) {
  TaskGroup group;
  auto body = [](TaskGroup&) -> Coroutine<> { co_return; };
  run(with(group, body));

  EXPECT_THROW(group.create_task(note(0s, "late")), RuntimeError);  // TG-3
}

TEST_P(Group, TakesNoTasksWhileItShutsDown) {
  std::string text;
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_after(0s, "bad"));
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      try {
        group.create_task(note(0s, "late"));
      } catch (const RuntimeError& error) {
        text = error.what();
      }
      throw;
    }
  };

  errors_of(body);

  EXPECT_NE(text.find("is shutting down"), std::string::npos);  // TG-3
  EXPECT_EQ(log, "");
}

TEST_P(Group, ChildrenMayAddSiblingsWhileTheBlockIsLeft) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto spawns = [&]() -> Coroutine<> {
      co_await sleep(1s);
      group.create_task(note(1s, "sibling"));
    };
    group.create_task(spawns);
    co_return;
  };

  EXPECT_EQ(errors_of(body), Texts{});  // TG-4

  EXPECT_EQ(log, "sibling ");
}

TEST_P(Group, CannotBeEnteredTwice) {
  TaskGroup group;
  auto body = [](TaskGroup&) -> Coroutine<> { co_return; };
  run(with(group, body));

  EXPECT_THROW(run(with(group, body)), RuntimeError);  // TG-1
}

TEST_P(Group, ACancellationFromOutsideReachesChildrenAndThenTheCaller) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_await note(1h, "body");
  };
  auto task = start(with(TaskGroup(), body));
  loop.run_until_idle();

  task.cancel("why");
  loop.run_until_idle();

  EXPECT_EQ(log, "body-cancelled child-cancelled ");
  EXPECT_TRUE(task.cancelled());  // TG-11, CAN-9
  EXPECT_EQ(task.cancelling(), 1);
}

TEST_P(Group, ACancellationWhileItWaitsReachesChildrenAndThenTheCaller) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_return;
  };
  auto task = start(with(TaskGroup(), body));
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "child-cancelled ");
  EXPECT_TRUE(task.cancelled());  // CAN-9
}

TEST_P(Group, RepeatedCancellationsAreAbsorbedUntilTheChildrenEnd) {
  int child_cancelling = 0;
  auto slow = [&]() -> Coroutine<> {
    bool cancelled = false;
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      cancelled = true;
    }
    co_await sleep(5s);
    child_cancelling = cancelling_here();
    if (cancelled) throw CancelledError();
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(slow());
    co_return;
  };
  auto task = start(with(TaskGroup(), body));
  loop.run_until_idle();

  for (int i = 0; i < 3; ++i) {
    task.cancel();
    loop.advance(1s);
    EXPECT_FALSE(task.done());
  }
  loop.advance(5s);

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(child_cancelling, 1);  // TG-18
}

TEST_P(Group, ErrorsWinOverACancellationThatStaysPending) {
  bool group_error = false;
  bool next_await_cancelled = false;
  auto stubborn = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw ValueError("while cancelled");
    }
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(stubborn());
    co_await sleep(1h);
  };
  auto outer = [&]() -> Coroutine<> {
    try {
      co_await with(TaskGroup(), body);
    } catch (const ExceptionGroup&) {
      group_error = true;
    }
    EXPECT_EQ(cancelling_here(), 1);
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      next_await_cancelled = true;
    }
  };
  auto task = start(outer());
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.done());
  EXPECT_TRUE(group_error);  // TG-12
  EXPECT_TRUE(next_await_cancelled);
}

TEST_P(Group, ABaseErrorOfAChildIsThrownBareAndTheOthersAreReported) {
  auto exits = []() -> Coroutine<> {
    co_await sleep(1s);
    throw SystemExit(3);
  };
  auto fails_on_cancel = []() -> Coroutine<> {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      throw ValueError("other");
    }
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(exits());
    group.create_task(fails_on_cancel());
    co_await sleep(1h);
  };
  auto task = start(with(TaskGroup(), body));

  EXPECT_THROW(loop.run_forever(), SystemExit);     // Out of the child's step.
  EXPECT_THROW(loop.run_until_idle(), SystemExit);  // Out of the group.

  EXPECT_THROW(task.result(), SystemExit);  // TG-14
  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0],
            "TaskGroup task exception was not propagated because the TaskGroup body is being "
            "closed with a BaseException");  // ERR-31
  EXPECT_EQ(reports.errors[0], "aster::ValueError: other");
}

TEST_P(Group, ABaseErrorOfTheBodyIsThrownBareAfterTheChildrenEnded) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_await sleep(1s);
    throw SystemExit(3);
  };

  EXPECT_THROW(run(with(TaskGroup(), body)), SystemExit);  // TG-14

  EXPECT_EQ(log, "child-cancelled ");
}

TEST_P(Group, AGeneratorExitOfTheBodyIsThrownBareWhenItIsAlone) {  // TG-15
  auto alone = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_await sleep(1s);
    throw GeneratorExit();
  };
  auto fails_at_the_end = []() -> Coroutine<> {
    const Outcome<void> slept = co_await outcome(sleep(1h));
    if (slept.cancelled()) throw ValueError("child");
  };
  auto with_others = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_at_the_end);
    co_await sleep(1s);
    throw GeneratorExit();
  };

  EXPECT_THROW(run(with(TaskGroup(), alone)), GeneratorExit);
  EXPECT_THROW(run(with(TaskGroup(), with_others)), ExceptionGroup);

  EXPECT_EQ(log, "child-cancelled ");
}

TEST_P(Group, CancelEndsItEarlyAndQuietly) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_await sleep(1s);
    group.cancel();
    group.cancel();
    co_await note(1h, "body");
  };
  auto task = start(with(TaskGroup(), body));

  loop.advance(1s);

  EXPECT_TRUE(task.done());
  EXPECT_FALSE(task.cancelled());  // TG-16
  EXPECT_NO_THROW(task.result());
  EXPECT_EQ(task.cancelling(), 0);
  EXPECT_EQ(log, "child-cancelled body-cancelled ");
}

TEST_P(Group, CancelByAChildEndsIt) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto ends = [&]() -> Coroutine<> {
      co_await sleep(1s);
      group.cancel();
    };
    group.create_task(ends);
    group.create_task(note(1h, "other"));
    co_return;
  };

  EXPECT_EQ(errors_of(body), Texts{});  // TG-16

  EXPECT_EQ(log, "other-cancelled ");
}

TEST_P(Group, CancelBeforeTheEntryTakesEffectThere) {
  TaskGroup group;
  group.cancel();
  auto body = [&](TaskGroup&) -> Coroutine<> { co_await note(1h, "body"); };
  auto task = start(with(group, body));

  loop.run_until_idle();

  EXPECT_TRUE(task.done());
  EXPECT_FALSE(task.cancelled());  // TG-16
  EXPECT_EQ(log, "body-cancelled ");
}

TEST_P(Group, CancelAfterTheEndDoesNothing) {
  TaskGroup group;
  auto body = [](TaskGroup&) -> Coroutine<> { co_return; };
  auto outer = [&]() -> Coroutine<> {
    co_await with(group, body);
    group.cancel();
    co_await sleep(0s);
    EXPECT_EQ(cancelling_here(), 0);  // TG-16
  };

  run(outer());
}

TEST_P(Group, TakesNoTasksAfterCancel) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.cancel();
    EXPECT_THROW(group.create_task(note(0s, "late")), RuntimeError);  // TG-23
    co_return;
  };

  EXPECT_EQ(errors_of(body), Texts{});
}

TEST_P(Group, ErrorsOfAnInnerGroupNestInTheOuter) {
  auto inner_body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails_after(1s, "deep"));
    co_return;
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "outer child"));
    co_await with(TaskGroup(), inner_body);
  };

  const Texts errors = errors_of(body);

  ASSERT_EQ(errors.size(), 1U);  // TG-19
  EXPECT_EQ(errors[0],
            "aster::ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): "
            "aster::ValueError: deep");
  EXPECT_EQ(log, "outer child-cancelled ");
}

TEST_P(Group, InsideATimeoutEndsWithTimeoutError) {
  auto inner = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(1h, "child"));
    co_return;
  };
  auto limited = [&]() -> Coroutine<> { co_await with(TaskGroup(), inner); };
  auto outer = [&]() -> Coroutine<> { co_await wait_for(limited(), 1s); };

  EXPECT_THROW(run(outer()), TimeoutError);

  EXPECT_EQ(log, "child-cancelled ");
}

TEST_P(Group, MovesUntilItIsEntered) {
  TaskGroup first;
  TaskGroup second = std::move(first);
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(note(0s, "child"));
    co_return;
  };

  run(with(second, body));

  EXPECT_EQ(log, "child ");
}

TEST_P(Group, HoldsItsChildren) {
  auto shared = std::make_shared<int>(0);
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto child = [shared]() -> Coroutine<> { co_await sleep(1s); };
    static_cast<void>(group.create_task(std::move(child)));  // TG-21
    co_await sleep(0s);
    EXPECT_EQ(shared.use_count(), 2);  // The child's and this one's.
  };

  run(with(TaskGroup(), body));
}

TEST_P(Group, AThousandChildrenEnd) {
  int ended = 0;
  auto child = [&](int n) -> Coroutine<> {
    co_await sleep(n % 7 * 1s);
    ++ended;
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    for (int i = 0; i < 1000; ++i) group.create_task(child(i));
    co_return;
  };

  run(with(TaskGroup(), body));

  EXPECT_EQ(ended, 1000);
}

TEST(GroupOnALoop, IsTakenDownWithIt) {
  testing::SimLoop loop;
  Reports reports(loop);
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task([]() -> Coroutine<> { co_await sleep(1h); });
    co_return;
  };
  auto task = loop.create_task(with(TaskGroup(), body));
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(reports.messages.size(), 2U);
}

}  // namespace
}  // namespace aster
