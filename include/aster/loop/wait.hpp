// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>
#include <aster/task/child_watch.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>
#include <aster/task/wait_list.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <source_location>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// When `wait` returns.
enum class ReturnWhen : std::uint8_t {
  FIRST_COMPLETED,  ///< One is done.
  FIRST_EXCEPTION,  ///< One has failed (not: was cancelled), or all are done.
  ALL_COMPLETED,    ///< All are done.
};
/// As in asyncio, without the enumeration's name.
inline constexpr ReturnWhen FIRST_COMPLETED = ReturnWhen::FIRST_COMPLETED;
/// As in asyncio, without the enumeration's name.
inline constexpr ReturnWhen FIRST_EXCEPTION = ReturnWhen::FIRST_EXCEPTION;
/// As in asyncio, without the enumeration's name.
inline constexpr ReturnWhen ALL_COMPLETED = ReturnWhen::ALL_COMPLETED;

/// Options of `wait`.
struct WaitOptions {
  /// How long at most; no error when it is over, only tasks still pending.
  Delay timeout = Delay::infinite();
  ReturnWhen return_when = ReturnWhen::ALL_COMPLETED;
};

/// What `wait` gives: both in the order of the input.
template <class T, class Handle = Task<T>>
struct WaitResult {
  WaitResult() = default;
  std::vector<Handle> done;
  std::vector<Handle> pending;
};

namespace detail {

/// A wait for several futures without their types.
class ASTER_API WaitState final : public ChildOwner {
 public:
  WaitState(Scheduler& scheduler, ReturnWhen return_when)
      : scheduler_(scheduler), return_when_(return_when) {}
  WaitState(const WaitState&) = delete;
  WaitState& operator=(const WaitState&) = delete;

  void watch(FutureBase& future) {
    children_.emplace_back(*this, StateRef<FutureBase>::share(future));
  }
  /// Waits as told; stops watching on every way out.
  static Coroutine<> run(OwnerRef<WaitState> state, Duration timeout);

  void child_done(ChildWatch& watch) override;
  void retain() noexcept override { ++references_; }
  void release() noexcept override {
    if (--references_ == 0) delete this;
  }

 private:
  ~WaitState() = default;

  Scheduler& scheduler_;
  ReturnWhen return_when_;
  std::uint32_t references_ = 1;
  std::size_t pending_count_ = 0;
  std::deque<ChildWatch> children_;
  Future<> waiter_;
};

template <class Handle>
using HandleValue = typename Handle::value_type;

template <class Handle>
Coroutine<WaitResult<HandleValue<Handle>, Handle>> wait(std::vector<Handle> futures,
                                                        Duration timeout, ReturnWhen when) {
  OwnerRef<WaitState> state(new WaitState(Access::state(futures.front()).scheduler(), when));
  for (const Handle& future : futures) state->watch(Access::state(future));
  co_await WaitState::run(std::move(state), timeout);
  WaitResult<HandleValue<Handle>, Handle> result;
  for (Handle& future : futures) {
    (future.done() ? result.done : result.pending).push_back(std::move(future));
  }
  co_return result;
}

/// Futures that are handed out as they get done.
class ASTER_API CompletionState final : public ChildOwner {
 public:
  explicit CompletionState(Scheduler& scheduler);
  CompletionState(const CompletionState&) = delete;
  CompletionState& operator=(const CompletionState&) = delete;

  void watch(FutureBase& future);
  void start(Duration timeout);
  /// No more is wanted: nothing is left to be given out.
  void stop() noexcept;
  /// The next one that is done, null when all were given out; TimeoutError when
  /// the time is over.
  Coroutine<StateRef<FutureBase>> next();

  void child_done(ChildWatch& watch) override;
  void retain() noexcept override { ++references_; }
  void release() noexcept override {
    if (--references_ == 0) delete this;
  }

 private:
  class Deadline;
  struct Child final : ChildWatch, ListNode {
    using ChildWatch::ChildWatch;
  };
  ~CompletionState();

