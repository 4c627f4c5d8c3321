// SPDX-License-Identifier: MIT
// What a loop that closes leaves behind: nothing (leaks show under ASan).
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

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

// Notes when it goes.
struct Leaves {
  explicit Leaves(std::string& to, char with) : log(to), name(with) {}
  Leaves(const Leaves&) = delete;
  Leaves& operator=(const Leaves&) = delete;
  ~Leaves() { log += name; }
  std::string& log;
  char name;
};

TEST(ClosePending, TheYoungestTaskIsDestroyedFirst) {
  std::string log;
  auto loop = new_event_loop();
  loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  auto waits = [&log](char name) -> Coroutine<> {
    const Leaves leaves(log, name);
    co_await sleep(1h);
  };
  for (const char name : {'a', 'b', 'c'}) static_cast<void>(loop->create_task({}, waits, name));
  loop->run_once();

  loop->close();

  EXPECT_EQ(log, "cba");
}

TEST(ClosePending, AChildMayHoldALockOfItsParentsFrame) {
  bool released = false;
  auto loop = new_event_loop();
  loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  static_cast<void>(loop->create_task([&]() -> Coroutine<> {
    Lock lock;
    struct Check {
      Lock& lock;
      bool& released;
      explicit Check(Lock& of, bool& to) : lock(of), released(to) {}
      Check(const Check&) = delete;
      Check& operator=(const Check&) = delete;
      ~Check() { released = !lock.locked(); }
    } check(lock, released);
    auto hold = [](Lock& of) -> Coroutine<> {
      auto held = co_await of.scoped();
      co_await sleep(1h);
    };
    static_cast<void>(create_task({}, hold, std::ref(lock)));
    co_await sleep(1h);
  }));
  loop->run_once();
  loop->run_once();

  loop->close();

  EXPECT_TRUE(released);
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
