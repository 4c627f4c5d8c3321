// SPDX-License-Identifier: MIT
//
// What becomes of permits, notifications and items when tasks are cancelled, come and go
// in the same turn. Each line of handovers.txt is an object, what happens to it and what
// CPython made of it; handovers.py says how to read it, and ran it.
#include <aster/coro/with.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/sync/barrier.hpp>
#include <aster/sync/condition.hpp>
#include <aster/sync/error.hpp>
#include <aster/sync/event.hpp>
#include <aster/sync/lock.hpp>
#include <aster/sync/queue.hpp>
#include <aster/sync/semaphore.hpp>

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;

class Handovers : public ::testing::TestWithParam<Kind> {};
ASTER_CONFORMANCE(Handovers);

// One object and the tasks that use it.
class Handover {
 public:
  explicit Handover(Stage& stage) : stage_(stage), loop_(*stage.loop) {}
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;
  virtual ~Handover() = default;

  std::string run(const std::string& actions) {
    prepare();
    turns(2);
    for (const char name : first_) come(name);
    turns(3);
    for (const char letter : actions) {
      if (letter == '|') {
        turns(1);
      } else if (letter >= 'a' && letter <= 'c') {
        tasks_.at(std::string(1, static_cast<char>(letter - 'a' + 'A'))).cancel();
      } else if (letter == 'n') {
        come('N');
      } else {
        act(letter);
      }
    }
    turns(12);
    mark_turns_ = false;
    note("~");
    for (const auto& name : order_) tasks_.at(name).cancel();
    turns(4);
    start("rest", rest());
    turns(4);
    return trace_;
  }

 protected:
  virtual void prepare() {}
  virtual Coroutine<> use(std::string name) = 0;
  virtual void act(char letter) = 0;
  virtual Coroutine<> rest() = 0;

  void note(const std::string& text) {
    if (!trace_.empty()) {
      if (mark_turns_) {
        for (int i = last_turn_; i < stage_.turn_count; ++i) trace_ += " |";
      }
      trace_ += " ";
    }
    last_turn_ = stage_.turn_count;
    trace_ += text;
  }
  void start(const std::string& name, Coroutine<> coroutine) {
    tasks_.insert_or_assign(name, loop_.create_task(std::move(coroutine)));
    order_.push_back(name);
  }
  void come(char name) { start(std::string(1, name), guarded(std::string(1, name))); }
  void turns(int count) {
    for (int i = 0; i < count; ++i) stage_.turn();
  }

  std::string first_ = "ABC";

 private:
  Coroutine<> guarded(std::string name) {
    try {
      co_await use(name);
    } catch (...) {
      note(name + ":" + Scenario::name_of(std::current_exception()));
    }
  }

  Stage& stage_;
  EventLoop& loop_;
  std::map<std::string, AnyTask> tasks_;
  std::vector<std::string> order_;
  std::string trace_;
  int last_turn_ = 0;
  bool mark_turns_ = true;
};

class OfLock final : public Handover {
  using Handover::Handover;
  void prepare() override { start("H", hold()); }
  Coroutine<> hold() { co_await lock_.acquire(); }
  Coroutine<> use(std::string name) override {
    auto held = co_await lock_.scoped();
    note(name);
    co_await sleep(0s);
  }
  void act(char) override {
    if (lock_.locked()) lock_.release();
  }
  Coroutine<> rest() override {
    note(lock_.locked() ? "locked" : "free");
    co_return;
  }
  Lock lock_;
};

class OfSemaphore final : public Handover {
  using Handover::Handover;
  Coroutine<> use(std::string name) override {
    co_await semaphore_.acquire();
    note(name);
  }
  void act(char) override { semaphore_.release(); }
  Coroutine<> rest() override {
    int count = 0;
    for (; !semaphore_.locked(); ++count) co_await semaphore_.acquire();
    note(std::to_string(count));
  }
  Semaphore semaphore_{0};
};

class OfEvent final : public Handover {
  using Handover::Handover;
  Coroutine<> use(std::string name) override {
    co_await event_.wait();
    note(name);
  }
  void act(char letter) override {
    if (letter == 's') {
      event_.set();
    } else {
      event_.clear();
    }
  }
  Coroutine<> rest() override {
    note(event_.is_set() ? "set" : "unset");
    co_return;
  }
  Event event_;
};

