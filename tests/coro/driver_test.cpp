// SPDX-License-Identifier: MIT
//
// The Driver API as another runtime sees it: a driver that is no task steps
// coroutines that await futures, sleeps and each other.
#include <aster/coro/with.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task_group.hpp>
#include <aster/task/wait_list.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

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
  EXPECT_FALSE(driver.send());
  EXPECT_FALSE(driver.is_woken());
  EXPECT_EQ(driver.phase(), detail::Driver::Phase::suspended);

  button.fire();

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.send());
  EXPECT_EQ(driver.phase(), detail::Driver::Phase::ended);
  EXPECT_EQ(driver.result.take(), "pressed");
}

TEST(Driver, TellsWhatItsInnermostFrameWaitsFor) {
  Button button;
  HandDriver<std::string> driver(press(button));
  EXPECT_EQ(driver.waiter(), nullptr);

  driver.send();

  EXPECT_NE(driver.waiter(), nullptr);
  EXPECT_NE(driver.innermost(), nullptr);
}

TEST(Driver, AWaiterThatTakesACancellationWakesItAndTheAwaitThrows) {
  Button button;
  HandDriver<std::string> driver(press(button));
  driver.send();

  EXPECT_TRUE(driver.cancel_now("by hand"));

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.send());
  EXPECT_EQ(driver.result.take(), "cancelled by hand");
}

TEST(Driver, ARefusedCancellationIsDeliveredByTheNextStep) {
  Button button;
  button.cancellable = false;
  HandDriver<std::string> driver(press(button));
  driver.send();

  EXPECT_FALSE(driver.cancel_now("later"));
  EXPECT_FALSE(driver.is_woken());
  button.fire();

  EXPECT_TRUE(driver.send());
  EXPECT_EQ(driver.result.take(), "cancelled later");
}

TEST(Driver, WakeWithThrowsAtTheAwait) {
  Button button;
  HandDriver<std::string> driver(press(button));
  driver.send();

  button.fail(std::make_exception_ptr(std::logic_error("broken")));

  EXPECT_TRUE(driver.send());
  EXPECT_EQ(driver.result.take(), "broken");
}

TEST(Driver, AwaitsFuturesOfALoop) {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await future; };
  HandDriver<int> driver(body(), &loop.scheduler());
  driver.send();

  future.set_result(8);
  // The future queues its waiter with the loop, whose turn finds nothing to do.
  loop.run_until_idle();

  EXPECT_TRUE(driver.send());
  EXPECT_EQ(driver.result.take(), 8);
}

TEST(Driver, EndsMidwayWhenItsFramesAreDestroyed) {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await future; };
  {
    HandDriver<int> driver(body(), &loop.scheduler());
    driver.send();
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
  driver.send();

  loop.advance(2s);
  EXPECT_FALSE(driver.is_woken());
  loop.advance(1s);

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.send());
}

TEST(Driver, ABareYieldWakesItAtOnce) {
  auto body = []() -> Coroutine<> { co_await yield_now(); };
  HandDriver<> driver(body());

  EXPECT_FALSE(driver.send());  // CORO-9
  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.send());
}

// Cranked by hand: `send`, `throw_` and `close` between the turns of a loop.

struct ByHand : ::testing::Test {
  testing::SimLoop loop;
  std::string log;

  template <class T>
  HandDriver<T> drive(Coroutine<T> coroutine) {
    return HandDriver<T>(std::move(coroutine), &loop.scheduler());
  }
  // Turns and sends until it has ended.
  template <class T>
  void finish(HandDriver<T>& driver) {
    for (int i = 0; i < 50 && !driver.is_done(); ++i) {
      if (driver.is_woken()) driver.send();
      loop.advance(1s);
    }
    EXPECT_TRUE(driver.is_done());
  }
  Coroutine<> child(std::string name) {
    try {
      co_await sleep(1h);
    } catch (const CancelledError&) {
      log += name + "-cancelled ";
      throw;
    }
  }
};

TEST_F(ByHand, ATimeoutExpires) {
  auto body = []() -> Coroutine<> {
    auto inner = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(timeout(2s), inner);
  };
  auto driver = drive(body());
  driver.send();

  finish(driver);

  EXPECT_THROW(driver.result.take(), TimeoutError);
  EXPECT_EQ(static_cast<detail::Driver&>(driver).cancelling(), 0);
}

TEST_F(ByHand, AnErrorThrownInLeavesATimeoutAndItsTimer) {
  auto body = []() -> Coroutine<> {
    auto inner = [](Timeout&) -> Coroutine<> { co_await sleep(1h); };
    co_await with(timeout(2s), inner);
  };
  auto driver = drive(body());
  driver.send();

  EXPECT_TRUE(driver.throw_(std::make_exception_ptr(ValueError("thrown in"))));

  EXPECT_THROW(driver.result.take(), ValueError);
  EXPECT_EQ(loop.backend_timeout(), Duration::max());  // No timer is left.
}

TEST_F(ByHand, AnErrorThrownIntoATaskGroupEndsItsChildrenFirst) {
  auto body = [&]() -> Coroutine<> {
    auto inner = [&](TaskGroup& group) -> Coroutine<> {
      group.create_task(child("child"));
      co_await sleep(1h);
    };
    co_await with(TaskGroup(), inner);
  };
  auto driver = drive(body());
  driver.send();
  loop.run_until_idle();

  EXPECT_FALSE(driver.throw_(std::make_exception_ptr(ValueError("thrown in"))));
  finish(driver);

  EXPECT_EQ(log, "child-cancelled ");
  EXPECT_EQ(describe(driver.result.error()),
            "aster::ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): "
            "aster::ValueError: thrown in");
}

