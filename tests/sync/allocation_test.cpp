// SPDX-License-Identifier: MIT
//
// Waiting and handing over allocate nothing. Counts this program's operator new; frames
// of coroutines come from lists of their own, which call it until they are warm.
#include <aster/loop/sleep.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "sync/sync_fixture.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ASTER_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define ASTER_TEST_SANITIZED 1
#endif
#endif

#if !defined(ASTER_TEST_SANITIZED)

namespace {
std::uint64_t allocation_count = 0;
}  // namespace

// NOLINTBEGIN(cppcoreguidelines-no-malloc): it replaces what others are made of.
void* operator new(std::size_t size) {
  ++allocation_count;
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(cppcoreguidelines-no-malloc)

namespace aster {
namespace {

using namespace std::chrono_literals;

class AllocationTest : public SyncTest {
 protected:
  // Runs `body(rounds)` in that many tasks at once; what it allocates after a first run.
  template <class Body>
  std::uint64_t allocations_of(int task_count, Body body) {
    std::uint64_t before = 0;
    std::vector<Task<>> tasks;
    tasks.reserve(static_cast<std::size_t>(task_count));
    for (int run = 0; run < 2; ++run) {
      before = allocation_count;
      for (int i = 0; i < task_count; ++i) tasks.push_back(loop.create_task(body));
      loop.run_until_idle();
      tasks.clear();
    }
    return allocation_count - before;
  }

  static constexpr int rounds = 100;
};

TEST_F(AllocationTest, ALockIsFree) {
  Lock lock;
  int handed_over = 0;
  const auto hold = [&]() -> Coroutine<> {
    for (int i = 0; i < rounds; ++i) {
      auto held = co_await lock.scoped();
      ++handed_over;
      co_await sleep(0s);
    }
  };
  EXPECT_EQ(allocations_of(1, hold), 0U);
  EXPECT_EQ(allocations_of(5, hold), 0U);
  EXPECT_EQ(handed_over, 12 * rounds);
}

TEST_F(AllocationTest, ASemaphoreIsFree) {
  Semaphore semaphore(2);
  const auto hold = [&]() -> Coroutine<> {
    for (int i = 0; i < rounds; ++i) {
      auto permit = co_await semaphore.scoped();
      co_await sleep(0s);
    }
  };
  EXPECT_EQ(allocations_of(1, hold), 0U);
  EXPECT_EQ(allocations_of(5, hold), 0U);
}

TEST_F(AllocationTest, AnEventIsFree) {
  Event event;
  const auto wait = [&]() -> Coroutine<> {
    for (int i = 0; i < rounds; ++i) {
      if (i % 10 == 0) {
        event.set();
        co_await event.wait();
        event.clear();
      } else {
        loop.call_soon([&event] { event.set(); });
        event.clear();
        co_await event.wait();
      }
    }
  };
  EXPECT_EQ(allocations_of(5, wait), 0U);
}

TEST_F(AllocationTest, AConditionIsFree) {
  Condition condition;
  int turn = 0;
  const auto take_turns = [&]() -> Coroutine<> {
    auto held = co_await condition.scoped();
    const int mine = turn++ % 5;
    condition.notify_all();  // The last of the five begins it.
    for (int i = 0; i < rounds; ++i) {
      co_await condition.wait_for([&] { return turn % 5 == mine; });
      ++turn;
      condition.notify_all();
    }
  };
  EXPECT_EQ(allocations_of(5, take_turns), 0U);
}

TEST_F(AllocationTest, ABarrierIsFree) {
  Barrier barrier(5);
  const auto meet = [&]() -> Coroutine<> {
    for (int i = 0; i < rounds; ++i) static_cast<void>(co_await barrier.wait());
  };
  EXPECT_EQ(allocations_of(5, meet), 0U);
}

TEST_F(AllocationTest, AQueueIsFreeOnceItHasHadItsSize) {
  Queue<int> asked{1};
  Queue<int> answered;
  PriorityQueue<int> by_size;
  LifoQueue<int> newest;
  int tasks = 0;
  const auto play = [&]() -> Coroutine<> {
    const bool asks = ++tasks % 2 == 1;
    for (int i = 0; i < rounds; ++i) {
      if (asks) {
        co_await asked.put(i);
        co_await by_size.put(i);
        static_cast<void>(co_await answered.get());
        static_cast<void>(co_await newest.get());
      } else {
        const int item = co_await asked.get();
        co_await answered.put(item);
        co_await newest.put(co_await by_size.get());
        asked.task_done();
      }
    }
    co_await asked.join();
  };
  EXPECT_EQ(allocations_of(4, play), 0U);
}

TEST_F(AllocationTest, AGetterThatMustWaitAgainIsFreeToo) {
  Queue<int> queue;
  const auto play = [&]() -> Coroutine<> {
    loop.call_soon([&] {
      for (int i = 0; i < 3; ++i) {
        queue.put_nowait(1);
        static_cast<void>(queue.get_nowait());
      }
    });
    loop.call_later(1s, [&] { queue.put_nowait(2); });
    static_cast<void>(co_await queue.get());
  };
  std::uint64_t before = 0;
  for (int run = 0; run < 2; ++run) {
    before = allocation_count;
    loop.run_until_complete(play());
  }
  EXPECT_EQ(allocation_count - before, 0U);
}

}  // namespace
}  // namespace aster

#endif  // ASTER_TEST_SANITIZED
