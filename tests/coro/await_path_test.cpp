// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace aster {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

constexpr unsigned inner_line = __LINE__ + 4;
Coroutine<> inner() {
  co_await sleep(Duration(0));
  auto fail = []() -> Coroutine<> {
    throw ValueError("bad");
    co_return;
  };
  co_await fail();
}
constexpr unsigned outer_line = __LINE__ + 1;
Coroutine<> outer() { co_await inner(); }

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

TEST(AwaitPath, AnExceptionThatWasNotAwaitedHasNone) {
  EXPECT_EQ(format_await_path(std::make_exception_ptr(ValueError("x"))), "");
  EXPECT_EQ(format_await_path(nullptr), "");
}

}  // namespace
}  // namespace aster
