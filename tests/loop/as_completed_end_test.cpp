// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace aster;

TEST(AsCompleted, ANextThatOutlivesItGivesNothing) {
  auto loop = new_event_loop();
  Future<> done = loop->create_future<>();
  done.set_result();
  bool gave = true;

  auto main = [&]() -> Coroutine<> {
    Coroutine<std::optional<Future<>>> next;
    {
      std::vector<Future<>> all{done};
      auto each = as_completed(all);
      next = each.next();
    }
    const std::optional<Future<>> given = co_await std::move(next);
    gave = given.has_value();
  };
  loop->run_until_complete(main());

  EXPECT_FALSE(gave);
  loop->close();
}

}  // namespace
