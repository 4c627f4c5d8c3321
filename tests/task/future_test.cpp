// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/task/future.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/reports.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using support::Reports;

std::exception_ptr logic_error(const char* text) {
  return std::make_exception_ptr(std::logic_error(text));
}

struct FutureTest : ::testing::Test {
  testing::SimLoop loop;
};

static_assert(!std::is_constructible_v<Future<int>, int>);
static_assert(std::is_nothrow_copy_constructible_v<Future<int>>);

// State ------------------------------------------------------------------------

TEST_F(FutureTest, IsPendingAtFirst) {
  Future<int> f = loop.create_future<int>();  // FUT-1, FUT-21

  EXPECT_FALSE(f.done());
  EXPECT_FALSE(f.cancelled());
  EXPECT_EQ(&f.get_loop(), &loop);  // FUT-14
}

TEST_F(FutureTest, ResultIsTheValueAndRepeatable) {
  Future<std::string> f = loop.create_future<std::string>();
  f.set_result("x");

  EXPECT_TRUE(f.done());  // FUT-6
  EXPECT_EQ(f.result(), "x");
  EXPECT_EQ(f.result(), "x");  // FUT-2
}

TEST_F(FutureTest, ResultOfAPendingOneIsAnInvalidState) {
  Future<int> f = loop.create_future<int>();
  try {
    static_cast<void>(f.result());
    FAIL();
  } catch (const InvalidStateError& error) {
    EXPECT_STREQ(error.what(), "Result is not ready.");  // FUT-2
  }
}

TEST_F(FutureTest, ExceptionOfAPendingOneIsAnInvalidState) {
  Future<int> f = loop.create_future<int>();
  try {
    static_cast<void>(f.exception());
    FAIL();
  } catch (const InvalidStateError& error) {
    EXPECT_STREQ(error.what(), "Exception is not set.");  // FUT-3
  }
}

TEST_F(FutureTest, ExceptionIsNullWhenThereIsAValue) {
  Future<int> f = loop.create_future<int>();
  f.set_result(1);

  EXPECT_EQ(f.exception(), nullptr);  // FUT-3
}

TEST_F(FutureTest, ExceptionIsTheStoredOneAndResultThrowsItEachTime) {
  Future<int> f = loop.create_future<int>();
  const std::exception_ptr error = logic_error("e");
  f.set_exception(error);

  EXPECT_EQ(f.exception(), error);
  EXPECT_THROW(static_cast<void>(f.result()), std::logic_error);
  EXPECT_THROW(static_cast<void>(f.result()), std::logic_error);  // FUT-2
}

TEST_F(FutureTest, TakesAnExceptionObject) {
  Future<> f = loop.create_future<>();

  f.set_exception(ValueError("v"));

  EXPECT_EQ(describe(f.exception()), "aster::ValueError: v");  // FUT-5
}

TEST_F(FutureTest, TurnsStopIterationIntoARuntimeError) {
  Future<> f = loop.create_future<>();

  f.set_exception(StopIteration());

  EXPECT_THROW(f.result(), RuntimeError);  // FUT-5
}

TEST_F(FutureTest, RefusesANullException) {
  Future<> f = loop.create_future<>();

  EXPECT_THROW(f.set_exception(std::exception_ptr()), ValueError);
  EXPECT_FALSE(f.done());
}

TEST_F(FutureTest, CanBeCompletedOnceOnly) {
  Future<int> f = loop.create_future<int>();
  f.set_result(1);

  EXPECT_THROW(f.set_result(2), InvalidStateError);                    // FUT-4
  EXPECT_THROW(f.set_exception(logic_error("e")), InvalidStateError);  // FUT-5
  EXPECT_FALSE(f.cancel());                                            // FUT-7
  EXPECT_EQ(f.result(), 1);
}

TEST_F(FutureTest, ACancelledOneCannotBeCompleted) {
  Future<int> f = loop.create_future<int>();
  EXPECT_TRUE(f.cancel());

  EXPECT_THROW(f.set_result(2), InvalidStateError);  // FUT-4
  EXPECT_THROW(f.set_exception(logic_error("e")), InvalidStateError);
  EXPECT_FALSE(f.cancel());  // FUT-7
}

