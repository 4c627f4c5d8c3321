// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace {

using namespace aster;

TEST(GatherCircle, TasksThatAwaitEachOtherThroughAGatherCanBeCancelled) {
  auto loop = new_event_loop();
  Task<> gathering;
  Task<> awaiting = loop->create_task([&]() -> Coroutine<> { co_await gathering; });
  gathering = loop->create_task([&]() -> Coroutine<> {
    std::vector<Task<>> all{awaiting};
    auto both = gather(std::move(all));
    co_await std::move(both);
  });
  for (int i = 0; i < 2; ++i) loop->run_once();

  gathering.cancel();
  for (int i = 0; i < 4; ++i) loop->run_once();

  EXPECT_TRUE(gathering.cancelled());
  EXPECT_TRUE(awaiting.cancelled());
  loop->close();
}

}  // namespace
