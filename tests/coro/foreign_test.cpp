// SPDX-License-Identifier: MIT
//
// Awaitables that know nothing of aster.
#include <aster/coro/outcome.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <coroutine>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/line.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

// An event source: hands out its waiter's handle.
struct Source {
  std::coroutine_handle<> handle;
  int result = 7;
  int cancels = 0;
  bool ready = false;
};

class Returns {
 public:
  explicit Returns(Source& source) : source_(source) {}
  bool await_ready() const { return source_.ready; }
  void await_suspend(std::coroutine_handle<> handle) { source_.handle = handle; }
  int await_resume() { return source_.result; }

 protected:
  Source& source_;
};

struct Cancellable : Returns {
  using Returns::Returns;
  void cancel() noexcept {
    ++source_.cancels;
    source_.handle.resume();
  }
};

Coroutine<int> wait_for_source(Source& source) { co_return co_await Returns(source); }

struct Foreign : support::DriverTest {
  Source source;
};
ASTER_BOTH_DRIVERS(Foreign);

struct ForeignOnALoop : ::testing::Test {
  testing::SimLoop loop;
  Source source;
};

TEST_P(Foreign, OneThatIsReadyDoesNotSuspend) {
  source.ready = true;

  auto task = start(wait_for_source(source));
  loop.run_once();

  EXPECT_TRUE(task.done());
  EXPECT_EQ(task.result(), 7);
}

TEST_P(Foreign, ResumedFromACallbackTheTaskGoesOnWithItsNextStep) {
  auto task = start(wait_for_source(source));
  loop.run_until_idle();
  ASSERT_FALSE(task.done());

  source.handle.resume();

  EXPECT_FALSE(task.done());  // Queued, not run inside resume().
  loop.run_until_idle();
  EXPECT_EQ(task.result(), 7);
}

TEST_P(Foreign, ResumedInsideAwaitSuspendTheTaskGoesOn) {
  struct Inline {
    Inline() = default;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { handle.resume(); }
    int await_resume() const { return 3; }
  };
  auto body = []() -> Coroutine<int> { co_return co_await Inline(); };

  EXPECT_EQ(run(body()), 3);
}

TEST_P(Foreign, AwaitSuspendThatSaysFalseDoesNotSuspend) {
  struct NotNow {
    NotNow() = default;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<>) const { return false; }
    int await_resume() const { return 4; }
  };
  auto body = []() -> Coroutine<int> {
    int first = co_await NotNow();
    co_return first + co_await NotNow();
  };
  auto task = start(body());

  loop.run_once();

  EXPECT_EQ(task.result(), 8);
}

TEST_P(Foreign, AwaitSuspendThatSaysTrueSuspends) {
  struct Suspends {
    explicit Suspends(Source& from) : source(from) {}
    Source& source;
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) const {
      source.handle = handle;
      return true;
    }
    void await_resume() const {}
  };
  auto body = [&]() -> Coroutine<> { co_await Suspends(source); };
  auto task = start(body());
  loop.run_until_idle();
  EXPECT_FALSE(task.done());

  source.handle.resume();
  loop.run_until_idle();

  EXPECT_TRUE(task.done());
}

TEST_P(Foreign, AwaitSuspendThatGivesTheHandleBackDoesNotHang) {
  struct Transfer {
    Transfer() = default;
    bool await_ready() const { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) const { return handle; }
    int await_resume() const { return 5; }
  };
  auto body = []() -> Coroutine<int> { co_return co_await Transfer(); };

  EXPECT_EQ(run(body()), 5);
}

TEST_P(Foreign, AwaitSuspendMayGiveNoopCoroutine) {
  struct Transfer {
    explicit Transfer(Source& from) : source(from) {}
    Source& source;
    bool await_ready() const { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) const {
      source.handle = handle;
      return std::noop_coroutine();
    }
    int await_resume() const { return 6; }
  };
  auto body = [&]() -> Coroutine<int> { co_return co_await Transfer(source); };
  auto task = start(body());
  loop.run_until_idle();

  source.handle.resume();
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 6);
}

