// SPDX-License-Identifier: MIT
//
// Requests to end (cancel, close, tear-down) need no memory; what starts something
// leaves nothing behind when there is none.
#include "support/allocations.hpp"

#include <aster/aster.hpp>
#include <aster/base/log.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <latch>
#include <memory>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/backends.hpp"
#include "support/hand_driver.hpp"
#include "support/reports.hpp"

namespace aster {
namespace {

// Frames come from malloc here, one by one, so that each can be refused.
const bool frames_can_be_refused = [] {
  set_frame_allocator(
      [](std::size_t size) {
        void* memory = std::malloc(size);
        if (memory == nullptr) throw std::bad_alloc();
        return memory;
      },
      [](void* memory, std::size_t) noexcept { std::free(memory); });
  return true;
}();

using namespace std::chrono_literals;
using support::allocations_of;
using support::allocations_without_memory;
using support::NoMemory;

// Longer than a string holds in itself.
const std::string long_text = "the operator has asked for an orderly end";

void turns(EventLoop& loop, int count) {
  for (int i = 0; i < count; ++i) loop.run_once();
}

// The counter itself -------------------------------------------------------------------

// Where an optimiser cannot see that memory is asked for in vain.
void* volatile seen;

void ask_malloc() {
  seen = std::malloc(10);
  std::free(seen);
}
void ask_calloc() {
  seen = std::calloc(2, 10);
  std::free(seen);
}
void ask_new() {
  seen = ::operator new(10);
  ::operator delete(seen);
}
void ask_exception() {
  try {
    throw 1;
  } catch (int) {
  }
}

TEST(AllocationCounter, SeesMallocNewAndExceptions) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(allocations_of(ask_malloc), 1U);
  EXPECT_EQ(allocations_of(ask_calloc), 1U);
  EXPECT_EQ(allocations_of(ask_new), 1U);
  EXPECT_EQ(allocations_of(ask_exception), 1U);
  EXPECT_EQ(allocations_of([] {}), 0U);
}

TEST(AllocationCounter, RefusesWhenTold) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  bool refused = false;
  {
    const NoMemory none;
    try {
      ask_new();
    } catch (const std::bad_alloc&) {
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(support::refuse_each_request_of([] {
              try {
                ask_new();
                ask_new();
              } catch (const std::bad_alloc&) {
              }
            }),
            2U);
}

// Cancelling, whatever the task waits for -------------------------------------------------

/// Something a task can wait for, and for ever.
struct Wait {
  std::string name;
  std::function<Coroutine<>(EventLoop&)> make;
  friend std::ostream& operator<<(std::ostream& out, const Wait& wait) { return out << wait.name; }
};

Coroutine<> for_ever() { co_await sleep(1000h); }

std::vector<Wait> all_waits() {
  return {
      {"future",
       [](EventLoop& loop) -> Coroutine<> {
         Future<> never = loop.create_future<>();
         co_await never;
       }},
      {"sleep", [](EventLoop&) -> Coroutine<> { return for_ever(); }},
      {"coroutine", [](EventLoop&) -> Coroutine<> { co_await for_ever(); }},
      {"task", [](EventLoop&) -> Coroutine<> { co_await create_task(for_ever()); }},
      {"gather", [](EventLoop&) -> Coroutine<> { co_await gather(for_ever(), for_ever()); }},
      {"group_body",
       [](EventLoop&) -> Coroutine<> {
         co_await with(TaskGroup{}, [](TaskGroup& group) -> Coroutine<> {
           group.create_task(for_ever());
           co_await for_ever();
         });
       }},
      {"group_end",
       [](EventLoop&) -> Coroutine<> {
         co_await with(TaskGroup{}, [](TaskGroup& group) -> Coroutine<> {
           group.create_task(for_ever());
           group.create_task(for_ever());
           co_return;
         });
       }},
      {"shield", [](EventLoop&) -> Coroutine<> { co_await shield(for_ever()); }},
      {"timeout",
       [](EventLoop&) -> Coroutine<> {
         co_await with(timeout(2000h), [](Timeout&) { return for_ever(); });
       }},
      {"wait_for", [](EventLoop&) -> Coroutine<> { co_await wait_for(for_ever(), 2000h); }},
      {"wait",
       [](EventLoop&) -> Coroutine<> {
         std::vector<Task<>> tasks{create_task(for_ever()), create_task(for_ever())};
         co_await wait(tasks, {.timeout = 2000h});
       }},
      {"as_completed",
       [](EventLoop&) -> Coroutine<> {
         std::vector<Task<>> tasks{create_task(for_ever()), create_task(for_ever())};
         auto each = as_completed(tasks, {.timeout = 2000h});
         co_await each.next();
       }},
      {"wait_list",
       [](EventLoop&) -> Coroutine<> {
         WaitList list;
         co_await list.park();
       }},
  };
}

class CancelWithoutMemory : public ::testing::TestWithParam<Wait> {
 protected:
  CancelWithoutMemory() {
    loop.set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    task = loop.create_task(GetParam().make(loop));
    loop.run_until_idle();
    EXPECT_FALSE(task.done());
  }
  ~CancelWithoutMemory() override {
    for (AnyTask& other : all_tasks(loop)) other.cancel();
    loop.run_until_idle();
    loop.close();
  }

  testing::SimLoop loop;
  Task<> task;
};

TEST_P(CancelWithoutMemory, TheRequestAsksForNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  // All children of a gather but the last get a copy, which is free only when short.
  std::string message = GetParam().name == "gather" ? "shutdown" : long_text;
  bool accepted = false;

  const auto count =
      allocations_without_memory([&] { accepted = task.cancel(std::move(message)); });

  EXPECT_EQ(count, 0U);
  EXPECT_TRUE(accepted);
  loop.run_until_idle();
  EXPECT_TRUE(task.cancelled());
}

TEST_P(CancelWithoutMemory, TheRequestAndItsWithdrawalAskForNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const auto count = allocations_without_memory([&] {
    task.cancel();
    task.cancel();
    task.uncancel();
  });

  EXPECT_EQ(count, 0U);
  loop.run_until_idle();
  EXPECT_TRUE(task.cancelled());
}

// The text that ends a child of a gather.
Coroutine<> noting(std::vector<std::string>& texts) {
  try {
    co_await for_ever();
  } catch (const CancelledError& error) {
    texts.emplace_back(error.what());
    throw;
  }
}

TEST(WithoutMemory, TheLastChildOfAGatherTakesTheTextItself) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  std::vector<std::string> texts;
  auto nested = [&]() -> Coroutine<> { co_await gather(noting(texts)); };
  auto all = gather(loop.create_task(nested()));
  loop.run_until_idle();
  std::string message = long_text;

  const auto count = allocations_without_memory([&] { all.cancel(std::move(message)); });
  loop.run_until_idle();

  EXPECT_EQ(count, 0U);
  EXPECT_EQ(texts, std::vector<std::string>{long_text});
}

TEST(WithoutMemory, EveryChildOfAGatherIsToldTheTextWhenThereIsMemory) {
  testing::SimLoop loop;
  std::vector<std::string> texts;
  auto nested = [&]() -> Coroutine<> { co_await gather(noting(texts), noting(texts)); };
  auto all = gather(loop.create_task(noting(texts)), loop.create_task(nested()));
  loop.run_until_idle();

  all.cancel(long_text);
  loop.run_until_idle();

  EXPECT_EQ(texts, std::vector<std::string>(3, long_text));  // As in CPython.
}

// The runtime keeps a reserve for exceptions.
TEST_P(CancelWithoutMemory, TheDeliveryArrivesFromTheRuntimesReserve) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  std::string message = long_text;
  {
    const NoMemory none;
    task.cancel(std::move(message));
    turns(loop, 10);
  }

