// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace aster {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Coroutine<> wait_for_future(Future<int> future) { co_await future; }

TEST(ToString, AFutureTellsItsState) {  // FUT-18
  testing::SimLoop loop;
  auto pending = loop.create_future<int>();
  auto finished = loop.create_future<int>();
  auto failed = loop.create_future<int>();
  auto cancelled = loop.create_future<int>();
  finished.set_result(1);
  failed.set_exception(ValueError("bad"));
  cancelled.cancel();

  EXPECT_THAT(to_string(pending), StartsWith("<Future pending made at to_string_test.cpp:"));
  EXPECT_THAT(to_string(finished), StartsWith("<Future finished made at"));
  EXPECT_THAT(to_string(failed), StartsWith("<Future finished exception=aster::ValueError: bad"));
  EXPECT_THAT(to_string(cancelled), StartsWith("<Future cancelled"));
  EXPECT_EQ(to_string(Future<int>()), "<Future moved from>");
  EXPECT_NE(failed.exception(), nullptr);
}

TEST(ToString, ATaskTellsNameStateAndWhatItWaitsFor) {  // TASK-32
  testing::SimLoop loop;
  auto future = loop.create_future<int>();
  auto task = loop.create_task(wait_for_future(future), {.name = "worker"});
  loop.run_until_idle();

  EXPECT_THAT(to_string(task), StartsWith("<Task pending name='worker' wait_for=<Future pending"));

  task.cancel();
  EXPECT_THAT(to_string(AnyTask(task)), StartsWith("<Task cancelling name='worker'"));
  loop.run_until_idle();
  EXPECT_THAT(to_string(task), StartsWith("<Task cancelled name='worker' made at"));
  EXPECT_EQ(to_string(AnyTask()), "<no task>");
}

}  // namespace
}  // namespace aster