TEST_F(FutureTest, CancelTakesEffectAtOnce) {
  Future<int> f = loop.create_future<int>();

  f.cancel("why");

  EXPECT_TRUE(f.done());  // FUT-7
  EXPECT_TRUE(f.cancelled());
  EXPECT_THROW(static_cast<void>(f.exception()), CancelledError);  // FUT-3
  try {
    static_cast<void>(f.result());
    FAIL();
  } catch (const CancelledError& error) {
    EXPECT_EQ(error.message(), "why");  // FUT-2
  }
}

TEST_F(FutureTest, SetResultForwardsSeveralArguments) {
  Future<std::string> f = loop.create_future<std::string>();

  f.set_result(std::size_t{3}, 'x');

  EXPECT_EQ(f.result(), "xxx");
}

TEST_F(FutureTest, HandlesOfOneFutureAreEqual) {
  Future<int> f = loop.create_future<int>();
  Future<int> same = f;
  Future<int> other = loop.create_future<int>();

  EXPECT_EQ(f, same);
  EXPECT_FALSE(f == other);
}

TEST_F(FutureTest, AMovedFromHandleIsEmpty) {
  Future<int> f = loop.create_future<int>();
  Future<int> moved = std::move(f);

  EXPECT_FALSE(f);  // NOLINT(bugprone-use-after-move): specified as empty.
  EXPECT_TRUE(moved);
}

TEST(FutureDeathTest, AnEmptyHandleIsCaught) {
  Future<int> empty;

  EXPECT_DEATH(static_cast<void>(empty.done()), "assertion failed");
}

// Values -------------------------------------------------------------------------

TEST_F(FutureTest, TakeMovesTheValueOutAndNothingIsLeft) {
  Future<std::unique_ptr<int>> f = loop.create_future<std::unique_ptr<int>>();
  f.set_result(std::make_unique<int>(3));

  EXPECT_EQ(*f.take(), 3);

  try {
    static_cast<void>(f.take());
    FAIL();
  } catch (const InvalidStateError& error) {
    EXPECT_STREQ(error.what(), "result was taken");
  }
}

TEST_F(FutureTest, PeekGivesTheValueInPlace) {
  Future<std::unique_ptr<int>> f = loop.create_future<std::unique_ptr<int>>();
  f.set_result(std::make_unique<int>(3));

  EXPECT_EQ(**&f.peek(), 3);
  EXPECT_EQ(&f.peek(), &f.peek());
}

TEST_F(FutureTest, PeekOfAPendingOneIsAnInvalidState) {
  Future<int> f = loop.create_future<int>();

  EXPECT_THROW(static_cast<void>(f.peek()), InvalidStateError);
}

TEST_F(FutureTest, HoldsAReference) {
  int value = 1;
  Future<int&> f = loop.create_future<int&>();
  f.set_result(value);

  f.result() = 5;

  EXPECT_EQ(value, 5);
  EXPECT_EQ(&f.peek(), &value);
}

TEST_F(FutureTest, AnAwaitByNameCopies) {
  Future<std::shared_ptr<int>> f = loop.create_future<std::shared_ptr<int>>();
  f.set_result(std::make_shared<int>(1));
  auto body = [&]() -> Coroutine<long> {
    std::shared_ptr<int> mine = co_await f;
    co_return mine.use_count();
  };

  EXPECT_EQ(loop.run_until_complete(body()), 2);
  EXPECT_EQ(f.result().use_count(), 2);  // The stored one and this copy.
}

TEST_F(FutureTest, AwaitingTheLastHandleMovesTheValueOut) {
  Future<std::shared_ptr<int>> f = loop.create_future<std::shared_ptr<int>>();
  f.set_result(std::make_shared<int>(1));
  auto body = [&]() -> Coroutine<long> {
    std::shared_ptr<int> mine = co_await std::move(f);
    co_return mine.use_count();
  };

  EXPECT_EQ(loop.run_until_complete(body()), 1);
}

TEST_F(FutureTest, AwaitingByMoveCopiesWhileOthersHoldIt) {
  Future<std::string> f = loop.create_future<std::string>();
  Future<std::string> other = f;
  f.set_result("text");
  auto body = [&]() -> Coroutine<std::string> { co_return co_await std::move(f); };

  EXPECT_EQ(loop.run_until_complete(body()), "text");
  EXPECT_EQ(other.result(), "text");
}