TEST_F(ByHand, AnErrorThrownIntoAGatherLeavesItsChildrenRunning) {
  Future<int> f = loop.create_future<int>();
  Future<std::tuple<int>> all;
  auto body = [&]() -> Coroutine<> {
    all = gather(f);
    static_cast<void>(co_await all);
  };
  auto driver = drive(body());
  driver.send();

  EXPECT_TRUE(driver.throw_(std::make_exception_ptr(ValueError("thrown in"))));
  EXPECT_FALSE(all.done());
  f.set_result(3);
  loop.run_until_idle();

  EXPECT_FALSE(driver.is_woken());  // It waits no longer.
  EXPECT_EQ(all.result(), std::tuple<int>(3));
}

TEST_F(ByHand, ACancellationStopsAtAShield) {
  Future<int> f = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await shield(f); };
  auto driver = drive(body());
  driver.send();

  EXPECT_TRUE(driver.cancel_now());
  loop.run_until_idle();
  EXPECT_TRUE(driver.send());

  EXPECT_THROW(static_cast<void>(driver.result.take()), CancelledError);
  EXPECT_FALSE(f.done());
}

TEST_F(ByHand, ClosedInsideATimeoutAndATaskGroupItLeavesNothingOfItsOwn) {
  auto body = [&]() -> Coroutine<> {
    auto inner = [&](TaskGroup& group) -> Coroutine<> {
      group.create_task(child("child"));
      co_await sleep(1h);
    };
    auto limited = [&, inner](Timeout&) -> Coroutine<> { co_await with(TaskGroup(), inner); };
    co_await with(timeout(2s), limited);
  };
  auto driver = drive(body());
  driver.send();
  loop.run_until_idle();

  driver.close();
  loop.advance(5s);

  EXPECT_FALSE(driver.is_woken());
  auto left = all_tasks(loop);
  ASSERT_EQ(left.size(), 1U);  // The child runs on, as nobody asked it to end.
  left.front().cancel();
  loop.run_until_idle();
  EXPECT_EQ(log, "child-cancelled ");
}

TEST_F(ByHand, AnErrorThrownInBeforeAWakeUpLosesNoWakeUp) {
  WaitList waiters;
  int lost_count = 0;
  auto lost = [&lost_count]() noexcept { ++lost_count; };
  auto body = [&]() -> Coroutine<> { co_await waiters.park(lost); };
  auto thrown_into = drive(body());
  thrown_into.send();

  thrown_into.throw_(std::make_exception_ptr(ValueError("thrown in")));
  EXPECT_EQ(lost_count, 0);
  EXPECT_TRUE(waiters.empty());

  auto woken = drive(body());
  woken.send();
  waiters.wake_one();
  woken.throw_(std::make_exception_ptr(ValueError("thrown in")));
  EXPECT_EQ(lost_count, 1);
}

// An awaitable of others: notes the handle it is given.
class Foreign {
 public:
  explicit Foreign(std::coroutine_handle<>& place) : place_(place) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) { place_ = handle; }
  void await_resume() const {}

 private:
  std::coroutine_handle<>& place_;
};

TEST_F(ByHand, AForeignAwaitableThatIsThrownIntoMayStillResumeItsHandle) {
  std::coroutine_handle<> first;
  std::coroutine_handle<> second;
  auto body = [&]() -> Coroutine<> {
    try {
      co_await Foreign(first);
    } catch (const ValueError&) {
      log += "thrown ";
    }
    co_await Foreign(second);
    log += "resumed";
  };
  auto driver = drive(body());
  driver.send();
  EXPECT_FALSE(driver.throw_(std::make_exception_ptr(ValueError("thrown in"))));

  first.resume();  // Too late: it must not end the second wait.
  loop.run_until_idle();
  EXPECT_FALSE(driver.is_woken());

  second.resume();
  loop.run_until_idle();
  EXPECT_TRUE(driver.is_woken());
  driver.send();
  EXPECT_EQ(log, "thrown resumed");
}

TEST_F(ByHand, AForeignAwaitableMayResumeFromAnotherThread) {
  std::coroutine_handle<> handle;
  auto body = [&]() -> Coroutine<> { co_await Foreign(handle); };
  auto real = new_event_loop();
  HandDriver<> driver(body(), &real->scheduler());
  driver.send();

  std::thread thread([&] { handle.resume(); });
  for (int i = 0; i < 100'000 && !driver.is_woken(); ++i) real->run_once(1ms);
  thread.join();

  EXPECT_TRUE(driver.is_woken());
  EXPECT_TRUE(driver.send());
  driver.result.take();
}

TEST_F(ByHand, AForeignAwaitableThatNeverResumesIsLeftWhenItCloses) {
  std::coroutine_handle<> handle;
  auto body = [&]() -> Coroutine<> { co_await Foreign(handle); };
  auto driver = drive(body());
  driver.send();

  EXPECT_FALSE(driver.cancel_now());  // It has no `cancel`, so the request waits.
  EXPECT_FALSE(driver.is_woken());
  driver.close();
  handle.resume();  // Frees the relay, as the leak checker says, and does nothing else.

  loop.run_until_idle();
  EXPECT_FALSE(driver.is_woken());
}

TEST_F(ByHand, ARequestBeforeTheFirstStepKeepsTheBodyFromRunning) {
  auto body = [&]() -> Coroutine<> {
    log += "ran";
    co_return;
  };
  auto driver = drive(body());

  driver.cancel_now();

  EXPECT_TRUE(driver.send());
  EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace aster
