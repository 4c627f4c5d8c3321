// SPDX-License-Identifier: MIT
//
// Nothing that is always ready keeps timers and descriptors waiting: they are noticed
// after 61 turns or 50 µs of work at the latest. Turns are counted, work is a scripted
// count of cycles, and the clock stands until a test moves it; so no time is measured.
#include "base/cycles.hpp"
#include "base/sys.hpp"

#include <aster/aster.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/still_clock.hpp"
#include "net/net_fixture.hpp"
#include "support/backends.hpp"

namespace aster {
namespace {

using namespace std::chrono_literals;
using net_tests::connected_pair;
using net_tests::Pair;

constexpr int turns_max = 61;
constexpr std::uint64_t work_max = 100'000;  // Cycles that stand for 50 µs at 2 GHz.

/// Counts how often it is polled.
class CountingBackend final : public conformance::StillClock {
 public:
  using StillClock::StillClock;
  void poll(Duration timeout) noexcept override {
    ++poll_count;
    StillClock::poll(timeout);
  }
  int poll_count = 0;
};

/// A loop on a real back end with a scripted clock and cycle counter.
class Fair {
 public:
  explicit Fair(Backend kind) {
    auto made = std::make_unique<CountingBackend>(make_backend(kind));
    backend = made.get();
    loop = std::make_unique<EventLoop>(std::move(made), LoopOptions());
#if defined(ASTER_FAULT_INJECTION)
    work = 0;
    detail::sys::scripted_cycles().store([]() noexcept { return work; });
#endif
  }
  Fair(const Fair&) = delete;
  Fair& operator=(const Fair&) = delete;
  ~Fair() {
#if defined(ASTER_FAULT_INJECTION)
    detail::sys::scripted_cycles().store(nullptr);
#endif
  }

  void turns(int count) {
    for (int i = 0; i < count; ++i) loop->run_once();
  }
  /// How many turns pass until `flag`, the one that sets it included.
  int turns_until(const bool& flag) {
    int count = 0;
    for (; !flag && count < 10 * turns_max; ++count) loop->run_once();
    return count;
  }

  static inline std::uint64_t work = 0;  // Cycles since the beginning.
  std::unique_ptr<EventLoop> loop;
  CountingBackend* backend;
};

Coroutine<> give_way_for_ever() {
  for (;;) co_await sleep(0s);
}

/// Something that always has work for a loop.
class Hog {
 public:
  Hog() = default;
  Hog(const Hog&) = delete;
  Hog& operator=(const Hog&) = delete;
  virtual ~Hog() = default;
  /// Called before each measurement.
  virtual void feed() {}
};

class TwoTasks final : public Hog {
 public:
  explicit TwoTasks(EventLoop& loop) {
    tasks_.push_back(loop.create_task(give_way_for_ever()));
    tasks_.push_back(loop.create_task(give_way_for_ever()));
  }
  ~TwoTasks() override {
    for (Task<>& task : tasks_) task.cancel();
  }