TEST_F(FutureTest, AMoveOnlyValueGoesToTheFirstAwait) {
  Future<std::unique_ptr<int>> f = loop.create_future<std::unique_ptr<int>>();
  Future<std::unique_ptr<int>> other = f;
  f.set_result(std::make_unique<int>(3));
  auto body = [&]() -> Coroutine<int> {
    std::unique_ptr<int> p = co_await std::move(f);
    EXPECT_THROW(static_cast<void>(other.take()), InvalidStateError);
    co_return *p;
  };

  EXPECT_EQ(loop.run_until_complete(body()), 3);
}

TEST_F(FutureTest, RunUntilCompleteGivesAMoveOnlyValue) {
  Future<std::unique_ptr<int>> f = loop.create_future<std::unique_ptr<int>>();
  f.set_result(std::make_unique<int>(3));

  EXPECT_EQ(*loop.run_until_complete(std::move(f)), 3);
}

// Awaiting --------------------------------------------------------------------------

TEST_F(FutureTest, ManyTasksMayAwaitItAndAllGetTheSame) {
  Future<int> f = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await f; };
  auto a = loop.create_task(body());
  auto b = loop.create_task(body());
  loop.run_until_idle();

  f.set_result(4);
  loop.run_until_idle();

  EXPECT_EQ(a.result() + b.result(), 8);  // FUT-11
}

TEST_F(FutureTest, EveryAwaitOfAFailedOneThrowsTheSameException) {
  Future<int> f = loop.create_future<int>();
  f.set_exception(logic_error("e"));
  std::vector<std::exception_ptr> seen;
  auto body = [&]() -> Coroutine<> {
    for (int i = 0; i < 2; ++i) {
      try {
        co_await f;
      } catch (...) {
        seen.push_back(std::current_exception());
      }
    }
  };

  loop.run_until_complete(body());

  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0], seen[1]);  // FUT-11, FUT-12
  EXPECT_EQ(seen[0], f.exception());
}

TEST_F(FutureTest, ADoneOneIsAwaitedWithoutSuspension) {
  Future<int> f = loop.create_future<int>();
  f.set_result(4);
  auto body = [&]() -> Coroutine<int> { co_return co_await f + co_await f; };
  auto task = loop.create_task(body());

  loop.run_once();

  EXPECT_EQ(task.result(), 8);  // TASK-11, FUT-12
}

TEST_F(FutureTest, AwaitingACancelledOneThrowsWithItsMessage) {
  Future<int> f = loop.create_future<int>();
  f.cancel("gone");
  std::string message;
  auto body = [&]() -> Coroutine<> {
    try {
      co_await f;
    } catch (const CancelledError& error) {
      message = error.message();
    }
  };

  loop.run_until_complete(body());

  EXPECT_EQ(message, "gone");
}

// Done callbacks ----------------------------------------------------------------------

TEST_F(FutureTest, CallbacksRunInOrderOfRegistrationNeverInline) {
  Future<int> f = loop.create_future<int>();
  std::string log;
  f.add_done_callback([&](Future<int> done) { log += "1" + std::to_string(done.result()); });
  f.add_done_callback([&](Future<int>) { log += "2"; });

  f.set_result(9);
  EXPECT_EQ(log, "");  // FUT-8

  loop.run_until_idle();
  EXPECT_EQ(log, "192");
}

TEST_F(FutureTest, ACallbackAddedToADoneOneIsPosted) {
  Future<int> f = loop.create_future<int>();
  f.set_result(9);
  int calls = 0;

  f.add_done_callback([&](Future<int>) { ++calls; });
  EXPECT_EQ(calls, 0);  // FUT-8, ORD-8

  loop.run_once();
  EXPECT_EQ(calls, 1);
}

TEST_F(FutureTest, CallbacksRunWhenItIsCancelled) {
  Future<int> f = loop.create_future<int>();
  bool cancelled = false;
  f.add_done_callback([&](Future<int> done) { cancelled = done.cancelled(); });

  f.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(cancelled);  // FUT-7
}

