// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/immediately.hpp>
#include <aster/task/wait_list.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

namespace aster::inline v0 {

/// A place where a fixed number of tasks wait for one another, again and again; the
/// counterpart of asyncio.Barrier.
///
///     Coroutine<> worker(Barrier& step, Grid& grid, int part) {
///       for (int i = 0; i < 100; ++i) {
///         compute(grid, part);
///         co_await step.wait();   // Nobody goes on before all are here.
///       }
///     }
///
/// Tasks of the next round wait while those of the last one leave. A task that is
/// cancelled while it waits is counted no more; the barrier stays whole. Bound to the
/// first loop that a task waits on (RuntimeError on another). Thread rule: that loop's
/// thread. Must outlive its waiters (asserted).
class ASTER_API Barrier {
 public:
  /// For that many tasks; ValueError when that is less than one.
  explicit Barrier(std::ptrdiff_t parties);
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;
  ~Barrier();

  /// Waits until `parties()` tasks wait, and gives this one's number among them: each of
  /// 0 to `parties() - 1` once, in the order of their arrival. The last one goes on at once, the
  /// others in a later turn. BrokenBarrierError when the barrier is or gets broken, or is reset.
  [[nodiscard]] Coroutine<std::ptrdiff_t> wait();

  /// Makes the barrier as new, also a broken one: the tasks that wait for the others get
  /// BrokenBarrierError. Awaited as in asyncio, but does not suspend.
  [[nodiscard]] Coroutine<> reset();
  /// Breaks the barrier: who waits or comes gets BrokenBarrierError until a `reset`.
  /// Awaited as in asyncio, but does not suspend.
  [[nodiscard]] Coroutine<> abort();

  /// How many tasks it takes.
  [[nodiscard]] std::ptrdiff_t parties() const noexcept { return parties_; }
  /// How many wait for the others; 0 while those of a full round leave.
  [[nodiscard]] std::ptrdiff_t n_waiting() const noexcept {
    return state_ == State::filling ? count_ : 0;
  }
  /// Whether it is broken.
  [[nodiscard]] bool broken() const noexcept { return state_ == State::broken; }

  /// For `with(barrier, body)`: waits; the body may take the number.
  [[nodiscard]] Coroutine<std::ptrdiff_t> enter() { return wait(); }
  /// For `with`: nothing.
  [[nodiscard]] detail::Immediately<bool> exit(const std::exception_ptr&) noexcept {
    return detail::Immediately<bool>(false);
  }

  /// The barrier in one line for people: "<Barrier [filling, waiters:1/3]>".
  friend ASTER_API std::string to_string(const Barrier& barrier);

 private:
  enum class State : std::uint8_t { filling, draining, resetting, broken };
  class Party;

  std::ptrdiff_t parties_;
  std::ptrdiff_t count_ = 0;  // Tasks inside: they wait for the others, or leave.
  State state_ = State::filling;
  detail::IntrusiveList<Party> inside_;  // In the order of their arrival; `count_` many.
  WaitList waiters_;                     // Those inside, and those who wait to be let in.
};

}  // namespace aster::inline v0
