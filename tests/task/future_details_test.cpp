// SPDX-License-Identifier: MIT
// What few tasks have is kept apart from them, in places made for all.
#include "support/allocations.hpp"

#include <aster/aster.hpp>
#include <aster/task/future_details.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace aster {
namespace {

using detail::DetailsReserve;
using detail::FutureDetails;
using support::allocations_of;
using support::allocations_without_memory;

// Longer than a string holds in itself.
std::string long_text(std::size_t number) {
  return "number " + std::to_string(number) + " is to end, as the operator has asked";
}

TEST(DetailsReserve, HasDetailsForEveryFuture) {
  DetailsReserve reserve;
  std::vector<FutureDetails*> taken;
  for (std::uintptr_t i = 0; i < 5000; ++i) reserve.add_future();

  const std::uint64_t allocations = allocations_of([&] {
    FutureDetails* some[100];
    for (std::uintptr_t i = 0; i < 100; ++i) some[i] = &reserve.take(2 * i + 1);
    for (FutureDetails* details : some) reserve.give_back(*details);
  });
  for (std::uintptr_t i = 0; i < 5000; ++i) {
    FutureDetails& details = reserve.take(2 * i + 1);
    details.message = long_text(i);
    taken.push_back(&details);
  }

  EXPECT_EQ(allocations, 0U);
  for (std::uintptr_t i = 0; i < taken.size(); ++i) {
    ASSERT_EQ(taken[i]->name, 2 * i + 1);
    ASSERT_EQ(taken[i]->held, nullptr);
    ASSERT_EQ(taken[i]->message, long_text(i));
  }
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(std::unique(taken.begin(), taken.end()), taken.end());
  for (FutureDetails* details : taken) reserve.give_back(*details);
}

TEST(DetailsReserve, GrowsNoMoreThanTheFuturesAtATime) {
  DetailsReserve reserve;
  for (int i = 0; i < 100; ++i) reserve.add_future();
  for (int i = 0; i < 100; ++i) reserve.remove_future();

  const std::uint64_t allocations = allocations_of([&] {
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < 100; ++i) reserve.add_future();
      for (int i = 0; i < 100; ++i) reserve.remove_future();
    }
  });

  EXPECT_EQ(allocations, 0U);
  EXPECT_EQ(reserve.future_count(), 0U);
}

Coroutine<> wait_and_note(std::string& seen) {
  try {
    co_await sleep(std::chrono::hours(1));
  } catch (const CancelledError& error) {
    seen = error.message();
    throw;
  }
}

// CAN: a cancellation needs no memory, however many are asked for in one turn.
TEST(FutureDetails, ThousandsOfCancellationsKeepTheirTextsWithoutMemory) {
  constexpr std::size_t count = 3000;
  testing::SimLoop loop;
  std::vector<std::string> seen(count);
  std::vector<Task<>> tasks;
  for (std::string& each : seen) tasks.push_back(loop.create_task(wait_and_note(each)));
  loop.run_once();
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) texts.push_back(long_text(i));

  const std::uint64_t allocations = allocations_without_memory([&] {
    for (std::size_t i = 0; i < count; ++i) tasks[i].cancel(std::move(texts[i]));
  });
  loop.run_until_complete(wait(tasks));

  EXPECT_EQ(allocations, 0U);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(seen[i], long_text(i));
}

TEST(FutureDetails, ATaskHasNameCallableAndTextAtOnce) {
  testing::SimLoop loop;
  std::string seen;
  auto captured = std::make_shared<int>(1);
  Task<> task = loop.create_task(
      [captured, &seen]() -> Coroutine<> {
        co_await wait_and_note(seen);
        ++*captured;
      },
      {.name = "adder"});
  loop.run_once();

  task.set_name("other");
  task.cancel(long_text(1));
  EXPECT_EQ(task.get_name(), "other");  // TASK-4
  EXPECT_EQ(captured.use_count(), 2);
  loop.run_until_complete(wait(std::vector{task}));

  EXPECT_EQ(seen, long_text(1));
  EXPECT_EQ(task.get_name(), "other");
  EXPECT_EQ(captured.use_count(), 1);  // The callable has gone with the end.
}

// TASK-3: asking a task to end does not take its number.
TEST(FutureDetails, ANumberStaysWhenATextComes) {
  testing::SimLoop loop;
  std::string seen;
  Task<> task = loop.create_task(wait_and_note(seen));
  const std::string name = task.get_name();
  loop.run_once();

  task.cancel(long_text(1));

  EXPECT_EQ(name.find("Task-"), 0U);
  EXPECT_EQ(task.get_name(), name);
  loop.run_until_complete(wait(std::vector{task}));
}

// FUT-2
TEST(FutureDetails, AFutureHeldAfterItsLoopHasItsText) {
  Future<> future;
  {
    testing::SimLoop loop;
    future = loop.create_future<>();
    future.cancel(long_text(7));
  }

  try {
    future.result();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const CancelledError& error) {
    EXPECT_EQ(error.message(), long_text(7));
  }
}

// With its frame a waiting task takes about 230 bytes.
TEST(FutureDetails, ATaskIsSmall) {
  EXPECT_LE(sizeof(detail::TaskState<void>), 128U);
  EXPECT_LE(sizeof(detail::FutureState<void>), 80U);
}

}  // namespace
}  // namespace aster