  Scheduler& scheduler_;
  std::uint32_t references_ = 1;
  std::size_t given_count_ = 0;
  bool timed_out_ = false;
  std::deque<Child> children_;
  IntrusiveList<Child> done_;  // Not given out yet, in the order of completion.
  WaitList waiters_;           // Of `next`.
  std::unique_ptr<Deadline> deadline_;
};

}  // namespace detail

/// Waits for tasks or futures without taking their results: the counterpart of
/// asyncio.wait. A time-out is no error and cancels nothing; neither does a
/// cancellation of the waiting task. ValueError for an empty vector, a NaN time-out
/// or a bad `return_when`.
///
///     auto waited = co_await wait(tasks, {.timeout = 1s, .return_when = FIRST_COMPLETED});
///     auto& [done, pending] = waited;
template <class Handle>
  requires(detail::AnyFuture<Handle>)
auto wait(std::vector<Handle> futures, WaitOptions options = {}) {
  if (futures.empty()) throw ValueError("wait: Set of Tasks/Futures is empty.");
  if (options.return_when > ReturnWhen::ALL_COMPLETED) {
    throw ValueError("wait: Invalid return_when value: " +
                     std::to_string(static_cast<int>(options.return_when)));
  }
  return detail::wait<Handle>(std::move(futures), options.timeout.checked("wait"),
                              options.return_when);
}

/// What `as_completed` gives: hands out the tasks in the order in which they end.
/// Moves; belongs to the loop's thread.
template <class Handle>
class AsCompleted {
 public:
  /// Use `as_completed`.
  explicit AsCompleted(std::vector<Handle> futures, Duration timeout)
      : state_(new detail::CompletionState(
            futures.empty() ? detail::require_running("as_completed")
                            : detail::Access::state(futures.front()).scheduler())) {
    for (const Handle& future : futures) state_->watch(detail::Access::state(future));
    state_->start(timeout);
  }
  AsCompleted(AsCompleted&& other) noexcept = default;
  AsCompleted& operator=(AsCompleted&& other) noexcept = default;
  ~AsCompleted() {
    if (state_) state_->stop();
  }

  /// The next task that is done, nothing when all have been given out. Once what had
  /// ended before the deadline is given out, a TimeoutError for each task that had
  /// not; those keep running.
  Coroutine<std::optional<Handle>> next() { return next_of(StateHold::share(*state_)); }

 private:
  using StateHold = detail::OwnerRef<detail::CompletionState>;

  // Holds the state, as a `next` may outlive its `AsCompleted`.
  static Coroutine<std::optional<Handle>> next_of(StateHold state) {
    detail::StateRef<detail::FutureBase> found = co_await state->next();
    if (!found) co_return std::nullopt;
    co_return detail::Access::make<Handle>(std::move(found));
  }

  StateHold state_;
};

/// Options of `as_completed`.
struct AsCompletedOptions {
  /// How long all steps may take together.
  Delay timeout = Delay::infinite();
};

/// Hands out tasks in the order in which they end: the counterpart of
/// asyncio.as_completed. Coroutines become tasks at once; duplicates count once.
///
///     auto each = as_completed(tasks);
///     while (auto task = co_await each.next()) use(task->result());
template <class A>
  requires(awaitable<A>)
auto as_completed(std::vector<A> values, AsCompletedOptions options = {}) {
  const Duration timeout = options.timeout.checked("as_completed");
  if constexpr (detail::AnyFuture<A>) {
    return AsCompleted<A>(std::move(values), timeout);
  } else {
    std::vector<Task<detail::ResultOf<A>>> tasks;
    tasks.reserve(values.size());
    for (A& value : values) tasks.push_back(ensure_future(std::move(value)));
    return AsCompleted<Task<detail::ResultOf<A>>>(std::move(tasks), timeout);
  }
}

}  // namespace aster::inline v0
