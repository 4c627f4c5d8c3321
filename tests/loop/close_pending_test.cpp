// SPDX-License-Identifier: MIT
// What a loop that closes leaves behind: nothing (leaks show under ASan).
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>

namespace {

using namespace aster;
using namespace std::chrono_literals;

TEST(ClosePending, AShieldWhoseInnerTaskIsPendingIsFreed) {
  auto watched = std::make_shared<int>(1);
  const std::weak_ptr<int> weak = watched;
  auto loop = new_event_loop();
  loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  auto task = loop->create_task([held = std::move(watched)]() -> Coroutine<int> {
    co_await shield(create_task(sleep(1h)));
    co_return *held;
  });
  task = {};
  loop->run_once();
  loop->run_once();

  loop->close();

  EXPECT_TRUE(weak.expired());
  EXPECT_EQ(loop.use_count(), 1);
}

TEST(ClosePending, AShieldOfAGatherThatIsPendingIsFreed) {
  auto loop = new_event_loop();
  loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  {
    auto task = loop->create_task([]() -> Coroutine<> { co_await shield(gather(sleep(1h))); });
    loop->run_once();
    loop->run_once();
  }
  loop->close();
}

TEST(ClosePending, EveryReportIsMadeWhenTheHandlerThrowsABaseError) {
  auto loop = new_event_loop();
  int told = 0;
  loop->set_exception_handler([&](EventLoop&, const ExceptionContext&) {
    ++told;
    throw SystemExit(1);
  });
  for (int i = 0; i < 3; ++i) loop->create_future<>().set_exception(std::runtime_error("lost"));

  loop->close();

  EXPECT_EQ(told, 3);
}

}  // namespace
