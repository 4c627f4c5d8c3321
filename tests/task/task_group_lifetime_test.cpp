// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <stdexcept>

namespace {

using namespace aster;

TEST(TaskGroupLifetime, AChildMayFailInTheTurnInWhichAGroupEnteredByHandGoes) {
  auto loop = new_event_loop();
  int reports = 0;
  loop->set_exception_handler([&](EventLoop&, const ExceptionContext&) { ++reports; });
  auto fail = []() -> Coroutine<> {
    co_await yield_now();
    throw std::runtime_error("late");
  };
  auto parent = [fail]() -> Coroutine<> {
    TaskGroup group;
    co_await group.enter();
    group.create_task(fail);
    co_await yield_now();
    co_await yield_now();  // Ends behind the child, in the same turn.
  };
  loop->create_task(parent);

  for (int i = 0; i < 5; ++i) loop->run_once();

  EXPECT_EQ(reports, 1);
  loop->close();
}

}  // namespace
