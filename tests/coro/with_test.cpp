// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/line.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

// Notes what happens to it; swallows errors when told so.
class Manager {
 public:
  explicit Manager(std::string& log, bool swallow = false) : log_(log), swallow_(swallow) {}
  Coroutine<int> enter() {
    co_await sleep(1s);
    log_ += "enter ";
    co_return 42;
  }
  Coroutine<bool> exit(std::exception_ptr error) {
    co_await sleep(1s);
    log_ += error != nullptr ? "exit(" + describe(error) + ") " : "exit ";
    co_return swallow_;
  }

 private:
  std::string& log_;
  bool swallow_;
};

class With : public support::DriverTest {};
ASTER_BOTH_DRIVERS(With);

TEST_P(With, EntersRunsTheBodyAndLeaves) {
  auto body = [&](int entered) -> Coroutine<> {
    log += "body(" + std::to_string(entered) + ") ";
    co_return;
  };

  run(with(Manager(log), body));

  EXPECT_EQ(log, "enter body(42) exit ");
}

TEST_P(With, GivesWhatTheBodyReturns) {
  auto body = [](int entered) -> Coroutine<std::unique_ptr<int>> {
    co_return std::make_unique<int>(entered + 1);
  };

  EXPECT_EQ(*run(with(Manager(log), body)), 43);
}

TEST_P(With, TheBodyNeedNotTakeWhatEnterGave) {
  auto body = [&]() -> Coroutine<> {
    log += "body ";
    co_return;
  };

  run(with(Manager(log), body));

  EXPECT_EQ(log, "enter body exit ");
}

TEST_P(With, PassesTheBodysErrorToExitAndThrowsIt) {
  auto body = [](int) -> Coroutine<> {
    throw std::logic_error("bad");
    co_return;
  };

  EXPECT_THROW(run(with(Manager(log), body)), std::logic_error);

  EXPECT_EQ(log, "enter exit(std::logic_error: bad) ");
}

TEST_P(With, SwallowsTheErrorWhenExitSaysSo) {
  auto body = [](int) -> Coroutine<> {
    throw std::logic_error("bad");
    co_return;
  };

  EXPECT_NO_THROW(run(with(Manager(log, true), body)));
}

TEST_P(With, SwallowingTheErrorOfABodyThatGivesAValueIsAnError) {
  auto body = [](int) -> Coroutine<int> {
    throw std::logic_error("bad");
    co_return 1;
  };

  EXPECT_THROW(run(with(Manager(log, true), body)), RuntimeError);
}

TEST_P(With, ANamedManagerIsTakenByReference) {
  Manager manager(log);
  auto body = [](int) -> Coroutine<> { co_return; };

  run(with(manager, body));
  run(with(manager, body));

  EXPECT_EQ(log, "enter exit enter exit ");
}

TEST_P(With, DoesNotLeaveWhatItHasNotEntered) {
  auto body = [](int) -> Coroutine<> { co_return; };
  auto task = loop.create_task(with(Manager(log), body));
  loop.run_until_idle();

  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(log, "");  // CAN-24
}

TEST_P(With, LeavesWhenTheBodyIsCancelled) {
  auto body = [](int) -> Coroutine<> { co_await sleep(1h); };
  auto task = loop.create_task(with(Manager(log), body));
  loop.advance(1s);

  task.cancel("why");
  loop.advance(1s);

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(log, "enter exit(aster::CancelledError: why) ");
}

TEST_P(With, TheBodyLivesUntilTheEnd) {
  auto shared = std::make_shared<int>(5);
  int seen = 0;
  auto body = [shared, &seen](int) -> Coroutine<> {
    co_await sleep(1s);
    seen = *shared;
  };
  auto task = loop.create_task(with(Manager(log), std::move(body)));
  shared.reset();

  loop.advance(3s);

  EXPECT_TRUE(task.done());
  EXPECT_EQ(seen, 5);
}

TEST_P(With, EnterMayGiveNothing) {
  struct Quiet {
    Quiet() = default;
    Coroutine<> enter() { co_return; }
    Coroutine<bool> exit(std::exception_ptr) { co_return false; }
  };
  auto body = []() -> Coroutine<int> { co_return 2; };

  EXPECT_EQ(run(with(Quiet(), body)), 2);
}

TEST_P(With, EnterMayGiveAReferenceToTheManager) {
  struct Self {
    Self() = default;
    int value = 3;
    Coroutine<Self&> enter() { co_return *this; }
    Coroutine<bool> exit(std::exception_ptr) { co_return false; }
  };
  auto body = [](Self& self) -> Coroutine<int> { co_return self.value; };

  EXPECT_EQ(run(with(Self(), body)), 3);
}

}  // namespace
}  // namespace aster
