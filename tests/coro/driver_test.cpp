// SPDX-License-Identifier: MIT
//
// The Driver API as another runtime sees it: a driver that is no task steps
// coroutines that await futures, sleeps and each other.
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "support/hand_driver.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::HandDriver;

// Waits for one `fire`.
class Button : detail::Waiter {
 public:
  using aster_awaiter = void;
  Button() noexcept = default;
  bool await_ready() const noexcept { return false; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> handle) noexcept {
    driver_ = &detail::driver_of(handle);
    driver_->suspend(*this);
  }
  void await_resume() { driver_->check(); }
  void fire() { driver_->wake(); }
  void fail(std::exception_ptr error) { driver_->wake_with(std::move(error)); }
  bool cancel(detail::Driver& driver, std::string& message) noexcept override {
    if (!cancellable) return false;
    driver.wake_cancelled(message);
    return true;
  }
  bool cancellable = true;

 private:
  detail::Driver* driver_ = nullptr;
};

Coroutine<std::string> press(Button& button) {
  try {
    co_await button;
  } catch (const CancelledError& error) {
    co_return std::string("cancelled ") + error.what();
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "pressed";
}

TEST(Driver, IsWokenOnceForEachSuspension) {
  Button button;
  HandDriver<std::string> driver(press(button));
  EXPECT_FALSE(driver.crank());
  EXPECT_FALSE(driver.is_woken());
  EXPECT_EQ(driver.phase(), detail::Driver::Phase::suspended);

  button.fire();

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.crank());
  EXPECT_EQ(driver.phase(), detail::Driver::Phase::ended);
  EXPECT_EQ(driver.result.take(), "pressed");
}

TEST(Driver, TellsWhatItsInnermostFrameWaitsFor) {
  Button button;
  HandDriver<std::string> driver(press(button));
  EXPECT_EQ(driver.waiter(), nullptr);

  driver.crank();

  EXPECT_NE(driver.waiter(), nullptr);
  EXPECT_NE(driver.innermost(), nullptr);
}

TEST(Driver, AWaiterThatTakesACancellationWakesItAndTheAwaitThrows) {
  Button button;
  HandDriver<std::string> driver(press(button));
  driver.crank();

  EXPECT_TRUE(driver.cancel_now("by hand"));

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.crank());
  EXPECT_EQ(driver.result.take(), "cancelled by hand");
}

TEST(Driver, ARefusedCancellationIsDeliveredByTheNextStep) {
  Button button;
  button.cancellable = false;
  HandDriver<std::string> driver(press(button));
  driver.crank();

  EXPECT_FALSE(driver.cancel_now("later"));
  EXPECT_FALSE(driver.is_woken());
  button.fire();

  EXPECT_TRUE(driver.crank());
  EXPECT_EQ(driver.result.take(), "cancelled later");
}

TEST(Driver, WakeWithThrowsAtTheAwait) {
  Button button;
  HandDriver<std::string> driver(press(button));
  driver.crank();

  button.fail(std::make_exception_ptr(std::logic_error("broken")));

  EXPECT_TRUE(driver.crank());
  EXPECT_EQ(driver.result.take(), "broken");
}

TEST(Driver, AwaitsFuturesOfALoop) {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await future; };
  HandDriver<int> driver(body(), &loop.scheduler());
  driver.crank();

  future.set_result(8);
  // The future queues its waiter with the loop, whose turn finds nothing to do.
  loop.run_until_idle();

  EXPECT_TRUE(driver.crank());
  EXPECT_EQ(driver.result.take(), 8);
}

TEST(Driver, EndsMidwayWhenItsFramesAreDestroyed) {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await future; };
  {
    HandDriver<int> driver(body(), &loop.scheduler());
    driver.crank();
  }

  future.set_result(8);  // Nobody waits any longer.
  loop.run_until_idle();

  EXPECT_TRUE(future.done());
}

TEST(Driver, SleepsOnALoopsClock) {
  testing::SimLoop loop;
  auto body = []() -> Coroutine<int> {
    co_await sleep(3s);
    co_return 3;
  };
  HandDriver<int> driver(body(), &loop.scheduler());
  driver.crank();

  loop.advance(2s);
  EXPECT_FALSE(driver.is_woken());
  loop.advance(1s);

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.crank());
}

TEST(Driver, ABareYieldWakesItAtOnce) {
  auto body = []() -> Coroutine<> { co_await yield_now(); };
  HandDriver<> driver(body());

  EXPECT_FALSE(driver.crank());  // CORO-9
  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.crank());
}

}  // namespace
}  // namespace aster