  EXPECT_TRUE(task.done());
  EXPECT_TRUE(task.cancelled());
}

std::string wait_name(const ::testing::TestParamInfo<Wait>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Waits, CancelWithoutMemory, ::testing::ValuesIn(all_waits()), wait_name);

TEST(WithoutMemory, AnExpiryAsksForNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto limited = []() -> Coroutine<> {
    co_await with(timeout(0s), [](Timeout&) { return for_ever(); });
  };
  auto task = loop.create_task(limited());
  loop.run_once();  // Enters; the deadline is over.

  const auto count = allocations_without_memory([&] { loop.run_once(); });  // It expires.

  EXPECT_EQ(count, 0U);
  EXPECT_FALSE(task.done());
  loop.run_until_idle();
  EXPECT_THROW(task.result(), TimeoutError);
}

TEST(WithoutMemory, AFailedChildStillFailsItsGroup) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  auto fail = [](Future<> when) -> Coroutine<> {
    co_await when;
    throw std::logic_error("child");
  };
  Future<> when = loop.create_future<>();
  auto body = [&]() -> Coroutine<> {
    co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
      for (int i = 0; i < 3; ++i) group.create_task(fail(when));
      co_return;
    });
  };
  auto task = loop.create_task(body());
  loop.run_until_idle();
  when.set_result();
  loop.run_once();  // They throw.

  const auto count = allocations_without_memory([&] { loop.run_once(); });  // It is told.

  EXPECT_EQ(count, 0U);
  loop.run_until_idle();
  ASSERT_TRUE(task.done());
  try {
    task.result();
    ADD_FAILURE() << "no error";
  } catch (const ExceptionGroup& group) {
    EXPECT_EQ(group.exceptions().size(), 3U);
  }
}