TEST_F(FutureTest, ACallbackMayBeMoveOnly) {
  Future<> f = loop.create_future<>();
  int seen = 0;
  f.add_done_callback([&, p = std::make_unique<int>(3)](Future<>) { seen = *p; });

  f.set_result();
  loop.run_until_idle();

  EXPECT_EQ(seen, 3);
}

TEST_F(FutureTest, RemovedCallbacksDoNotRunAndAreDestroyedAtOnce) {
  Future<int> f = loop.create_future<int>();
  auto shared = std::make_shared<int>(0);
  const CallbackId id = f.add_done_callback([shared](Future<int>) { ADD_FAILURE(); });

  EXPECT_EQ(f.remove_done_callback(id), 1U);  // FUT-9
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(f.remove_done_callback(id), 0U);

  f.set_result(1);
  loop.run_until_idle();
}

TEST_F(FutureTest, RemovingOneCallbackLeavesTheOthers) {
  Future<int> f = loop.create_future<int>();
  std::string log;
  f.add_done_callback([&](Future<int>) { log += 'a'; });
  const CallbackId b = f.add_done_callback([&](Future<int>) { log += 'b'; });
  f.add_done_callback([&](Future<int>) { log += 'c'; });

  f.remove_done_callback(b);
  f.set_result(1);
  loop.run_until_idle();

  EXPECT_EQ(log, "ac");  // FUT-9
}

TEST_F(FutureTest, CallbacksThatSeveralThreadsAddInTurnAreToldApart) {
  Future<int> f = loop.create_future<int>();
  std::string log;
  std::vector<CallbackId> ids;
  // Each of its own thread, as the loop is handed on: numbers start anew in none.
  for (const char name : {'a', 'b', 'c'}) {
    std::thread([&, name] {
      ids.push_back(f.add_done_callback([&log, name](Future<int>) { log += name; }));
      loop.run_until_idle();
    }).join();
  }

  EXPECT_EQ(f.remove_done_callback(ids[1]), 1U);
  f.set_result(1);
  loop.run_until_idle();

  EXPECT_EQ(log, "ac");  // FUT-9
}

TEST_F(FutureTest, ACallbackThatIsPostedCannotBeRemoved) {
  Future<int> f = loop.create_future<int>();
  int calls = 0;
  const CallbackId id = f.add_done_callback([&](Future<int>) { ++calls; });
  f.set_result(1);

  EXPECT_EQ(f.remove_done_callback(id), 0U);  // FUT-9

  loop.run_until_idle();
  EXPECT_EQ(calls, 1);
}

TEST_F(FutureTest, RemovingTheZeroIdRemovesNoWaiter) {
  Future<int> f = loop.create_future<int>();
  auto body = [&]() -> Coroutine<int> { co_return co_await f; };
  auto task = loop.create_task(body());
  loop.run_until_idle();

  EXPECT_EQ(f.remove_done_callback(0), 0U);

  f.set_result(1);
  loop.run_until_idle();
  EXPECT_TRUE(task.done());
}

TEST_F(FutureTest, ACallbacksExceptionReachesTheHandlerAndTheOthersRun) {
  Reports reports(loop);
  Future<int> f = loop.create_future<int>();
  bool second = false;
  f.add_done_callback([](Future<int>) { throw std::logic_error("oops"); });
  f.add_done_callback([&](Future<int>) { second = true; });

  f.set_result(1);
  loop.run_until_idle();

  EXPECT_TRUE(second);  // FUT-10
  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0].find("Exception in callback"), 0U);  // ERR-20
  EXPECT_EQ(reports.errors[0], "std::logic_error: oops");
}

TEST_F(FutureTest, ACallbackAddedByACallbackRunsInTheNextTurn) {
  Future<int> f = loop.create_future<int>();
  std::string log;
  f.add_done_callback([&](Future<int> done) {
    log += 'a';
    done.add_done_callback([&](Future<int>) { log += 'c'; });
  });
  f.add_done_callback([&](Future<int>) { log += 'b'; });
  f.set_result(1);

  loop.run_once();
  EXPECT_EQ(log, "ab");  // FUT-22

  loop.run_once();
  EXPECT_EQ(log, "abc");
}