TEST_P(Foreign, WhatAwaitSuspendThrowsComesOutOfTheAwait) {
  struct Throws {
    Throws() = default;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<>) const { throw std::logic_error("no"); }
    void await_resume() const {}
  };
  auto body = []() -> Coroutine<> { co_await Throws(); };

  EXPECT_THROW(run(body()), std::logic_error);
}

TEST_P(Foreign, WhatAwaitResumeThrowsComesOutOfTheAwait) {
  struct Throws {
    Throws() = default;
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    void await_resume() const { throw std::logic_error("no"); }
  };
  auto body = []() -> Coroutine<> { co_await Throws(); };

  EXPECT_THROW(run(body()), std::logic_error);
}

TEST_P(Foreign, OneWithAMemberOperatorCoAwaitWorks) {
  struct Wrapped {
    explicit Wrapped(Source& from) : source(from) {}
    Source& source;
    Returns operator co_await() const { return Returns(source); }
  };
  auto body = [&]() -> Coroutine<int> { co_return co_await Wrapped(source); };
  auto task = start(body());
  loop.run_until_idle();

  source.handle.resume();
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 7);
}

TEST_P(Foreign, ANamedOneIsAwaitedInPlace) {
  auto body = [&]() -> Coroutine<int> {
    Returns named(source);
    int first = co_await named;
    int second = co_await named;
    co_return first + second;
  };
  auto task = start(body());
  loop.run_until_idle();
  source.handle.resume();
  loop.run_until_idle();

  source.handle.resume();
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 14);
}

TEST_P(Foreign, ASecondResumeIsLoggedAndIgnored) {
  support::Logged logged;
  auto task = start(wait_for_source(source));
  loop.run_until_idle();

  source.handle.resume();
  source.handle.resume();
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 7);
  EXPECT_TRUE(logged.contains("resumed its coroutine handle twice"));
}

TEST_P(Foreign, AResumeAfterTheAwaitHasEndedIsLoggedAndIgnored) {
  support::Logged logged;
  auto task = start(wait_for_source(source));
  loop.run_until_idle();
  source.handle.resume();
  loop.run_until_idle();

  source.handle.resume();

  EXPECT_TRUE(logged.contains("twice"));
}

TEST_P(Foreign, CancellingTheTaskCallsTheAwaitersCancel) {
  auto body = [&]() -> Coroutine<int> { co_return co_await Cancellable(source); };
  auto task = start(body());
  loop.run_until_idle();

  EXPECT_TRUE(task.cancel("enough"));
  loop.run_until_idle();

  EXPECT_EQ(source.cancels, 1);
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Foreign, WithoutACancelTheTaskThrowsOnceItIsResumed) {
  auto task = start(wait_for_source(source));
  loop.run_until_idle();

  EXPECT_TRUE(task.cancel());
  loop.run_until_idle();
  EXPECT_FALSE(task.done());

  source.handle.resume();
  loop.run_until_idle();
  EXPECT_TRUE(task.cancelled());
}

TEST_P(Foreign, ACancellationMayBeTakenBackBeforeItIsResumed) {
  auto task = start(wait_for_source(source));
  loop.run_until_idle();
  task.cancel();

  task.uncancel();
  source.handle.resume();
  loop.run_until_idle();

  EXPECT_EQ(task.result(), 7);
}

TEST_F(ForeignOnALoop, AHandleResumedAfterTheLoopIsClosedDoesNothing) {
  auto task = loop.create_task(wait_for_source(source));
  loop.run_until_idle();
  support::Reports reports(loop);

  loop.close();
  EXPECT_TRUE(task.cancelled());

  source.handle.resume();
}

