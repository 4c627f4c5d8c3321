// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <coroutine>

namespace {

using namespace aster;

/// An awaitable as the page of foreign.hpp shows it: `cancel` resumes.
class Event {
 public:
  explicit Event(Event*& place, int& cancel_count) : place_(place), cancel_count_(cancel_count) {}
  bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    place_ = this;
    handle_ = handle;
  }
  void await_resume() {}
  void cancel() noexcept {
    ++cancel_count_;
    handle_.resume();
  }
  void happen() { handle_.resume(); }

 private:
  Event*& place_;
  int& cancel_count_;
  std::coroutine_handle<> handle_;
};

TEST(ForeignCancel, AnAwaiterIsCancelledOnceHoweverOftenTheTaskIs) {
  auto loop = new_event_loop();
  Event* event = nullptr;
  int cancel_count = 0;
  auto task = loop->create_task([&]() -> Coroutine<> { co_await Event(event, cancel_count); });
  loop->run_once();

  task.cancel();
  task.cancel();
  loop->run_once();

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(cancel_count, 1);
  loop->close();
}

TEST(ForeignCancel, AnAwaiterThatHasResumedIsNotCancelled) {
  auto loop = new_event_loop();
  Event* event = nullptr;
  int cancel_count = 0;
  auto task = loop->create_task([&]() -> Coroutine<> { co_await Event(event, cancel_count); });
  loop->run_once();

  event->happen();
  task.cancel();
  loop->run_once();

  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(cancel_count, 0);
  loop->close();
}

}  // namespace
