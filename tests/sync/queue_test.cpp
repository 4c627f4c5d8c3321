// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/sync/queue.hpp>
#include <aster/task/gather.hpp>

#include <memory>
#include <stdexcept>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;

class QueueTest : public SyncTest {
 protected:
  Coroutine<> get(Queue<int>& queue, std::string name) {
    const int item = co_await queue.get();
    log += name + std::to_string(item) + " ";
  }
  Coroutine<> put(Queue<int>& queue, int item) {
    co_await queue.put(item);
    log += "put" + std::to_string(item) + " ";
  }
};

TEST_F(QueueTest, KnowsItsSizes) {
  Queue<int> bounded{2};
  EXPECT_EQ(bounded.maxsize(), 2);
  EXPECT_TRUE(bounded.empty());
  EXPECT_FALSE(bounded.full());
  bounded.put_nowait(1);
  bounded.put_nowait(2);
  EXPECT_EQ(bounded.qsize(), 2U);
  EXPECT_TRUE(bounded.full());

  for (const std::ptrdiff_t maxsize : {0, -1}) {
    Queue<int> unbounded(maxsize);
    for (int i = 0; i < 1000; ++i) unbounded.put_nowait(i);
    EXPECT_FALSE(unbounded.full());
    EXPECT_EQ(unbounded.maxsize(), maxsize);
  }
}

TEST_F(QueueTest, GivesTheItemsInTheOrderInWhichTheyWerePut) {
  Queue<int> queue;
  int next = 0;
  for (int i = 0; i < 1000; ++i) {
    queue.put_nowait(i);
    if (i % 3 == 2) {
      EXPECT_EQ(queue.get_nowait(), next++);
    }
  }
  while (!queue.empty()) EXPECT_EQ(queue.get_nowait(), next++);
  EXPECT_EQ(next, 1000);
}

TEST_F(QueueTest, TheCallsThatDoNotWaitThrow) {  // EX-8
  Queue<int> queue{1};
  EXPECT_THROW(queue.get_nowait(), QueueEmpty);
  queue.put_nowait(1);
  EXPECT_THROW(queue.put_nowait(2), QueueFull);
  queue.shutdown();
  EXPECT_THROW(queue.put_nowait(2), QueueShutDown);
  EXPECT_EQ(queue.get_nowait(), 1);
  EXPECT_THROW(queue.get_nowait(), QueueShutDown);
}

TEST_F(QueueTest, APutWaitsWhileItIsFullAndPuttersAreServedInOrder) {
  Queue<int> queue{1};
  for (int i = 0; i < 4; ++i) start(put(queue, i));
  settle();
  EXPECT_EQ(log, "put0 ");

  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(queue.get_nowait(), i);
    settle();
  }
  EXPECT_EQ(log, "put0 put1 put2 put3 ");
}

TEST_F(QueueTest, AGetWaitsWhileItIsEmptyAndGettersAreServedInOrder) {
  Queue<int> queue;
  for (const char* name : {"a", "b", "c"}) start(get(queue, name));
  settle();

  queue.put_nowait(1);
  queue.put_nowait(2);
  EXPECT_EQ(queue.qsize(), 2U);
  settle();

  EXPECT_EQ(log, "a1 b2 ");
  queue.put_nowait(3);
  settle();
}

TEST_F(QueueTest, WithoutNeedToWaitNothingSuspends) {
  Queue<int> queue{1};
  auto body = [&]() -> Coroutine<> {
    co_await queue.put(1);
    log += std::to_string(co_await queue.get());
    queue.task_done();
    co_await queue.join();
  };
  auto task = step(body);

  EXPECT_TRUE(task.done());
  EXPECT_EQ(log, "1");
}

TEST_F(QueueTest, AGetterWhoseItemWasTakenWaitsAgainAtTheTail) {
  Queue<int> queue;
  start(get(queue, "a"));
  start(get(queue, "b"));
  settle();

  queue.put_nowait(1);
  EXPECT_EQ(queue.get_nowait(), 1);
  settle();
  for (int i = 2; i <= 3; ++i) queue.put_nowait(i);
  settle();

  EXPECT_EQ(log, "b2 a3 ");
}

TEST_F(QueueTest, AGetterMayLoseItsItemAgainAndAgain) {
  Queue<int> queue;
  start(get(queue, "a"));
  settle();
  for (int i = 0; i < 100; ++i) {
    queue.put_nowait(i);
    EXPECT_EQ(queue.get_nowait(), i);
    if (i % 2 == 0) settle();
  }
  queue.put_nowait(7);
  settle();

  EXPECT_EQ(log, "a7 ");
}

TEST_F(QueueTest, AGetterWhoseItemWasTakenTakesOneThatCameMeanwhile) {
  Queue<int> queue;
  start(get(queue, "a"));
  settle();

  queue.put_nowait(1);
  EXPECT_EQ(queue.get_nowait(), 1);
  queue.put_nowait(2);
  settle();

  EXPECT_EQ(log, "a2 ");
}

