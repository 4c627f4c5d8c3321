// SPDX-License-Identifier: MIT
//
// Five tasks wait. So many permits, notifications or items come, and a subset of the
// tasks is cancelled: before the wake-ups, after them and before the tasks step, between
// them, or after the steps. Whatever the window, who is live gets what came, in order,
// and what came is what was got and what is left.
#include <aster/loop/sleep.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "sync/sync_fixture.hpp"

namespace aster {
namespace {

constexpr int waiter_count = 5;

enum class Window { before_the_wake_up, after_the_wake_up, among_the_wake_ups, after_the_step };

// Something that five tasks wait for.
class Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  /// Runs in a task before the others come.
  virtual Coroutine<> prepare() { co_return; }
  /// Waits, and gives how often it got something: 1.
  virtual Coroutine<> wait() = 0;
  /// One more comes; called in a task.
  virtual Coroutine<> give() = 0;
  /// How many are left that nobody got; -1 when that has no number.
  virtual int left() = 0;
  /// How many tasks so many gifts serve.
  [[nodiscard]] virtual int served_by(int gifts) const { return gifts; }
};

class LockObject final : public Object {
  Coroutine<> prepare() override { co_await lock_.acquire(); }
  Coroutine<> wait() override { auto held = co_await lock_.scoped(); }
  // Only the holder releases; each task that gets it does the same.
  Coroutine<> give() override {
    if (!given_) lock_.release();
    given_ = true;
    co_return;
  }
  int left() override { return lock_.locked() ? 0 : -1; }
  [[nodiscard]] int served_by(int gifts) const override { return gifts > 0 ? waiter_count : 0; }
  Lock lock_;
  bool given_ = false;
};

class SemaphoreObject final : public Object {
  Coroutine<> wait() override { co_await semaphore_.acquire(); }
  Coroutine<> give() override {
    semaphore_.release();
    co_return;
  }
  int left() override {
    int count = 0;
    for (; !semaphore_.locked(); ++count) static_cast<void>(semaphore_.acquire().await_ready());
    return count;
  }
  Semaphore semaphore_{0};
};

class EventObject final : public Object {
  Coroutine<> wait() override { co_await event_.wait(); }
  Coroutine<> give() override {
    event_.set();
    co_return;
  }
  int left() override { return -1; }
  [[nodiscard]] int served_by(int gifts) const override { return gifts > 0 ? waiter_count : 0; }
  Event event_;
};

class ConditionObject final : public Object {
  Coroutine<> wait() override {
    auto held = co_await condition_.scoped();
    co_await condition_.wait();
  }
  Coroutine<> give() override {
    auto held = co_await condition_.scoped();
    condition_.notify(1);
  }
  int left() override { return -1; }  // A notification that nobody waits for is over.
  Condition condition_;
};

class GettersObject final : public Object {
  Coroutine<> wait() override {
    const int item = co_await queue_.get();
    EXPECT_EQ(item, next_got_++);
  }
  Coroutine<> give() override { co_await queue_.put(next_put_++); }
  int left() override { return static_cast<int>(queue_.qsize()); }
  Queue<int> queue_;
  int next_put_ = 0;
  int next_got_ = 0;
};

class PuttersObject final : public Object {
  Coroutine<> prepare() override {
    for (int i = 0; i < 9; ++i) queue_.put_nowait(i);
    co_return;
  }
  Coroutine<> wait() override { co_await queue_.put(0); }
  Coroutine<> give() override {
    static_cast<void>(queue_.get_nowait());
    co_return;
  }
  int left() override { return 9 - static_cast<int>(queue_.qsize()); }
  Queue<int> queue_{9};
};

std::unique_ptr<Object> make_object(const std::string& kind) {
  if (kind == "Lock") return std::make_unique<LockObject>();
  if (kind == "Semaphore") return std::make_unique<SemaphoreObject>();
  if (kind == "Event") return std::make_unique<EventObject>();
  if (kind == "Condition") return std::make_unique<ConditionObject>();
  if (kind == "Getters") return std::make_unique<GettersObject>();
  return std::make_unique<PuttersObject>();
}

struct Case {
  unsigned cancelled = 0;  // A bit for each waiter.
  int gifts = 0;
  Window window = Window::before_the_wake_up;
};

class Windows : public ::testing::TestWithParam<std::string> {
 protected:
  static void run(const std::string& kind, const Case& c);
};

void Windows::run(const std::string& kind, const Case& c) {
  auto object = make_object(kind);
  testing::SimLoop loop;
  std::string log;
  loop.run_until_complete(object->prepare());
  auto waiting = [&](char name) -> Coroutine<> {
    co_await object->wait();
    log += name;
  };
  std::vector<Task<>> tasks;
  for (int i = 0; i < waiter_count; ++i) {
    tasks.push_back(loop.create_task({}, waiting, static_cast<char>('a' + i)));
  }
  loop.run_until_idle();

  const auto cancel = [&](int i) {
    if ((c.cancelled >> i & 1U) != 0) tasks[static_cast<std::size_t>(i)].cancel();
  };
  auto happen = [&]() -> Coroutine<> {
    if (c.window == Window::before_the_wake_up) {
      for (int i = 0; i < waiter_count; ++i) cancel(i);
    }
    for (int i = 0; i < waiter_count; ++i) {
      if (i < c.gifts) co_await object->give();
      if (c.window == Window::among_the_wake_ups) cancel(i);
    }
    if (c.window == Window::after_the_wake_up) {
      for (int i = 0; i < waiter_count; ++i) cancel(i);
    }
  };
  loop.run_until_complete(happen());
  loop.run_until_idle();
  if (c.window == Window::after_the_step) {
    for (int i = 0; i < waiter_count; ++i) cancel(i);
    loop.run_until_idle();
  }

  const bool is_late = c.window == Window::after_the_step;
  std::string expected;
  const auto served = static_cast<std::size_t>(object->served_by(c.gifts));
  for (int i = 0; i < waiter_count && expected.size() < served; ++i) {
    if (is_late || (c.cancelled >> i & 1U) == 0) expected += static_cast<char>('a' + i);
  }
  // A notification reaches only those who wait when it comes, and passes on to all of
  // those; each other gift waits for who comes.
  EXPECT_EQ(log, expected);
  if (const int left = object->left(); left >= 0 && kind != "Lock") {
    EXPECT_EQ(left + static_cast<int>(log.size()), c.gifts);
  }
  if (kind == "Lock") {
    EXPECT_EQ(object->left(), c.gifts > 0 ? -1 : 0);
  }
  for (Task<>& task : tasks) task.cancel();
  loop.run_until_idle();
}

// SYN-3, SYN-10, SYN-17, Q-8, CAN-10, CAN-11
TEST_P(Windows, WhatCameIsWhatTheLiveTasksGotInOrderAndWhatIsLeft) {
  for (const Window window : {Window::before_the_wake_up, Window::after_the_wake_up,
                              Window::among_the_wake_ups, Window::after_the_step}) {
    for (int gifts = 0; gifts <= waiter_count; ++gifts) {
      for (unsigned cancelled = 0; cancelled < 1U << waiter_count; ++cancelled) {
        SCOPED_TRACE("window " + std::to_string(static_cast<int>(window)) + ", gifts " +
                     std::to_string(gifts) + ", cancelled " + std::to_string(cancelled));
        run(GetParam(), {cancelled, gifts, window});
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Objects, Windows,
                         ::testing::Values("Lock", "Semaphore", "Event", "Condition", "Getters",
                                           "Putters"),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace aster
