// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace aster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

unsigned inner_line = 0;  // Set where the await is.
Coroutine<> inner() {
  co_await sleep(Duration(0));
  auto fail = []() -> Coroutine<> {
    throw ValueError("bad");
    co_return;
  };
  inner_line = __LINE__ + 1;
  co_await fail();
}

unsigned outer_line = 0;
Coroutine<> outer() {
  outer_line = __LINE__ + 1;
  co_await inner();
}

std::vector<unsigned> lines_of(const std::exception_ptr& error) {
  std::vector<unsigned> lines;
  for (const auto& site : await_path(error)) lines.push_back(site.line());
  return lines;
}

TEST(AwaitPath, NamesTheAwaitsInnermostFirst) {
  aster::testing::SimLoop loop;
  auto task = loop.create_task(outer());
  loop.run_until_idle();

  EXPECT_THAT(lines_of(task.exception()), ElementsAre(inner_line, outer_line));
  EXPECT_THAT(format_await_path(task.exception()),
              MatchesRegex("await_path_test.cpp:[0-9]+, await_path_test.cpp:[0-9]+"));
}

TEST(AwaitPath, GoesOnAcrossTasks) {
  aster::testing::SimLoop loop;
  unsigned line = 0;
  auto await_task = [&line](Task<> task) -> Coroutine<> {
    line = __LINE__ + 1;
    co_await task;
  };
  auto first = loop.create_task(outer());
  auto second = loop.create_task({}, await_task, first);
  loop.run_until_idle();

  EXPECT_THAT(lines_of(second.exception()), ElementsAre(inner_line, outer_line, line));
}

TEST(AwaitPath, GoesOnWhenAnOutcomeIsThrown) {
  aster::testing::SimLoop loop;
  unsigned line = 0;
  auto take_value = [&line]() -> Coroutine<> {
    line = __LINE__ + 1;
    Outcome<> ended = co_await outcome(outer());
    ended.value();
  };
  auto task = loop.create_task(take_value);
  loop.run_until_idle();

  EXPECT_THAT(lines_of(task.exception()), ElementsAre(inner_line, outer_line, line));
}

// As what a caller has caught is gone, the next exception may be at its address.
TEST(AwaitPath, EndsWhereNobodyAwaits) {
  aster::testing::SimLoop loop;
  auto fail_at_once = []() -> Coroutine<> {
    throw ValueError("new");
    co_return;
  };
  EXPECT_THROW(loop.run_until_complete(outer()), ValueError);
  auto next = loop.create_task(fail_at_once);
  loop.run_until_idle();
  EXPECT_THAT(lines_of(next.exception()), IsEmpty());

  auto failed = loop.create_task(outer());
  loop.run_until_idle();
  loop.call_soon([&] { EXPECT_THROW(std::exchange(failed, {}).result(), ValueError); });
  auto later = loop.create_task(fail_at_once);
  loop.run_until_idle();
  EXPECT_THAT(lines_of(later.exception()), IsEmpty());

  {
    ConcurrentFuture<> of_thread;
    of_thread.set_exception(ValueError("of a thread"));
    EXPECT_THROW(of_thread.result(), ValueError);
  }
  auto last = loop.create_task(fail_at_once);
  loop.run_until_idle();
  EXPECT_THAT(lines_of(last.exception()), IsEmpty());
}

// A coroutine that asks a future has awaited it, if not there.
TEST(AwaitPath, GoesOnWhenACoroutineAsksForAResult) {
  aster::testing::SimLoop loop;
  unsigned line = 0;
  auto ask = [&line](Task<> task) -> Coroutine<> {
    std::vector<Task<>> tasks{task};
    auto waiting = wait(std::move(tasks));
    line = __LINE__ + 1;
    co_await std::move(waiting);
    task.result();
  };
  auto first = loop.create_task(outer());
  auto second = loop.create_task({}, ask, first);
  loop.run_until_idle();

  EXPECT_THAT(lines_of(second.exception()), ElementsAre(inner_line, outer_line, line));
}

TEST(AwaitPath, NoExceptionHasNone) { EXPECT_EQ(format_await_path(nullptr), ""); }

}  // namespace
}  // namespace aster
