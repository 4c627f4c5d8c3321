// SPDX-License-Identifier: MIT
//
// Rows of the inventory (docs/conformance.md) that no test of a layer pins by the way:
// errors, coroutines, futures, callbacks, and choices that asyncio leaves open.
#include <aster/coro/outcome.hpp>
#include <aster/coro/with.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/wait.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/gather.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <concepts>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

Coroutine<int> give(int value) { co_return value; }

// Errors ------------------------------------------------------------------------------

TEST(ErrorRows, ACancellationIsNoOrdinaryError) {
  // MAP-1, EX-1, VER-2
  EXPECT_FALSE((std::derived_from<CancelledError, std::exception>));
  EXPECT_FALSE((std::derived_from<CancelledError, Error>));
}

TEST(ErrorRows, ErrorsHaveTheNamesOfAsyncio) {
  // MAP-5, EX-3
  EXPECT_TRUE((std::derived_from<InvalidStateError, Error>));
  EXPECT_TRUE((std::derived_from<ValueError, Error>));
  EXPECT_TRUE((std::derived_from<RuntimeError, Error>));
  EXPECT_TRUE((std::derived_from<TypeError, Error>));
}

// MAP-3, LOOP-18: what is not callable without arguments does not compile.
template <class F>
concept can_be_posted = requires(EventLoop& loop, F f) { loop.call_soon(f); };
static_assert(can_be_posted<void (*)()>);
static_assert(!can_be_posted<int>);
static_assert(!can_be_posted<void (*)(int)>);

// MAP-4, WAIT-3: `wait` takes tasks and futures, not coroutines.
template <class A>
concept can_be_waited_for = requires(std::vector<A> values) { wait(std::move(values)); };
static_assert(can_be_waited_for<Task<int>>);
static_assert(can_be_waited_for<Future<int>>);
static_assert(!can_be_waited_for<Coroutine<int>>);

// CORO-5, CORO-10: what can be awaited is known to the compiler.
static_assert(awaitable<Coroutine<int>>);
static_assert(awaitable<Task<int>>);
static_assert(awaitable<Future<int>>);
static_assert(!awaitable<int>);

// TASK-38: the result's type is part of the task's.
static_assert(std::is_same_v<decltype(create_task(give(1))), Task<int>>);

// VER-4: the loop is found, not passed.
template <class... A>
concept can_sleep = requires(A... arguments) { sleep(arguments...); };
static_assert(can_sleep<Duration>);

// Futures and tasks --------------------------------------------------------------------

TEST(FutureRows, EnsureFutureGivesAFutureAsItIs) {
  testing::SimLoop loop;
  Future<int> future = loop.create_future<int>();

  EXPECT_EQ(ensure_future(future), future);  // FUT-16
  future.cancel();
}

TEST(FutureRows, EnsureFutureMakesATaskOfACoroutine) {
  testing::SimLoop loop;
  int result = 0;
  auto main = [&]() -> Coroutine<> {
    Future<int> future = ensure_future(give(3));  // FUT-16
    EXPECT_FALSE(future.done());
    result = co_await future;
  };
  loop.run_until_complete(main());

  EXPECT_EQ(result, 3);
}

TEST(FutureRows, EnsureFutureWithoutALoopIsAnErrorAndTheCoroutineIsClosed) {
  auto alive = std::make_shared<int>();
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_return; };

  EXPECT_THROW(static_cast<void>(ensure_future(body(alive))), RuntimeError);  // FUT-16

  EXPECT_EQ(alive.use_count(), 1);
}

TEST(FutureRows, AnErrorIsReportedWhenTheLastHandleGoes) {
  testing::SimLoop loop;
  std::vector<std::string> reports;
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
    reports.push_back(context.message);
    EXPECT_NE(context.exception, nullptr);  // ERR-6
  });
  {
    Future<int> future = loop.create_future<int>();
    future.set_exception(ValueError("unseen"));
  }
  loop.run_until_idle();

  // MAP-6: at once, not when a collector comes round.
  EXPECT_EQ(reports, std::vector<std::string>{"Future exception was never retrieved"});
}

TEST(TaskRows, ATaskThatNobodyHoldsRunsOn) {
  testing::SimLoop loop;
  bool ran = false;
  auto body = [&]() -> Coroutine<> {
    co_await sleep(1s);
    ran = true;
  };
  loop.create_task(body());
  loop.run_until_idle();
  loop.advance(2s);

  EXPECT_TRUE(ran);  // MAP-7, OPEN-5
}