class OfCondition final : public Handover {
  using Handover::Handover;
  Coroutine<> use(std::string name) override {
    auto held = co_await condition_.scoped();
    std::exception_ptr error;
    try {
      co_await condition_.wait();
    } catch (...) {
      error = std::current_exception();
    }
    note(name + (condition_.locked() ? "" : ":unlocked"));
    if (error != nullptr) std::rethrow_exception(error);
  }
  Coroutine<> notify(char name, int count, int turns) {
    auto held = co_await condition_.scoped();
    note(std::string(1, name));
    if (count == 0) {
      condition_.notify_all();
    } else {
      condition_.notify(count);
    }
    for (int i = 0; i < turns; ++i) co_await sleep(0s);
  }
  void act(char letter) override {
    const int count = letter == 'i' ? 1 : letter == 'h' ? 2 : 0;
    start(std::string(1, letter), notify(letter, count, letter == 'h' ? 2 : 0));
  }
  Coroutine<> rest() override {
    note(condition_.locked() ? "locked" : "free");
    co_return;
  }
  Condition condition_;
};

class OfQueue : public Handover {
 public:
  OfQueue(Stage& stage, int maxsize) : Handover(stage), queue_(maxsize) {}

 protected:
  void act(char letter) override {
    try {
      if (letter == 's' || letter == 'S') {
        queue_.shutdown(letter == 'S');
      } else if (letter == 'g' || letter == 'G') {
        note("got" + queue_.get_nowait());
      } else {
        queue_.put_nowait(std::string(1, letter));
      }
    } catch (...) {
      note(std::string(1, letter) + ":" + Scenario::name_of(std::current_exception()));
    }
  }
  Coroutine<> rest() override {
    while (!queue_.empty()) note(queue_.get_nowait());
    note("empty");
    co_return;
  }
  Queue<std::string> queue_;
};

class OfGetters final : public OfQueue {
 public:
  explicit OfGetters(Stage& stage) : OfQueue(stage, 0) {}

 private:
  Coroutine<> use(std::string name) override {
    const std::string item = co_await queue_.get();
    note(name + item);
  }
};

class OfPutters final : public OfQueue {
 public:
  explicit OfPutters(Stage& stage) : OfQueue(stage, 1) {}

 private:
  void prepare() override { queue_.put_nowait("0"); }
  Coroutine<> use(std::string name) override {
    co_await queue_.put(name);
    note(name);
  }
};

class OfBarrier final : public Handover {
 public:
  explicit OfBarrier(Stage& stage) : Handover(stage) { first_ = "AB"; }

 private:
  Coroutine<> use(std::string name) override {
    const auto number = co_await barrier_.wait();
    note(name + std::to_string(number));
  }
  void act(char letter) override {
    if (letter == 'd' || letter == 'e') {
      come(static_cast<char>(letter - 'a' + 'A'));
    } else {
      start(std::string(1, letter), letter == 'x' ? barrier_.abort() : barrier_.reset());
    }
  }
  Coroutine<> rest() override {
    note(barrier_.broken() ? "broken" : std::to_string(barrier_.n_waiting()));
    co_return;
  }
  Barrier barrier_{3};
};

std::unique_ptr<Handover> make_handover(char kind, Stage& stage) {
  switch (kind) {
    case 'L':
      return std::make_unique<OfLock>(stage);
    case 'S':
      return std::make_unique<OfSemaphore>(stage);
    case 'E':
      return std::make_unique<OfEvent>(stage);
    case 'C':
      return std::make_unique<OfCondition>(stage);
    case 'G':
      return std::make_unique<OfGetters>(stage);
    case 'P':
      return std::make_unique<OfPutters>(stage);
    case 'B':
      return std::make_unique<OfBarrier>(stage);
    default:
      return nullptr;
  }
}

TEST_P(Handovers, EndAsInCPython) {  // SYN-10 and SYN-21 differ
  const std::size_t count = expect_as_recorded("handovers", [](const std::string& key) {
    Stage stage(GetParam());
    stage.loop->set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    const auto handover = make_handover(key.front(), stage);
    std::string trace = handover != nullptr ? handover->run(key.substr(2)) : "no such kind";
    stage.loop->close();
    return trace;
  });
  EXPECT_GT(count, 1500U);
}

}  // namespace
}  // namespace aster::conformance