TEST_F(QueueTest, APutterWhosePlaceWasTakenWaitsAgainAtTheTail) {
  Queue<int> queue{1};
  queue.put_nowait(0);
  for (int i = 1; i <= 2; ++i) start(put(queue, i));
  settle();

  EXPECT_EQ(queue.get_nowait(), 0);
  queue.put_nowait(9);
  settle();
  for (const int expected : {9, 2, 1}) {
    EXPECT_EQ(queue.get_nowait(), expected);
    settle();
  }
  EXPECT_EQ(log, "put2 put1 ");
}

TEST_F(QueueTest, ACancelledGetterPassesItsWakeUpOn) {
  Queue<int> queue;
  auto a = start(get(queue, "a"));
  start(get(queue, "b"));
  settle();

  queue.put_nowait(1);
  a.cancel();
  settle();

  EXPECT_EQ(log, "b1 ");
  EXPECT_TRUE(a.cancelled());
}

TEST_F(QueueTest, ACancelledPutterPassesItsWakeUpOn) {
  Queue<int> queue{1};
  queue.put_nowait(0);
  auto one = start(put(queue, 1));
  start(put(queue, 2));
  settle();

  EXPECT_EQ(queue.get_nowait(), 0);
  one.cancel();
  settle();

  EXPECT_EQ(queue.get_nowait(), 2);
}

TEST_F(QueueTest, AGetterThatIsCancelledAfterItsItemWasTakenIsCancelled) {
  Queue<int> queue;
  auto a = start(get(queue, "a"));
  settle();
  queue.put_nowait(1);
  EXPECT_EQ(queue.get_nowait(), 1);

  a.cancel();
  settle();
  queue.put_nowait(2);
  settle();

  EXPECT_TRUE(a.cancelled());
  EXPECT_EQ(queue.get_nowait(), 2);

  auto b = start(get(queue, "b"));
  settle();
  queue.put_nowait(3);
  EXPECT_EQ(queue.get_nowait(), 3);
  settle();  // It waits again.
  b.cancel();
  settle();
  EXPECT_TRUE(b.cancelled());
}

TEST_F(QueueTest, HoldsWhatOnlyMoves) {
  Queue<std::unique_ptr<int>> queue{1};
  auto consumer = [&]() -> Coroutine<int> {
    int sum = 0;
    for (int i = 0; i < 10; ++i) {
      auto item = co_await queue.get();
      sum += *item;
    }
    co_return sum;
  };
  auto producer = [&]() -> Coroutine<> {
    for (int i = 0; i < 10; ++i) co_await queue.put(std::make_unique<int>(i));
  };
  auto sum = start(consumer);
  start(producer);
  settle();

  EXPECT_EQ(sum.result(), 45);
}

TEST_F(QueueTest, ItsAwaitsWorkWithWhateverTakesAwaitables) {
  Queue<int> queue{1};
  auto body = [&]() -> Coroutine<> {
    try {
      static_cast<void>(co_await wait_for(queue.get(), 1s));
    } catch (const TimeoutError&) {
      log += "timeout ";
    }
    auto both = co_await gather(queue.get(), queue.put(4));
    log += std::to_string(std::get<0>(both));
  };
  loop.run_until_complete(body());

  EXPECT_EQ(log, "timeout 4");
}

TEST_F(QueueTest, AnItemThatCannotBeMovedInIsNotThere) {
  struct Throws {
    explicit Throws(bool it_fails) : fails(it_fails) {}
    Throws(Throws&& other) : fails(other.fails) {
      if (fails && --left == 0) throw std::runtime_error("move");
    }
    Throws& operator=(Throws&&) = delete;
    bool fails;
    int left = 1;
  };
  Queue<Throws> queue;
  queue.put_nowait(Throws(false));
  EXPECT_THROW(queue.put_nowait(Throws(true)), std::runtime_error);
  EXPECT_EQ(queue.qsize(), 1U);
}

TEST_F(QueueTest, JoinWaitsUntilEveryItemIsDone) {
  Queue<int> queue;
  for (int i = 0; i < 2; ++i) queue.put_nowait(i);
  auto joining = start([&]() -> Coroutine<> { co_await queue.join(); });
  settle();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(queue.get_nowait(), i);
    settle();
    EXPECT_FALSE(joining.done());
    queue.task_done();
    settle();
    EXPECT_EQ(joining.done(), i == 1);
  }
  EXPECT_EQ(error_of([&] { queue.task_done(); }),
            "aster::ValueError: task_done() called too many times");
}

TEST_F(QueueTest, AJoinThatWasReachedEndsAlsoWhenMoreIsPutBeforeItRuns) {
  Queue<int> queue;
  queue.put_nowait(1);
  auto joining = start([&]() -> Coroutine<> { co_await queue.join(); });
  settle();

  queue.task_done();
  queue.put_nowait(2);
  settle();

  EXPECT_TRUE(joining.done());
}

TEST_F(QueueTest, ShutdownLetsTheGettersFinishAndThePuttersFail) {  // Q-11, VER-7
  Queue<int> queue{1};
  queue.put_nowait(1);
  auto putter = start(put(queue, 2));
  settle();

  queue.shutdown();
  settle();

  EXPECT_EQ(describe(putter.exception()), "aster::QueueShutDown: the queue was shut down");
  auto late = start(put(queue, 3));
  start(get(queue, "a"));
  auto b = start(get(queue, "b"));
  settle();
  EXPECT_EQ(log, "a1 ");
  EXPECT_EQ(describe(late.exception()), "aster::QueueShutDown: the queue was shut down");
  EXPECT_EQ(describe(b.exception()), "aster::QueueShutDown: the queue was shut down");
}