TEST(TaskRows, AMoveOnlyResultIsTakenOnce) {
  testing::SimLoop loop;
  auto body = []() -> Coroutine<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  Task<std::unique_ptr<int>> task = loop.create_task(body());
  loop.run_until_idle();

  EXPECT_EQ(*task.peek(), 7);
  EXPECT_EQ(*task.take(), 7);  // OPEN-6
  EXPECT_THROW(static_cast<void>(task.take()), InvalidStateError);
}

TEST(TaskRows, AnEagerTaskRunsBeforeCreateTaskReturns) {
  testing::SimLoop loop;
  loop.set_task_factory(eager_task_factory);
  std::string order;
  auto child = [&]() -> Coroutine<> {
    order += "child ";
    co_return;
  };
  auto main = [&]() -> Coroutine<> {
    create_task(child());
    order += "main ";
    co_return;
  };
  loop.run_until_complete(main());

  EXPECT_EQ(order, "child main ");  // EAG-1, VER-6
}

// `with` -------------------------------------------------------------------------------

struct Manager {
  std::string* log;
  bool swallow = false;
  Coroutine<> enter() {
    *log += "enter ";
    co_return;
  }
  Coroutine<bool> exit(std::exception_ptr error) {
    *log += error == nullptr ? "exit " : "exit(error) ";
    co_return swallow;
  }
};

Coroutine<> fails() {
  throw ValueError("body");
  co_return;
}

TEST(WithRows, TheExitIsAwaitedAlsoAfterAnError) {
  testing::SimLoop loop;
  std::string log;
  auto main = [&]() -> Coroutine<> { co_await with(Manager{&log}, fails); };

  EXPECT_THROW(loop.run_until_complete(main()), ValueError);  // AG-8, MAP-8, OPEN-7

  EXPECT_EQ(log, "enter exit(error) ");
}

TEST(WithRows, TrueFromTheExitSwallowsTheError) {
  testing::SimLoop loop;
  std::string log;
  auto main = [&]() -> Coroutine<> { co_await with(Manager{&log, true}, fails); };
  loop.run_until_complete(main());

  EXPECT_EQ(log, "enter exit(error) ");  // AG-8
}

TEST(WithRows, ASecondCancelInterruptsTheExitOfACancelledBody) {
  testing::SimLoop loop;
  struct Slow {
    std::string* log;
    Coroutine<> enter() { co_return; }
    Coroutine<bool> exit(std::exception_ptr) {
      *log += "exit ";
      const Outcome<> ended = co_await outcome(sleep(1000s));
      *log += ended.cancelled() ? "interrupted" : "finished";
      ended.value();
      co_return false;
    }
  };
  std::string log;
  auto body = []() -> Coroutine<> { co_await sleep(1000s); };
  auto main = [&]() -> Coroutine<> { co_await with(Slow{&log}, body); };
  Task<> task = loop.create_task(main());
  loop.run_until_idle();
  task.cancel();
  loop.run_until_idle();
  EXPECT_EQ(log, "exit ");  // AG-10: it runs, and may await.
  task.cancel();
  loop.run_until_idle();

  EXPECT_EQ(log, "exit interrupted");
  EXPECT_TRUE(task.cancelled());
}

// Choices ------------------------------------------------------------------------------

TEST(ChoiceRows, EqualDeadlinesAreFirstInFirstOut) {
  testing::SimLoop loop;
  std::string order;
  const TimePoint when = loop.time() + 1s;
  for (char name = 'a'; name <= 'z'; ++name) {
    loop.call_at(when, [&order, name] { order += name; });
  }
  loop.advance(1s);

  EXPECT_EQ(order, "abcdefghijklmnopqrstuvwxyz");  // OPEN-1, LOOP-5
}

TEST(ChoiceRows, WaitKeepsTheOrderOfItsInput) {
  testing::SimLoop loop;
  std::vector<Future<>> futures;
  for (int i = 0; i < 4; ++i) futures.push_back(loop.create_future<>());
  futures[3].set_result();
  futures[1].set_result();
  auto main = [&]() -> Coroutine<> {
    auto waited = co_await wait(futures, {.return_when = FIRST_COMPLETED});
    EXPECT_EQ(waited.done, (std::vector<Future<>>{futures[1], futures[3]}));  // OPEN-2
    EXPECT_EQ(waited.pending, (std::vector<Future<>>{futures[0], futures[2]}));
  };
  loop.run_until_complete(main());
  futures[0].cancel();
  futures[2].cancel();
}

TEST(ChoiceRows, WaitHasTheThreeConditionsOfAsyncio) {
  // WAIT-33
  EXPECT_NE(FIRST_COMPLETED, ALL_COMPLETED);
  EXPECT_NE(FIRST_EXCEPTION, ALL_COMPLETED);
  EXPECT_EQ(WaitOptions{}.return_when, ALL_COMPLETED);
}

}  // namespace
}  // namespace aster
