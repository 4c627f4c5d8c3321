// SPDX-License-Identifier: MIT
#include <aster/loop/timeout.hpp>
#include <aster/sync/event.hpp>

#include <optional>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using EventTest = SyncTest;

TEST_F(EventTest, SetWakesAllWaitersOldestFirstOnALaterTurn) {  // SYN-6
  Event event;
  start(logged("a", event.wait()));
  start(logged("b", event.wait()));
  settle();

  event.set();
  EXPECT_EQ(log, "");  // Scheduled, not run inside set().

  settle();
  EXPECT_EQ(log, "ab");
  EXPECT_TRUE(event.is_set());
}

TEST_F(EventTest, AClearDoesNotTakeBackAWakeUp) {  // SYN-6
  Event event;
  start(logged("a", event.wait()));
  settle();

  event.set();
  event.clear();
  start(logged("b", event.wait()));
  settle();

  EXPECT_EQ(log, "a");
  EXPECT_FALSE(event.is_set());
  event.set();
  settle();
  EXPECT_EQ(log, "ab");
}

TEST_F(EventTest, AWaitForASetEventDoesNotSuspend) {  // SYN-7
  Event event;
  event.set();
  auto waiting = [&]() -> Coroutine<> { log += co_await event.wait() ? "true" : "false"; };
  step(waiting);

  EXPECT_EQ(log, "true");
}

TEST_F(EventTest, AWaitIsAValueThatWorksWithWhateverTakesAwaitables) {
  Event event;
  auto waiting = [&]() -> Coroutine<> {
    try {
      co_await wait_for(event.wait(), 1s);
    } catch (const TimeoutError&) {
      log += "timeout ";
    }
    event.set();
    auto wait = event.wait();
    for (int i = 0; i < 2; ++i) log += co_await wait ? "true " : "false ";
  };
  loop.run_until_complete(waiting());

  EXPECT_EQ(log, "timeout true true ");
}

TEST_F(EventTest, ACancelledWaiterIsForgotten) {
  Event event;
  auto a = start(logged("a", event.wait()));
  auto b = start(logged("b", event.wait()));
  settle();

  a.cancel();
  event.set();
  settle();

  EXPECT_EQ(log, "a!b");
  EXPECT_TRUE(a.cancelled());
}

TEST_F(EventTest, AWaiterThatIsCancelledAfterItsWakeUpIsCancelled) {
  Event event;
  auto a = start(logged("a", event.wait()));
  settle();

  event.set();
  a.cancel();
  settle();

  EXPECT_EQ(log, "a!");
}

TEST_F(EventTest, MayBeDestroyedOnceItsWaitersAreWoken) {
  std::optional<Event> event(std::in_place);
  start(logged("a", event->wait()));
  settle();

  event->set();
  event.reset();
  settle();

  EXPECT_EQ(log, "a");
}

TEST_F(EventTest, MayBeDestroyedBeforeItsWaitersWhenTheLoopIsClosed) {
  auto owner = [this]() -> Coroutine<> {
    Event event;
    start(logged("a", event.wait()));
    co_await loop.create_future<>();
  };
  loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
  start(owner);
  settle();

  loop.close();

  EXPECT_EQ(log, "");
}

TEST(EventDeathTest, MustOutliveTheTasksThatWait) {
  const auto destroyed_early = [] {
    testing::SimLoop loop;
    std::optional<Event> event(std::in_place);
    auto waiting = [&]() -> Coroutine<> { co_await event->wait(); };
    loop.create_task(waiting);
    loop.run_until_idle();
    event.reset();
  };
  EXPECT_DEATH(destroyed_early(), "no_task_waits_for_an_object_that_is_destroyed");
}

TEST_F(EventTest, SaysWhatItIs) {  // SYN-28
  Event event;
  EXPECT_EQ(to_string(event), "<Event [unset]>");
  start(logged("a", event.wait()));
  settle();
  EXPECT_EQ(to_string(event), "<Event [unset, waiters:1]>");
  event.set();
  settle();
  EXPECT_EQ(to_string(event), "<Event [set]>");
}

}  // namespace
}  // namespace aster
