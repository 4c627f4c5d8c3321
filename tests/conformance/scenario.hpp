// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/error.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/task.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// What the conformance tests run on; scenario.py is the same for CPython. A scenario
// notes its events on every kind of loop, and `finish` compares the trace with what
// CPython noted (traces.txt, written by scripts/record_traces).
//
//     TEST_P(Callbacks, RunFirstInFirstOut) {
//       loop->call_soon(notes("a"));
//       loop->call_soon(notes("b"));
//       turns(2);
//       finish("ORD-1");
//     }
//
// A `|` in a trace stands for the beginning of a turn.
namespace aster::conformance {

enum class Kind { sim, epoll, poll, select };
[[nodiscard]] std::string name_of(Kind kind);
inline void PrintTo(Kind kind, std::ostream* out) { *out << name_of(kind); }

/// What the loops of a test run on can be told.
inline constexpr auto tick = std::chrono::seconds(1);

/// A loop on a system of that kind, strictly in asyncio's order, with a clock that
/// stands until it is moved.
class Stage {
 public:
  explicit Stage(Kind kind);

  std::unique_ptr<EventLoop> loop;
  std::function<void(Duration)> advance;
  bool waits = false;  // For what the outside world does: threads, the network.

  /// One turn.
  void turn(bool wait = false);
  int turn_count = 0;
  /// Turns until `is_done()`, moving the clock when nothing is ready; empty, or why
  /// it gave up.
  std::string drive(const std::function<bool()>& is_done);
};

class Scenario : public ::testing::TestWithParam<Kind> {
 public:
  Scenario();
  ~Scenario() override;

  void note(std::string_view text);
  [[nodiscard]] auto notes(std::string text) {
    return [this, text = std::move(text)](auto&&...) { note(text); };
  }
  /// Calls it when the clock shows so many ticks since the start.
  template <class F>
  TimerHandle later(double ticks, F callback) {
    return loop->call_at(at(ticks), std::move(callback));
  }
  [[nodiscard]] TimePoint at(double ticks) const {
    return start_ + std::chrono::duration_cast<Duration>(ticks * tick);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) stage_.turn();
  }
  /// Runs turns until that is true.
  void drive(const std::function<bool()>& is_done);
  /// Runs it as a task until that has ended; its error is noted.
  void run(Coroutine<> coroutine);

  /// Awaits it and notes how that ended; gives no error on.
  template <class A>
  Coroutine<> noted(std::string name, A awaitable) {
    using T = await_result_t<A>;
    std::string text = name;
    try {
      if constexpr (std::is_same_v<T, std::string>) {
        const std::string value = co_await std::move(awaitable);
        text += ":" + value;
      } else if constexpr (std::is_void_v<T>) {
        co_await std::move(awaitable);
      } else {
        static_cast<void>(co_await std::move(awaitable));
      }
    } catch (...) {
      text = name + ":" + name_of(std::current_exception());
    }
    note(text);
  }

  /// The trace must be what CPython recorded under that id.
  void finish(const std::string& id);
  /// The same for a scenario in which aster differs from that CPython on purpose.
  void finish_differently(const std::string& id, const std::string& expected);

  static std::string name_of(const std::exception_ptr& error);
  template <class T>
  static std::string outcome_of(const Future<T>& future) {
    if (!future.done()) return "pending";
    if (future.cancelled()) return "cancelled";
    if (future.exception() != nullptr) return name_of(future.exception());
    if constexpr (std::is_same_v<T, std::string>) {
      return future.result();
    } else {
      return "done";
    }
  }

  Stage stage_;
  EventLoop* loop;
  std::function<void(const ExceptionContext&)> handled;
  bool mark_turns = true;

 private:
  TimePoint start_;
  std::string trace_;
  int last_turn_ = 0;
};

/// The lines "key: text" of a recorded file.
[[nodiscard]] const std::vector<std::pair<std::string, std::string>>& recorded(
    const std::string& file);

/// Compares each line of `<name>.txt` with what `trace_of(key)` gives; where
/// `<name>_differ.txt` has the line too, aster differs on purpose and must give that
/// one. How many lines there are.
std::size_t expect_as_recorded(const std::string& name,
                               const std::function<std::string(const std::string& key)>& trace_of);

#define ASTER_CONFORMANCE(suite)                                                                \
  INSTANTIATE_TEST_SUITE_P(Loops, suite,                                                        \
                           ::testing::Values(Kind::sim, Kind::epoll, Kind::poll, Kind::select), \
                           [](const auto& loop_kind) { return name_of(loop_kind.param); })

}  // namespace aster::conformance