TEST(WithoutMemory, WhatIsDoneIsKeptForAsCompleted) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  std::vector<Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(loop.create_future<int>());
  int given = 0;
  auto body = [&](Future<> start) -> Coroutine<> {
    auto each = as_completed(futures);
    co_await start;
    for (std::size_t i = 0; i < futures.size(); ++i) {
      auto next = co_await each.next();
      if (next && next->result() == given) ++given;
    }
  };
  Future<> start = loop.create_future<>();
  auto task = loop.create_task(body(start));
  loop.run_until_idle();
  for (int i = 0; i < 200; ++i) futures[static_cast<std::size_t>(i)].set_result(i);

  const auto count = allocations_without_memory([&] { loop.run_once(); });

  EXPECT_EQ(count, 0U);
  start.set_result();
  loop.run_until_idle();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(given, 200);
}

TEST(WithoutMemory, ACancelledFuturesAwaitIsCancelledThoughItsTextIsLong) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  Future<> future = loop.create_future<>();
  auto body = [&]() -> Coroutine<> { co_await future; };
  auto task = loop.create_task(body());
  auto both = gather(future, future);
  auto shielded = shield(future);
  loop.run_until_idle();
  future.cancel(long_text);
  {
    const NoMemory none;
    turns(loop, 3);
  }

  EXPECT_TRUE(task.cancelled());
  EXPECT_TRUE(both.done());
  EXPECT_TRUE(shielded.cancelled());
  EXPECT_EQ(describe(both.exception()), "aster::CancelledError");
}

// Tear-down -------------------------------------------------------------------------------

Coroutine<> wait_down(int levels, Future<> last) {
  const auto held = std::make_unique<int>(levels);
  if (levels > 0) {
    co_await wait_down(levels - 1, last);
  } else {
    co_await last;
  }
}

TEST(WithoutMemory, ASuspendedChainIsDestroyed) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  Future<> last = loop.create_future<>();
  auto driver = std::make_unique<support::HandDriver<>>(wait_down(1000, last), &loop.scheduler());
  EXPECT_FALSE(driver->send());

  EXPECT_EQ(allocations_without_memory([&] { driver.reset(); }), 0U);
}

TEST(WithoutMemory, ACoroutineThatNeverRanIsDestroyed) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  testing::SimLoop loop;
  Coroutine<> unused = wait_down(1, loop.create_future<>());

  EXPECT_EQ(allocations_without_memory([&] { unused.close(); }), 0U);
}

TEST(WithoutMemory, AThreadsFirstReleaseOfAFrameAsksForNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  std::uint64_t count = 1;
  std::thread([&] {
    void* frame = detail::allocate_frame(64);
    count = allocations_without_memory([&] { detail::release_frame(frame, 64); });
  }).join();

  EXPECT_EQ(count, 0U);
}

class CloseWithoutMemory : public ::testing::TestWithParam<Backend> {};

std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