TEST_F(QueueTest, ShutdownWakesTheGettersOfAnEmptyQueue) {
  Queue<int> queue;
  auto a = start(get(queue, "a"));
  auto b = start(get(queue, "b"));
  settle();

  queue.put_nowait(1);  // For a, on its way.
  queue.shutdown();
  settle();

  EXPECT_EQ(log, "a1 ");
  EXPECT_EQ(a.exception(), nullptr);
  EXPECT_EQ(describe(b.exception()), "aster::QueueShutDown: the queue was shut down");
}

TEST_F(QueueTest, ShutdownAtOnceDropsTheItemsAndCountsThemAsDone) {
  auto alive = std::make_shared<int>(0);
  Queue<std::shared_ptr<int>> queue;
  for (int i = 0; i < 3; ++i) queue.put_nowait(alive);
  auto got = queue.get_nowait();
  auto joining = start([&]() -> Coroutine<> { co_await queue.join(); });
  settle();

  queue.shutdown(true);
  settle();

  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(alive.use_count(), 2);
  EXPECT_THROW(queue.get_nowait(), QueueShutDown);
  EXPECT_FALSE(joining.done());  // One was got and is not done.
  queue.task_done();
  settle();
  EXPECT_TRUE(joining.done());
}

TEST_F(QueueTest, ShutdownMayBeRepeatedAndMadeImmediate) {
  Queue<int> queue;
  for (int i = 0; i < 2; ++i) queue.put_nowait(i);
  auto joining = start([&]() -> Coroutine<> { co_await queue.join(); });

  queue.shutdown();
  queue.shutdown();
  EXPECT_EQ(queue.get_nowait(), 0);
  queue.task_done();
  settle();
  EXPECT_FALSE(joining.done());
  queue.shutdown(true);
  settle();

  EXPECT_TRUE(joining.done());
  EXPECT_THROW(queue.get_nowait(), QueueShutDown);
}

TEST_F(QueueTest, ALifoQueueGivesTheNewestItemFirst) {
  LifoQueue<bool> bits;
  bits.put_nowait(true);
  bits.put_nowait(false);
  EXPECT_FALSE(bits.get_nowait());
  EXPECT_TRUE(bits.get_nowait());

  LifoQueue<int> queue{2};
  queue.put_nowait(1);
  queue.put_nowait(2);
  EXPECT_THROW(queue.put_nowait(3), QueueFull);
  EXPECT_EQ(queue.get_nowait(), 2);
  EXPECT_EQ(queue.get_nowait(), 1);
}

TEST_F(QueueTest, APriorityQueueGivesTheSmallestItemFirst) {
  PriorityQueue<int> smallest;
  PriorityQueue<int, std::greater<>> greatest;
  for (int i = 0; i < 100; ++i) {
    smallest.put_nowait(i * 37 % 100);
    greatest.put_nowait(i * 37 % 100);
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(smallest.get_nowait(), i);
    EXPECT_EQ(greatest.get_nowait(), 99 - i);
  }
  smallest.shutdown();
  EXPECT_THROW(smallest.put_nowait(1), QueueShutDown);
}

TEST(QueueOfTwoLoops, IsBoundToTheFirstOneThatATaskWaitsOn) {
  Queue<int> queue{1};
  std::string text;
  {
    testing::SimLoop loop;
    auto getting = [&]() -> Coroutine<> { static_cast<void>(co_await queue.get()); };
    auto task = loop.create_task(getting);
    loop.run_until_idle();
    queue.put_nowait(1);
    loop.run_until_idle();
    EXPECT_TRUE(task.done());
  }
  testing::SimLoop loop;
  queue.put_nowait(1);
  auto putting = [&]() -> Coroutine<> { co_await queue.put(2); };
  auto task = loop.create_task(putting);
  loop.run_until_idle();

  EXPECT_EQ(describe(task.exception()),
            "aster::RuntimeError: the object that is waited for is bound to a different event "
            "loop");
}

TEST_F(QueueTest, SaysWhatItIs) {  // SYN-28
  Queue<int> queue{2};
  EXPECT_EQ(to_string(queue), "<Queue maxsize=2>");
  start(get(queue, "a"));
  settle();
  EXPECT_EQ(to_string(queue), "<Queue maxsize=2 getters[1]>");
  queue.put_nowait(1);
  queue.put_nowait(2);
  settle();
  queue.shutdown();
  EXPECT_EQ(to_string(queue), "<Queue maxsize=2 qsize=1 tasks=2 shutdown>");
  EXPECT_EQ(to_string(LifoQueue<int>()), "<LifoQueue maxsize=0>");
  EXPECT_EQ(to_string(PriorityQueue<int>(3)), "<PriorityQueue maxsize=3>");
}

}  // namespace
}  // namespace aster
