// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <string>

namespace aster {
namespace {

Coroutine<> wait_and_log(WaitList& list, std::string& log, char name) {
  co_await list.park([&list]() noexcept { list.wake_one(); });
  log += name;
}

TEST(WaitList, WakesTheOldestFirstOnALaterTurn) {
  testing::SimLoop loop;
  WaitList list;
  std::string log;
  auto a = loop.create_task(wait_and_log(list, log, 'a'));
  auto b = loop.create_task(wait_and_log(list, log, 'b'));
  loop.run_until_idle();

  EXPECT_TRUE(list.wake_one());
  EXPECT_EQ(log, "");
  loop.run_until_idle();
  EXPECT_EQ(log, "a");

  list.wake_all();
  loop.run_until_idle();
  EXPECT_EQ(log, "ab");
  EXPECT_FALSE(list.wake_one());
}

TEST(WaitList, AReadyConditionDoesNotSuspend) {
  testing::SimLoop loop;
  WaitList list;
  bool passed = false;
  auto pass = [&]() -> Coroutine<> {
    co_await list.park_unless([] { return true; });
    passed = true;
  };
  auto task = loop.create_task(pass);
  loop.run_until_idle();
  EXPECT_TRUE(passed);
  EXPECT_TRUE(list.empty());
}

TEST(WaitList, ACancelledWaiterLeavesTheQueue) {
  testing::SimLoop loop;
  WaitList list;
  std::string log;
  auto a = loop.create_task(wait_and_log(list, log, 'a'));
  auto b = loop.create_task(wait_and_log(list, log, 'b'));
  loop.run_until_idle();

  a.cancel();
  EXPECT_TRUE(list.wake_one());
  loop.run_until_idle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(log, "b");
}

TEST(WaitList, AWakeUpOfACancelledWaiterIsPassedOn) {
  testing::SimLoop loop;
  WaitList list;
  std::string log;
  auto a = loop.create_task(wait_and_log(list, log, 'a'));
  auto b = loop.create_task(wait_and_log(list, log, 'b'));
  loop.run_until_idle();

  list.wake_one();
  a.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(log, "b");
}

TEST(WaitList, EverySubsetOfCancelledWaitersLeavesTheOthersInOrder) {
  for (unsigned subset = 0; subset < 32; ++subset) {
    for (const bool cancel_after_wake : {false, true}) {
      testing::SimLoop loop;
      WaitList list;
      std::string log;
      std::string expected;
      std::vector<Task<>> tasks;
      for (unsigned i = 0; i < 5; ++i) {
        tasks.push_back(loop.create_task(wait_and_log(list, log, static_cast<char>('a' + i))));
        if ((subset >> i & 1U) == 0) expected += static_cast<char>('a' + i);
      }
      loop.run_until_idle();

      if (cancel_after_wake) list.wake_one();
      for (unsigned i = 0; i < 5; ++i) {
        if ((subset >> i & 1U) != 0) tasks[i].cancel();
      }
      loop.run_until_idle();
      list.wake_all();
      loop.run_until_idle();

      EXPECT_EQ(log, expected) << "subset " << subset;
      EXPECT_TRUE(list.empty());
    }
  }
}

}  // namespace
}  // namespace aster