TEST_P(CloseWithoutMemory, ALoopThatCannotBeMadeLeavesNoDescriptor) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const std::ptrdiff_t before = open_descriptors();

  const std::uint64_t refused = support::refuse_each_request_of([] {
    try {
      const EventLoop made({.backend = GetParam()});
    } catch (const std::bad_alloc&) {
    }
  });

  EXPECT_GT(refused, 3U);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(CloseWithoutMemory, ALoopWithCallbacksTimersAndWatchesAsksForNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto loop = new_event_loop({.backend = GetParam()});
  auto held = std::make_shared<int>(1);
  for (int i = 0; i < 100; ++i) {
    loop->call_soon([held] {});
    loop->call_later(1h, [held] {});
    loop->call_soon_threadsafe([held] {});
  }
  loop->add_reader(ends[0], [held] {});
  Future<> future = loop->create_future<>();
  future.add_done_callback([held](const Future<>&) {});

  EXPECT_EQ(allocations_without_memory([&] { loop->close(); }), 0U);

  future = {};
  EXPECT_EQ(held.use_count(), 1);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Each pending task is reported, and a report has a text; without memory it is a
// fixed one for the log.
TEST_P(CloseWithoutMemory, ALoopWithPendingTasksDestroysThemAll) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto loop = new_event_loop({.backend = GetParam()});
  const support::Logged logged;
  auto held = std::make_shared<int>(1);
  auto body = [](std::shared_ptr<int>) -> Coroutine<> { co_await for_ever(); };
  for (int i = 0; i < 3; ++i) loop->create_task(body(held));
  static int log_count;
  log_count = 0;
  set_log_hook([](LogLevel, std::string_view) noexcept { ++log_count; });
  loop->run_once();
  {
    const NoMemory none;
    loop->close();
  }

  EXPECT_TRUE(loop->is_closed());
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(log_count, 3);
}

ASTER_ON_EACH_BACKEND(CloseWithoutMemory);

// What cannot be started ----------------------------------------------------------------

/// Calls `attempt(n)` on new threads, which have no memory put by, for n = 0, 1, …
/// until it says that it was refused nothing.
void for_each_refusal(const std::function<bool(std::uint64_t)>& attempt) {
  bool refused = true;
  std::uint64_t granted = 0;
  for (; refused && granted < 1000; ++granted) {
    std::thread([&] { refused = attempt(granted); }).join();
  }
  EXPECT_FALSE(refused);
  EXPECT_GT(granted, 1U);  // It did ask for memory.
}

/// Calls `work()`, refusing the request after `granted`; true when that came.
template <class F>
bool refuse(std::uint64_t granted, F&& work) {
  support::refuse_one_after(granted);
  try {
    work();
  } catch (const std::bad_alloc&) {
  }
  return !support::stop_refusing();
}

TEST(Refused, AChildThatAGroupCannotTakeDoesNotRun) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    bool ran = false;
    bool made = false;
    bool refused = false;
    auto child = [](bool& flag) -> Coroutine<> {
      flag = true;
      co_return;
    };
    auto body = [&]() -> Coroutine<> {
      co_await with(TaskGroup{}, [&](TaskGroup& group) -> Coroutine<> {
        refused = refuse(granted, [&] {
          group.create_task(child(ran));
          made = true;
        });
        co_return;
      });
    };
    loop.run_until_complete(body());
    EXPECT_EQ(ran, made) << granted;
    return refused;
  });
}

TEST(Refused, AWaitLetsGoOfItsFutures) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    Future<> future = loop.create_future<>();
    bool refused = false;
    auto body = [&]() -> Coroutine<> {
      std::vector<Future<>> futures{future};
      support::refuse_one_after(granted);
      try {
        co_await wait(std::move(futures), {.timeout = 1ms});
      } catch (const std::bad_alloc&) {
      }
      refused = !support::stop_refusing();
    };
    loop.run_until_complete(body());
    EXPECT_EQ(detail::Access::state(future).reference_count(), 1U) << granted;
    return refused;
  });
}

TEST(Refused, AGatherLetsGoOfItsFutures) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    Future<> future = loop.create_future<>();
    const bool refused = refuse(granted, [&] { auto both = gather(future, future); });
    EXPECT_EQ(detail::Access::state(future).reference_count(), 1U) << granted;
    return refused;
  });
}

TEST(Refused, AShieldLetsGoOfItsFuture) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    Future<> future = loop.create_future<>();
    const bool refused = refuse(granted, [&] { auto outer = shield(future); });
    if (!refused) return false;
    EXPECT_EQ(detail::Access::state(future).reference_count(), 1U) << granted;
    return true;
  });
}

TEST(Refused, AsCompletedLetsGoOfItsFutures) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    Future<> future = loop.create_future<>();
    bool refused = false;
    auto body = [&]() -> Coroutine<> {
      std::vector<Future<>> futures{future};
      refused = refuse(granted, [&] { auto each = as_completed(futures, {.timeout = 1h}); });
      co_return;
    };
    loop.run_until_complete(body());
    EXPECT_EQ(detail::Access::state(future).reference_count(), 1U) << granted;
    return refused;
  });
}

