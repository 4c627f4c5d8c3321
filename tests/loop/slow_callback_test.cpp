// SPDX-License-Identifier: MIT
//
// Slow callbacks and steps. The clock that times them is a script: it advances by as much
// as a test says a piece of work took, so nothing sleeps.
#include "base/clock.hpp"
#include "base/sys.hpp"

#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <regex>
#include <string>

#include <sys/socket.h>

#include "support/backends.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Logged;

constinit std::atomic<std::int64_t> nanoseconds_worked{0};

/// "This took `time`."
void work(Duration time) {
  nanoseconds_worked += std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

class SlowCallback : public ::testing::Test {
 protected:
  SlowCallback() {
#if defined(ASTER_FAULT_INJECTION)
    detail::sys::scripted_clock().store(
        []() noexcept { return TimePoint(std::chrono::nanoseconds(nanoseconds_worked.load())); });
#endif
    loop.set_debug(true);
  }
  ~SlowCallback() override {
#if defined(ASTER_FAULT_INJECTION)
    detail::sys::scripted_clock().store(nullptr);
#endif
  }
  void SetUp() override {
    if (!detail::sys::has_fault_injection) GTEST_SKIP() << "built without scripted clocks";
  }
  [[nodiscard]] bool told(const std::string& pattern) const {
    return std::regex_search(logged.text(), std::regex(pattern));
  }

  Logged logged;
  testing::SimLoop loop;
};

TEST_F(SlowCallback, ACallbackIsNamedByTheCallThatQueuedItAndItsTime) {  // DBG-3, DBG-4
  loop.call_soon([] { work(123ms); });

  loop.run_until_idle();

  EXPECT_TRUE(
      told(R"(^Executing <Handle made at slow_callback_test\.cpp:\d+> took 0\.123 seconds\n$)"))
      << logged.text();
}

TEST_F(SlowCallback, TheLimitItselfIsSlow) {  // DBG-3
  loop.call_soon([] { work(100ms); });

  loop.run_until_idle();

  EXPECT_TRUE(told("took 0.100 seconds"));
}

TEST_F(SlowCallback, WhatIsQuickerThanTheLimitIsNotTold) {  // DBG-3
  loop.call_soon([] { work(99ms); });

  loop.run_until_idle();

  EXPECT_EQ(logged.text(), "");
}

TEST_F(SlowCallback, TheLimitCanBeChanged) {  // DBG-3
  loop.slow_callback_duration = 1s;
  loop.call_soon([] { work(500ms); });
  loop.call_soon([] { work(1500ms); });

  loop.run_until_idle();

  EXPECT_FALSE(told("0.500"));
  EXPECT_TRUE(told("took 1.500 seconds"));
}

TEST_F(SlowCallback, WithoutDebugModeNothingIsTimed) {  // DBG-10
  loop.set_debug(false);
  loop.call_soon([] { work(10s); });

  loop.run_until_idle();

  EXPECT_EQ(logged.text(), "");
}

TEST_F(SlowCallback, DebugModeMayBeTurnedOnByACallbackForTheNextTurn) {  // DBG-2
  loop.set_debug(false);
  loop.call_soon([&] {
    loop.set_debug(true);
    loop.call_soon([] { work(200ms); });
  });

  loop.run_until_idle();

  EXPECT_TRUE(told("took 0.200 seconds"));
}

TEST_F(SlowCallback, AStepOfATaskNamesTheTaskAndWhereItWasResumed) {  // DBG-3
  auto body = []() -> Coroutine<> {
    co_await sleep(1s);
    work(250ms);
  };
  auto task = loop.create_task(body, {.name = "slow one"});

  loop.run_until_complete(task);

  EXPECT_TRUE(told(R"(Executing <Task pending name='slow one' made at slow_callback_test\.cpp:\d+>)"
                   R"( \(resumed in .+ at slow_callback_test\.cpp:\d+\) took 0\.250 seconds)"))
      << logged.text();
}

TEST_F(SlowCallback, AFirstStepNamesTheCoroutine) {  // DBG-3
  struct Slow {
    static Coroutine<> start() {
      work(250ms);
      co_return;
    }
  };

  loop.run_until_complete(Slow::start());

  EXPECT_TRUE(told(R"(\(started in .*Slow::start at slow_callback_test\.cpp:\d+\) took 0\.250)"))
      << logged.text();
}

TEST_F(SlowCallback, ATimerIsNamedWithItsTime) {  // DBG-3, HND-9
  loop.call_later(1500ms, [] { work(200ms); });

  loop.advance(2s);

  EXPECT_TRUE(told(R"(Executing <TimerHandle when=\d+\.\d{3} made at slow_callback_test\.cpp:\d+>)"
                   R"( took 0\.200)"))
      << logged.text();
}

TEST_F(SlowCallback, ACallbackOfAFutureIsNamedByTheFuture) {  // DBG-3
  auto future = loop.create_future<int>();
  future.add_done_callback([](const Future<int>&) { work(200ms); });
  future.set_result(1);

  loop.run_until_idle();

  EXPECT_TRUE(
      told(R"(Executing <callback of <Future finished made at slow_callback_test\.cpp:\d+>>)"
           R"( took)"))
      << logged.text();
}

TEST_F(SlowCallback, ACallbackFromAnotherThreadIsNamed) {  // DBG-3
  loop.call_soon_threadsafe([] { work(200ms); });

  loop.run_until_idle();

  EXPECT_TRUE(told(R"(Executing <ThreadsafeHandle made at slow_callback_test\.cpp:\d+> took)"))
      << logged.text();
}

TEST_F(SlowCallback, AHandleThatIsDestroyedByItsRunWasDescribedBefore) {  // DBG-3, DBG-11
  std::optional<Handle> handle;
  handle = loop.call_soon([&] {
    handle.reset();
    work(200ms);
  });

  loop.run_until_idle();

  EXPECT_TRUE(told("<Handle made at .* took 0.200")) << logged.text();
}

TEST_F(SlowCallback, ACallbackThatFailsIsTimedToo) {  // DBG-3
  const support::Reports reports(loop);
  loop.call_soon([] {
    work(200ms);
    throw std::runtime_error("no");
  });

  loop.run_until_idle();

  EXPECT_EQ(reports.messages.size(), 1U);
  EXPECT_TRUE(told("took 0.200 seconds"));
}

class SlowDelivery : public SlowCallback, public ::testing::WithParamInterface<Backend> {};
ASTER_ON_EACH_BACKEND(SlowDelivery);

TEST_P(SlowDelivery, WhatAnEventWakesIsTimedOnItsOwn) {  // DBG-3
  EventLoop real({.backend = GetParam(), .debug = true});
  Event reads;
  auto main = [&]() -> Coroutine<> {
    auto served = [&](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      reads.set();
      const std::string text = co_await reader.readexactly(1);
      work(300ms);
      writer.write(text);
      writer.close();
      co_await writer.wait_closed();
    };
    Server server = co_await start_server(served, "127.0.0.1", 0);
    const int port = server.sockets().front().getsockname().port();
    Connection client = co_await open_connection("127.0.0.1", port);
    co_await reads.wait();
    client.writer.write("x");
    static_cast<void>(co_await client.reader.readexactly(1));
    client.writer.close();
    co_await client.writer.wait_closed();
    server.close();
    co_await server.wait_closed();
  };

  real.run_until_complete(main());
  real.close();

  EXPECT_TRUE(told(R"(Executing <Task pending name='Task-\d+' .*\(resumed in .* took 0\.300)"))
      << logged.text();
  EXPECT_FALSE(told("<delivery of I/O> took"));
}

}  // namespace
}  // namespace aster