 private:
  std::vector<Task<>> tasks_;
};

class ReadableSocket final : public Hog {
 public:
  explicit ReadableSocket(EventLoop& loop) : pair_(loop.run_until_complete(connected_pair())) {
    feed();
    task_ = loop.create_task(read());
  }
  ~ReadableSocket() override {
    EXPECT_FALSE(task_.done());
    EXPECT_GT(received_, 0U);
    task_.cancel();
  }
  void feed() override {
    if (pair_.client.writer.get_write_buffer_size() == 0) {
      pair_.client.writer.write(std::string(100'000, 'x'));
    }
  }

 private:
  Coroutine<> read() {
    char bytes[16];
    for (;;) received_ += co_await pair_.server.reader.read_into(bytes);
  }

  Pair pair_;
  Task<> task_;
  std::size_t received_ = 0;
};

class PostingThread final : public Hog {
 public:
  explicit PostingThread(EventLoop& loop)
      : loop_(loop), thread_([this] {
          for (int i = 0; i < 3'000'000 && !is_over_; ++i) {
            loop_.call_soon_threadsafe([this] { ++run_count_; });
          }
        }) {
    while (run_count_ == 0) loop_.run_once();
  }
  ~PostingThread() override {
    is_over_ = true;
    thread_.join();
    loop_.run_once();  // What is left of its posts refers to this.
  }

 private:
  EventLoop& loop_;
  std::atomic<bool> is_over_{false};
  int run_count_ = 0;
  std::thread thread_;
};

enum class Kind { two_tasks, readable_socket, posting_thread };
void PrintTo(Kind kind, std::ostream* out) {
  static constexpr const char* names[] = {"two_tasks", "readable_socket", "posting_thread"};
  *out << names[static_cast<std::size_t>(kind)];
}

class Fairness : public ::testing::TestWithParam<std::tuple<Backend, Kind>> {
 protected:
  Fairness() : fair(std::get<0>(GetParam())) {
    switch (std::get<1>(GetParam())) {
      case Kind::two_tasks:
        hog = std::make_unique<TwoTasks>(*fair.loop);
        break;
      case Kind::readable_socket:
        hog = std::make_unique<ReadableSocket>(*fair.loop);
        break;
      case Kind::posting_thread:
        hog = std::make_unique<PostingThread>(*fair.loop);
        break;
    }
  }
  ~Fairness() override {
    hog.reset();
    fair.turns(3);
    for (AnyTask& task : all_tasks(*fair.loop)) task.cancel();
    fair.turns(3);
    fair.loop->close();
  }

  /// The numbers of turns to be tried between the last poll and the event. A thread
  /// posts when it likes, and much: there a few are as good as all.
  [[nodiscard]] int stride() const {
    return std::get<1>(GetParam()) == Kind::posting_thread ? 10 : 1;
  }

  Fair fair;
  std::unique_ptr<Hog> hog;
};

TEST_P(Fairness, ATimerRunsAtMost61TurnsAfterItIsDue) {  // LOOP-2
  int most = 0;
  for (int before = 0; before <= turns_max; before += stride()) {
    hog->feed();
    bool ran = false;
    fair.loop->call_later(10ms, [&] { ran = true; });
    fair.turns(before);
    ASSERT_FALSE(ran);

    fair.backend->advance(10ms);

    most = std::max(most, fair.turns_until(ran));
    ASSERT_TRUE(ran);
  }
  EXPECT_LE(most, turns_max);
  if (detail::sys::has_fault_injection && std::get<1>(GetParam()) == Kind::two_tasks) {
    EXPECT_EQ(most, turns_max);  // The worst case was among them.
  }
}

Coroutine<> read_once(Pair& pair, bool& was_read) {
  char bytes[16];
  const std::size_t count = co_await pair.server.reader.read_into(bytes);
  was_read = count > 0;
}

TEST_P(Fairness, AnotherSocketIsReadAtMost61TurnsAfterItIsReadable) {  // LOOP-2
  std::optional<Pair> pair;
  auto connect = [&]() -> Coroutine<> {
    Pair made = co_await connected_pair();
    pair.emplace(std::move(made));
  };
  auto connecting = fair.loop->create_task(connect());
  for (int i = 0; i < 100'000 && !connecting.done(); ++i) {
    hog->feed();
    fair.loop->run_once();
  }
  ASSERT_TRUE(connecting.done());
  int most = 0;
  for (int before = 0; before <= turns_max; before += stride()) {
    hog->feed();
    bool was_read = false;
    auto reading = fair.loop->create_task(read_once(*pair, was_read));
    fair.turns(before + 1);
    ASSERT_FALSE(was_read);

    pair->client.writer.write("x");

    most = std::max(most, fair.turns_until(was_read));
    ASSERT_TRUE(was_read);
  }
  EXPECT_LE(most, turns_max);
}

std::string fairness_name(const ::testing::TestParamInfo<std::tuple<Backend, Kind>>& info) {
  return support::backend_name({std::get<0>(info.param), 0}) + "_" +
         ::testing::PrintToString(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    Backends, Fairness,
    ::testing::Combine(::testing::Values(Backend::epoll, Backend::poll, Backend::select),
                       ::testing::Values(Kind::two_tasks, Kind::readable_socket,
                                         Kind::posting_thread)),
    fairness_name);

// The bound on work ---------------------------------------------------------------------

class FairWork : public ::testing::TestWithParam<Backend> {
 protected:
  FairWork() : fair(GetParam()) {}
  ~FairWork() override {
    is_over = true;
    fair.turns(3);
    fair.loop->close();
  }
  void SetUp() override {
    if (!detail::sys::has_fault_injection) GTEST_SKIP() << "cycles cannot be scripted";
  }

  /// A callback in every turn that takes so many cycles.
  void work_each_turn(std::uint64_t cycles) {
    Fair::work += cycles;
    if (!is_over) fair.loop->call_soon([this, cycles] { work_each_turn(cycles); });
  }

  Fair fair;
  bool is_over = false;
};

TEST_P(FairWork, ATimerRunsAfter50MicrosecondsOfWorkAtTheLatest) {  // LOOP-2
  for (const std::uint64_t each : {1'700U, 5'000U, 30'000U, 99'999U, 100'000U, 1'000'000U}) {
    is_over = false;
    work_each_turn(each);
    for (int before = 0; before <= turns_max; ++before) {
      bool ran = false;
      fair.loop->call_later(10ms, [&] { ran = true; });
      fair.turns(before);

      fair.backend->advance(10ms);
      const std::uint64_t due_at = Fair::work;  // The end of a turn.
      std::uint64_t last_turn_at = due_at;
      int count = 0;
      for (; !ran && count <= turns_max; ++count) {
        last_turn_at = Fair::work;
        fair.loop->run_once();
      }

      EXPECT_LE(count, turns_max);
      // A turn cannot be divided: the one that exceeds the bound is the last before.
      EXPECT_LT(last_turn_at - due_at, work_max + each) << each;
    }
    is_over = true;
    fair.turns(2);
  }
}

TEST_P(FairWork, LittleWorkAsksTheSystemEvery61TurnsOnly) {
  fair.loop->call_later(1h, [] {});
  work_each_turn(1);
  fair.turns(turns_max);
  const int before = fair.backend->poll_count;

  fair.turns(10 * turns_max);

  EXPECT_EQ(fair.backend->poll_count - before, 10);
}

TEST_P(FairWork, AWaitIsNoWork) {
  fair.loop->call_later(1h, [] {});
  fair.turns(1);
  Fair::work += 10 * work_max;  // While it waits.
  fair.turns(1);                // Nothing is ready: it asks.
  work_each_turn(1);
  const int before = fair.backend->poll_count;

  fair.turns(turns_max - 1);

  EXPECT_EQ(fair.backend->poll_count - before, 0);
}

ASTER_ON_EACH_BACKEND(FairWork);

}  // namespace
}  // namespace aster