TEST(Refused, ATimerLetsGoOfItsCallback) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    auto held = std::make_shared<int>(1);
    const bool refused = refuse(granted, [&] { loop.call_later(1h, [held] {}).cancel(); });
    EXPECT_EQ(held.use_count(), 1) << granted;
    return refused;
  });
}

TEST(Refused, AReaderLeavesNothingBehind) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  for_each_refusal([&](std::uint64_t granted) {
    auto loop = new_event_loop();
    bool added = false;
    const bool refused = refuse(granted, [&] {
      try {
        loop->add_reader(ends[0], [] {});
        added = true;
      } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), ENOMEM);
      }
    });
    EXPECT_EQ(loop->remove_reader(ends[0]), added) << granted;
    loop->close();
    return refused;
  });
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Refused, ATaskThatCannotBeMadeLetsGoOfItsCallable) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for_each_refusal([](std::uint64_t granted) {
    testing::SimLoop loop;
    auto held = std::make_shared<int>(1);
    bool made = false;
    const bool refused = refuse(granted, [&] {
      auto task = loop.create_task([held]() -> Coroutine<> { co_return; });
      made = true;
    });
    EXPECT_EQ(all_tasks(loop).size(), made ? 1U : 0U) << granted;
    loop.run_until_idle();
    EXPECT_EQ(held.use_count(), 1) << granted;
    return refused;
  });
}

// Threads of a pool -------------------------------------------------------------------------

TEST(WithoutMemory, APoolWithAStuckJobIsLeft) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto entered = std::make_shared<std::latch>(1);
  auto may_end = std::make_shared<std::latch>(1);
  ConcurrentFuture<> ended;
  {
    ThreadPoolExecutor pool{{.max_workers = 1, .thread_name_prefix = "a name that needs memory"}};
    static_cast<void>(pool.submit([entered, may_end] {
      entered->count_down();
      may_end->wait();
    }));
    entered->wait();
    const NoMemory none;

    const ThreadPoolExecutor::Stuck stuck = pool.leave(true);

    EXPECT_TRUE(stuck.threads.empty());  // There was no room for the name.
    ended = pool.ended();
  }  // Does not wait.
  may_end->count_down();
  ended.result();
}

TEST(WithoutMemory, ATaskThatWaitsForAThreadIsCancelled) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto entered = std::make_shared<std::latch>(1);
  auto may_end = std::make_shared<std::latch>(1);
  EventLoop loop;
  auto work = [entered, may_end] {
    entered->count_down();
    may_end->wait();
  };
  auto body = [&]() -> Coroutine<> { co_await to_thread(work); };
  auto task = loop.create_task(body());
  turns(loop, 2);
  entered->wait();

  const auto count = allocations_without_memory([&] { task.cancel(); });

  EXPECT_EQ(count, 0U);
  turns(loop, 3);
  EXPECT_TRUE(task.cancelled());
  may_end->count_down();
  loop.close();
}

TEST(WithoutMemory, ACallThatNoThreadHasBegunIsTakenBack) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto entered = std::make_shared<std::latch>(1);
  auto may_end = std::make_shared<std::latch>(1);
  EventLoop loop;
  ThreadPoolExecutor pool{{.max_workers = 1}};
  auto first = loop.run_in_executor(&pool, [entered, may_end] {
    entered->count_down();
    may_end->wait();
  });
  auto second = loop.run_in_executor(&pool, [] {});
  entered->wait();

  const auto count = allocations_without_memory([&] { second.cancel(); });

  EXPECT_EQ(count, 0U);
  EXPECT_TRUE(second.cancelled());
  may_end->count_down();
  loop.run_until_complete(first);
}

TEST(WithoutMemory, ASlowLookUpIsLoggedWithoutItsName) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const support::Logged logged;
  EventLoop loop;
  loop.set_debug(true);
  loop.slow_callback_duration = Duration::zero();
  loop.service<detail::ResolverService>().set_lookup(
      [](const detail::AddressQuery&) -> std::vector<AddressInfo> {
        support::refuse_one_after(0);  // The text of the message.
        return {};
      });

  const auto found = loop.run_until_complete(loop.getaddrinfo("slow.example", 80));

  EXPECT_TRUE(found.empty());
  EXPECT_TRUE(logged.contains("a name look-up took long"));
}

}  // namespace
}  // namespace aster
