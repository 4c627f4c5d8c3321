// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <source_location>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace aster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr std::uint_least32_t leaf_line = __LINE__ + 1;
Coroutine<int> leaf(Future<int> until) { co_return co_await until; }
constexpr std::uint_least32_t middle_line = __LINE__ + 1;
Coroutine<int> middle(Future<int> until) { co_return co_await leaf(std::move(until)); }
constexpr std::uint_least32_t root_line = __LINE__ + 1;
Coroutine<int> root(Future<int> until) { co_return co_await middle(std::move(until)); }

std::vector<std::uint_least32_t> lines(const std::vector<std::source_location>& sites) {
  std::vector<std::uint_least32_t> found;
  for (const auto& site : sites) found.push_back(site.line());
  return found;
}

struct TaskStack : ::testing::Test {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();
  Task<int> task = loop.create_task(root(future), {.name = "deep"});

  ~TaskStack() override {
    task.cancel();
    loop.run_until_idle();
  }
};

TEST_F(TaskStack, OfAWaitingTaskIsItsChainOfAwaitsOldestFirst) {  // TASK-31, INT-11
  loop.run_until_idle();

  EXPECT_THAT(lines(task.get_stack()), ElementsAre(root_line, middle_line, leaf_line));
  EXPECT_EQ(short_function_name(task.get_stack().back()), "aster::leaf");
}

TEST_F(TaskStack, LimitKeepsTheNewest) {  // TASK-31
  loop.run_until_idle();

  EXPECT_THAT(lines(task.get_stack(2)), ElementsAre(middle_line, leaf_line));
  EXPECT_THAT(task.get_stack(0), IsEmpty());
  EXPECT_THAT(task.get_stack(-1), IsEmpty());
}

TEST_F(TaskStack, OfATaskThatHasNotBegunShowsWhereItsCoroutineIsDefined) {  // TASK-31
  const auto stack = task.get_stack();

  ASSERT_EQ(stack.size(), 1U);
  EXPECT_EQ(short_function_name(stack.front()), "aster::root");
}

TEST_F(TaskStack, OfATaskWithAValueOrCancelledIsEmpty) {  // TASK-31
  auto cancelled = loop.create_task(root(loop.create_future<int>()));
  loop.run_until_idle();
  future.set_result(1);
  cancelled.cancel();
  loop.run_until_idle();

  EXPECT_THAT(task.get_stack(), IsEmpty());
  EXPECT_THAT(cancelled.get_stack(), IsEmpty());
}

TEST_F(TaskStack, OfAFailedTaskIsThePathOfItsExceptionWhoseOldestALimitKeeps) {  // TASK-31
  future.set_exception(std::logic_error("no"));
  loop.run_until_idle();

  EXPECT_THAT(lines(task.get_stack()), ElementsAre(root_line, middle_line, leaf_line));
  EXPECT_THAT(lines(task.get_stack(1)), ElementsAre(root_line));
  EXPECT_NE(task.exception(), nullptr);
}

TEST_F(TaskStack, OfAFailedTaskHasNothingOfEarlierExceptions) {  // TASK-31
  for (int i = 0; i < 3; ++i) {  // The memory of one may be used for the next.
    auto other = loop.create_future<int>();
    auto failing = loop.create_task(root(other));
    loop.run_until_idle();
    other.set_exception(std::logic_error("no"));
    loop.run_until_idle();

    EXPECT_THAT(lines(failing.get_stack()), ElementsAre(root_line, middle_line, leaf_line));
    EXPECT_NE(failing.exception(), nullptr);
  }
}

TEST_F(TaskStack, OfAnyTaskIsTheSame) {  // INT-11
  loop.run_until_idle();
  std::vector<AnyTask> all = all_tasks(loop);

  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(lines(all.front().get_stack()), lines(task.get_stack()));
}

TEST_F(TaskStack, IsPrintedInPythonsForm) {  // TASK-31
  loop.run_until_idle();
  std::ostringstream text;
  task.print_stack({}, text);
  std::ostringstream limited;
  AnyTask(task).print_stack(1, limited);

  EXPECT_THAT(text.str(), StartsWith("Stack for <Task pending name='deep' wait_for="));
  EXPECT_THAT(text.str(), HasSubstr(" (most recent call last):\n  File \""));
  EXPECT_THAT(text.str(),
              HasSubstr(", line " + std::to_string(root_line) + ", in aster::root\n  File"));
  EXPECT_THAT(text.str(),
              ::testing::EndsWith(", line " + std::to_string(leaf_line) + ", in aster::leaf\n"));
  EXPECT_THAT(limited.str(), ::testing::Not(HasSubstr("in aster::root")));
}

TEST_F(TaskStack, OfAFailedTaskIsPrintedWithTheException) {  // TASK-31
  future.set_exception(ValueError("no"));
  loop.run_until_idle();
  std::ostringstream text;
  task.print_stack({}, text);

  EXPECT_THAT(text.str(), StartsWith("Traceback for <Task finished name='deep' exception="));
  EXPECT_THAT(text.str(), ::testing::EndsWith("in aster::leaf\naster::ValueError: no\n"));
  EXPECT_NE(task.exception(), nullptr);
}

TEST_F(TaskStack, SaysWhenThereIsNone) {  // TASK-31
  future.set_result(1);
  loop.run_until_idle();
  std::ostringstream text;
  task.print_stack({}, text);

  EXPECT_THAT(text.str(), StartsWith("No stack for <Task finished name='deep'"));
}

}  // namespace
}  // namespace aster