TEST_F(ForeignOnALoop, AHandleResumedByTheLastDestructorOfTheFrameIsLeftAlone) {
  struct ResumesWhenDestroyed {
    explicit ResumesWhenDestroyed(Source& from) : source(from) {}
    Source& source;
    ResumesWhenDestroyed(const ResumesWhenDestroyed&) = delete;
    ResumesWhenDestroyed& operator=(const ResumesWhenDestroyed&) = delete;
    ~ResumesWhenDestroyed() { source.handle.resume(); }
  };
  support::Reports reports(loop);
  auto body = [&]() -> Coroutine<> {
    ResumesWhenDestroyed last(source);
    co_await Returns(source);
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  loop.close();

  EXPECT_TRUE(task.cancelled());
}

TEST_F(ForeignOnALoop, AnotherThreadMayResumeIt) {
  struct OtherThread {
    explicit OtherThread(std::vector<std::thread>& started) : threads(started) {}
    std::vector<std::thread>& threads;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      threads.emplace_back([handle] { handle.resume(); });
    }
    std::thread::id await_resume() const { return std::this_thread::get_id(); }
  };
  std::vector<std::thread> threads;
  auto body = [&]() -> Coroutine<int> {
    int on_loop_thread = 0;
    for (int i = 0; i < 100; ++i) {
      std::thread::id id = co_await OtherThread(threads);
      if (id == std::this_thread::get_id()) ++on_loop_thread;
    }
    co_return on_loop_thread;
  };

  EXPECT_EQ(run(body()), 100);

  for (std::thread& thread : threads) thread.join();
}

TEST_F(ForeignOnALoop, ThreadsMayResumeWhileTheLoopCloses) {
  for (int round = 0; round < 50; ++round) {
    auto other = new_event_loop();
    support::Reports reports(*other);
    std::vector<Source> sources(8);
    for (Source& each : sources) static_cast<void>(other->create_task(wait_for_source(each)));
    other->run_once();
    std::thread thread([&] {
      for (Source& each : sources) each.handle.resume();
    });

    other->close();

    thread.join();
  }
}

TEST_P(Foreign, ItsExceptionBecomesAnOutcome) {
  struct Throws {
    Throws() = default;
    bool await_ready() const { return true; }
    void await_suspend(std::coroutine_handle<>) const {}
    int await_resume() const { throw std::logic_error("no"); }
  };
  auto body = []() -> Coroutine<bool> {
    Outcome<int> o = co_await outcome(Throws());
    co_return o.has_value();
  };

  EXPECT_FALSE(run(body()));
}

// Gives the handle away, then cannot go on.
struct ThrowsLate {
  explicit ThrowsLate(std::coroutine_handle<>& place) : place_(place) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    place_ = handle;
    throw std::logic_error("after the handle was given away");
  }
  void await_resume() const {}

 private:
  std::coroutine_handle<>& place_;
};

TEST_F(Foreign, AHandleWhoseAwaiterThrewWakesNobodyElse) {
  const support::Logged logged;
  std::coroutine_handle<> early;
  auto body = [&]() -> Coroutine<int> {
    try {
      co_await ThrowsLate(early);
    } catch (const std::logic_error&) {
    }
    co_return co_await Returns(source);
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  ASSERT_NE(early, source.handle);

  early.resume();
  loop.run_until_idle();

  EXPECT_FALSE(task.done());
  EXPECT_TRUE(logged.contains("resumed its coroutine handle twice"));
  source.handle.resume();
  loop.run_until_idle();
  EXPECT_EQ(task.result(), 7);
}

TEST_F(Foreign, RelaysWhoseAwaitersThrewAreUsedAgainLater) {
  std::set<void*> relays;
  auto body = [&]() -> Coroutine<> {
    for (int i = 0; i < 1000; ++i) {
      std::coroutine_handle<> handle;
      try {
        co_await ThrowsLate(handle);
      } catch (const std::logic_error&) {
      }
      relays.insert(handle.address());
    }
  };

  loop.run_until_complete(body());

  EXPECT_LE(relays.size(), 100U);
}

}  // namespace
}  // namespace aster