TEST_F(FutureTest, CallbacksOfAPendingOneAreDestroyedWithIt) {
  auto shared = std::make_shared<int>(0);
  {
    Future<int> f = loop.create_future<int>();
    f.add_done_callback([shared](Future<int>) {});
  }

  EXPECT_EQ(shared.use_count(), 1);
}

TEST_F(FutureTest, AQueuedCallbackKeepsTheFuture) {
  int seen = 0;
  {
    Future<int> f = loop.create_future<int>();
    f.add_done_callback([&](Future<int> done) { seen = done.result(); });
    f.set_result(6);
  }

  loop.run_until_idle();

  EXPECT_EQ(seen, 6);
}

TEST_F(FutureTest, QueuedCallbacksAreDestroyedByClose) {
  auto shared = std::make_shared<int>(0);
  Future<int> f = loop.create_future<int>();
  f.add_done_callback([shared](Future<int>) { ADD_FAILURE(); });
  f.set_result(6);

  loop.close();

  EXPECT_EQ(shared.use_count(), 1);
}

// Never retrieved ------------------------------------------------------------------------

struct NeverRetrieved : FutureTest {
  Reports reports{loop};
};

TEST_F(NeverRetrieved, AnErrorIsReportedOnTheNextTurn) {
  {
    loop.create_future<int>().set_exception(logic_error("lost"));
  }
  EXPECT_TRUE(reports.empty());

  loop.run_once();

  ASSERT_EQ(reports.messages.size(), 1U);
  EXPECT_EQ(reports.messages[0], "Future exception was never retrieved");  // FUT-13, ERR-21
  EXPECT_EQ(reports.errors[0], "std::logic_error: lost");
  EXPECT_TRUE(reports.contexts[0].source.has_value());
}

TEST_F(NeverRetrieved, ResultExceptionAndAwaitCountAsLookingAtIt) {
  {
    Future<int> by_exception = loop.create_future<int>();
    by_exception.set_exception(logic_error("a"));
    static_cast<void>(by_exception.exception());
    Future<int> by_result = loop.create_future<int>();
    by_result.set_exception(logic_error("b"));
    EXPECT_THROW(static_cast<void>(by_result.result()), std::logic_error);
    Future<int> by_await = loop.create_future<int>();
    by_await.set_exception(logic_error("c"));
    auto body = [&]() -> Coroutine<> { co_await by_await; };
    EXPECT_THROW(loop.run_until_complete(body()), std::logic_error);
  }

  loop.run_until_idle();

  EXPECT_TRUE(reports.empty());  // FUT-13
}

TEST_F(NeverRetrieved, AValueOrACancellationIsNotReported) {
  loop.create_future<int>().set_result(1);
  loop.create_future<int>().cancel();

  loop.run_until_idle();

  EXPECT_TRUE(reports.empty());
}

TEST_F(NeverRetrieved, AnErrorLeftWhenTheLoopClosesIsReportedThen) {
  {
    loop.create_future<int>().set_exception(logic_error("lost"));
  }

  loop.close();

  EXPECT_EQ(reports.messages.size(), 1U);
}

TEST_F(NeverRetrieved, AnErrorDroppedAfterTheLoopIsClosedIsLogged) {
  support::Logged logged;
  Future<int> f = loop.create_future<int>();
  f.set_exception(logic_error("lost"));
  loop.close();

  f = Future<int>();

  EXPECT_TRUE(logged.contains("never retrieved"));
}

// Loops that are gone ----------------------------------------------------------------------

TEST(FutureOfAGoneLoop, CanStillBeReadAndCompleted) {
  std::optional<testing::SimLoop> loop;
  loop.emplace();
  Future<int> f = loop->create_future<int>();
  loop.reset();

  f.set_result(3);

  EXPECT_EQ(f.result(), 3);
  EXPECT_THROW(static_cast<void>(f.get_loop()), RuntimeError);
}

TEST(FutureOfAGoneLoop, TakesNoCallbacks) {
  std::optional<testing::SimLoop> loop;
  loop.emplace();
  Future<int> f = loop->create_future<int>();
  loop.reset();

  EXPECT_THROW(f.add_done_callback([](Future<int>) {}), RuntimeError);
}

}  // namespace
}  // namespace aster
