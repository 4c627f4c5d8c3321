// SPDX-License-Identifier: MIT
//
// Handles, loops, groups and deadlines as text.
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace aster {
namespace {

using namespace std::chrono_literals;
using ::testing::MatchesRegex;

TEST(Text, AHandleNamesThePlaceOfItsCall) {  // HND-9, DBG-4
  testing::SimLoop loop;
  const Handle handle = loop.call_soon([] {});

  EXPECT_THAT(to_string(handle), MatchesRegex("<Handle made at text_test.cpp:[0-9]+>"));
}

TEST(Text, ACancelledHandleKeepsItsText) {  // HND-9, DBG-11
  testing::SimLoop loop;
  Handle handle = loop.call_soon([] {});
  handle.cancel();

  EXPECT_THAT(to_string(handle), MatchesRegex("<Handle cancelled made at text_test.cpp:[0-9]+>"));
}

TEST(Text, ATimerHandleSaysWhen) {  // HND-9
  testing::SimLoop loop;
  TimerHandle handle = loop.call_at(TimePoint(2500ms), [] {});
  EXPECT_THAT(to_string(handle), MatchesRegex("<TimerHandle when=2.500 made at text_test.*>"));

  handle.cancel();
  EXPECT_THAT(to_string(handle), MatchesRegex("<TimerHandle cancelled when=2.500 made at .*>"));
}

TEST(Text, AThreadsafeHandleHasTheSame) {  // HND-9
  testing::SimLoop loop;
  ThreadsafeHandle handle = loop.call_soon_threadsafe([] {});
  EXPECT_THAT(to_string(handle), MatchesRegex("<ThreadsafeHandle made at text_test.cpp:[0-9]+>"));

  handle.cancel();
  EXPECT_THAT(to_string(handle), MatchesRegex("<ThreadsafeHandle cancelled made at .*>"));
}

TEST(Text, AnEmptyHandleSaysSo) {
  EXPECT_EQ(to_string(Handle()), "<no handle>");
  EXPECT_EQ(to_string(ThreadsafeHandle()), "<no handle>");
}

TEST(Text, ALoopTellsItsState) {  // ACC-21
  testing::SimLoop loop;
  loop.set_debug(false);
  EXPECT_EQ(to_string(loop), "<EventLoop backend=sim running=false closed=false debug=false>");

  loop.set_debug(true);
  std::string running;
  loop.call_soon([&] { running = to_string(loop); });
  loop.run_until_idle();
  EXPECT_EQ(running, "<EventLoop backend=sim running=true closed=false debug=true>");

  loop.close();
  EXPECT_EQ(to_string(loop), "<EventLoop running=false closed=true debug=true>");
}

TEST(Text, AGroupCountsItsTasksAndErrors) {  // TG-22
  testing::SimLoop loop;
  std::string before;
  std::string entered;
  std::string ending;
  auto main = [&]() -> Coroutine<> {
    TaskGroup made;
    before = to_string(made);
    auto body = [&](TaskGroup& group) -> Coroutine<> {
      group.create_task([]() -> Coroutine<> {
        co_await sleep(1s);
        throw std::runtime_error("no");
      });
      group.create_task([&]() -> Coroutine<> {
        try {
          co_await sleep(1h);
        } catch (const CancelledError&) {
          ending = to_string(group);
        }
      });
      entered = to_string(group);
      co_return;
    };
    try {
      co_await with(TaskGroup(), body);
    } catch (const ExceptionGroup&) {
      co_return;
    }
  };
  loop.run_until_complete(main());

  EXPECT_EQ(before, "<TaskGroup>");
  EXPECT_EQ(entered, "<TaskGroup tasks=2 entered>");
  EXPECT_EQ(ending, "<TaskGroup tasks=1 errors=1 cancelling>");
}

TEST(Text, ADeadlineTellsItsState) {  // TMO-12
  testing::SimLoop loop;
  std::string before;
  std::string inside;
  std::string after;
  auto main = [&]() -> Coroutine<> {
    Timeout limit = timeout_at(TimePoint(1h));
    before = to_string(limit);
    limit.begin();
    inside = to_string(limit);
    limit.end(nullptr);
    after = to_string(limit);
    co_return;
  };
  loop.run_until_complete(main());

  EXPECT_EQ(before, "<Timeout [created]>");
  EXPECT_EQ(inside, "<Timeout [active] when=3600.000>");
  EXPECT_EQ(after, "<Timeout [finished]>");
}

TEST(CreateTask, OfALoopTakesAnyAwaitable) {
  testing::SimLoop loop;
  const TimePoint start = loop.time();

  auto nap = loop.create_task(sleep(1s), {.name = "nap"});
  loop.run_until_complete(nap);

  EXPECT_EQ(nap.get_name(), "nap");
  EXPECT_EQ(loop.time() - start, 1s);
}

}  // namespace
}  // namespace aster
