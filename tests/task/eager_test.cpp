// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>
#include <aster/task/task_group.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

struct Eager : ::testing::Test {
  testing::SimLoop loop;
  std::string log;
  Eager() { loop.set_task_factory(eager_task_factory); }  // EAG-1

  template <class Body>
  void run(Body body) {
    loop.run_until_complete(body());
  }
};

TEST_F(Eager, RunsTheFirstStepInsideCreateTask) {
  auto body = [&]() -> Coroutine<> {
    log += "body ";
    co_return;
  };
  run([&]() -> Coroutine<> {
    auto task = create_task(body());
    log += "after";
    EXPECT_TRUE(task.done());  // EAG-3
    co_return;
  });

  EXPECT_EQ(log, "body after");  // ORD-12, EAG-8
}

TEST_F(Eager, OneThatSuspendsGoesOnAsAnyTask) {
  auto body = [&]() -> Coroutine<int> {
    log += "a";
    co_await sleep(0s);
    log += "c";
    co_return 3;
  };
  run([&]() -> Coroutine<> {
    auto task = create_task(body());
    log += "b";
    EXPECT_FALSE(task.done());
    int three = co_await task;
    EXPECT_EQ(three, 3);  // EAG-4
  });

  EXPECT_EQ(log, "abc");
}

TEST_F(Eager, ASuspendedOneIsAmongAllTasks) {
  run([&]() -> Coroutine<> {
    auto task = create_task([]() -> Coroutine<> { co_await sleep(0s); });
    EXPECT_EQ(all_tasks().size(), 2U);  // TASK-35
    co_await task;
    EXPECT_EQ(all_tasks().size(), 1U);
  });
}

TEST_F(Eager, IsTheCurrentTaskDuringItsStepOnly) {
  run([&]() -> Coroutine<> {
    const AnyTask creator = current_task();
    AnyTask seen;
    auto body = [&]() -> Coroutine<> {
      seen = current_task();
      co_return;
    };
    auto task = create_task(body());
    EXPECT_EQ(seen, AnyTask(task));  // EAG-5
    EXPECT_EQ(current_task(), creator);
    co_return;
  });
}

TEST_F(Eager, TheCreatorIsCurrentAgainAfterAStepThatThrew) {
  run([&]() -> Coroutine<> {
    const AnyTask creator = current_task();
    auto body = []() -> Coroutine<> {
      throw std::logic_error("e");
      co_return;
    };
    auto task = create_task(body());
    EXPECT_EQ(current_task(), creator);                            // EAG-5
    EXPECT_EQ(describe(task.exception()), "std::logic_error: e");  // EAG-10
    co_return;
  });
}

TEST_F(Eager, IsPostedWhenTheLoopDoesNotRun) {
  auto task = loop.create_task([&]() -> Coroutine<> {
    log += "ran";
    co_return;
  });

  EXPECT_EQ(log, "");  // EAG-6
  loop.run_until_idle();
  EXPECT_EQ(log, "ran");
}

TEST_F(Eager, TheOptionOverridesTheFactory) {
  run([&]() -> Coroutine<> {
    auto lazy = create_task(
        [&]() -> Coroutine<> {
          log += "lazy";
          co_return;
        },
        {.eager_start = false});
    EXPECT_EQ(log, "");  // EAG-7
    co_await lazy;
  });

  EXPECT_EQ(log, "lazy");
}

TEST_F(Eager, TheOptionWorksWithoutAFactory) {
  loop.set_task_factory(nullptr);
  run([&]() -> Coroutine<> {
    auto task = create_task(
        [&]() -> Coroutine<> {
          log += "eager";
          co_return;
        },
        {.eager_start = true});
    EXPECT_EQ(log, "eager");  // EAG-7
    co_await task;
  });
}

TEST_F(Eager, DoneCallbacksArePosted) {
  run([&]() -> Coroutine<> {
    auto task = create_task([]() -> Coroutine<> { co_return; });
    task.add_done_callback([&](Task<>) { log += "done"; });
    EXPECT_EQ(log, "");  // EAG-9
    co_await sleep(0s);
    EXPECT_EQ(log, "done");
  });
}

TEST_F(Eager, ABaseErrorComesOutOfCreateTask) {
  auto shared = std::make_shared<int>(1);
  run([&]() -> Coroutine<> {
    auto body = [shared]() -> Coroutine<> {
      throw SystemExit(2);
      co_return;
    };
    EXPECT_THROW(static_cast<void>(create_task(body)), SystemExit);  // EAG-10
    EXPECT_EQ(all_tasks().size(), 1U);
    co_return;
  });

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(Eager, AStepMayCancelItsCreator) {
  auto outer = [&]() -> Coroutine<> {
    AnyTask creator = current_task();
    auto task = create_task([&]() -> Coroutine<> {
      creator.cancel();
      co_return;
    });
    log += "on ";
    co_await sleep(1h);
    log += "never";
  };
  auto task = loop.create_task(outer());

  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());  // EAG-11
  EXPECT_EQ(log, "on ");
}

TEST_F(Eager, AChildThatFailsAtOnceDoesNotAbortTheCreatorInline) {
  auto fails = []() -> Coroutine<> {
    throw ValueError("v");
    co_return;
  };
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    group.create_task(fails());
    log += "on ";
    co_await sleep(1h);
    log += "never";
  };

  EXPECT_THROW(loop.run_until_complete(with(TaskGroup(), body)), ExceptionGroup);

  EXPECT_EQ(log, "on ");  // TG-20
}

TEST_F(Eager, AChildThatCancelsItsGroupIsCancelledToo) {
  auto body = [&](TaskGroup& group) -> Coroutine<> {
    auto cancels = [&]() -> Coroutine<> {
      group.cancel();
      co_await sleep(1h);
      log += "never";
    };
    auto child = group.create_task(cancels());
    EXPECT_EQ(child.cancelling(), 1);  // TG-17, EAG-11
    co_return;
  };

  loop.run_until_complete(with(TaskGroup(), body));

  EXPECT_EQ(log, "");
}

TEST_F(Eager, NestedCreationsRunDepthFirst) {
  run([&]() -> Coroutine<> {
    auto inner = [&]() -> Coroutine<> {
      log += "inner ";
      co_return;
    };
    auto outer = [&]() -> Coroutine<> {
      log += "outer ";
      auto task = create_task(inner());
      log += "end ";
      co_await task;
    };
    auto task = create_task(outer());
    log += "creator";
    co_await task;
  });

  EXPECT_EQ(log, "outer inner end creator");
}

}  // namespace
}  // namespace aster
