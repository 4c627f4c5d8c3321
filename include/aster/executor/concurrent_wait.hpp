// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>
#include <aster/executor/concurrent_future.hpp>
#include <aster/loop/wait.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// `wait` and `as_completed` for threads, which may block: the counterparts of
/// concurrent.futures.wait and .as_completed. A coroutine wraps its futures by
/// `wrap_future` and awaits `wait` or `as_completed` of those instead.
namespace aster::inline v0 {

/// What `wait` for `ConcurrentFuture`s gives: both in the order of the input.
template <class T>
struct ConcurrentWaitResult {
  /// Nothing yet.
  ConcurrentWaitResult() = default;
  std::vector<ConcurrentFuture<T>> done;
  std::vector<ConcurrentFuture<T>> not_done;
};

namespace detail {

/// The numbers of those of its futures that are done, in the order of their completion.
/// It needs memory only when it is made, and leaves nothing in the futures when it goes.
class ASTER_API CompletionQueue {
 public:
  using States = std::vector<std::shared_ptr<ConcurrentStateBase>>;

  explicit CompletionQueue(States states);
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;
  ~CompletionQueue();

  /// For the futures, once each, under their mutex: so that comes before the queue's.
  void push(std::size_t index, bool failed) noexcept;
  /// The next one; none when `deadline` passes first.
  [[nodiscard]] std::optional<std::size_t> pop(TimePoint deadline);
  /// Waits for `count` completions, or for one that failed; false when `deadline` passes first.
  bool wait(std::size_t count, bool or_failure, TimePoint deadline);

 private:
  const States states_;
  std::vector<CompletionWatch> watches_;  // One for each state, and guarded by it.
  std::mutex mutex_;                      // Guards all that follows.
  std::condition_variable changed_;
  std::vector<std::size_t> done_;  // With room for all.
  std::size_t popped_count_ = 0;   // Of `done_`.
  bool has_failure_ = false;
};

[[nodiscard]] ASTER_API TimePoint deadline_of(Delay timeout, const char* call);
ASTER_API void check_return_when(ReturnWhen when);

/// Each future once, where it comes first.
template <class T>
std::vector<ConcurrentFuture<T>> without_duplicates(std::vector<ConcurrentFuture<T>> futures) {
  std::vector<ConcurrentFuture<T>> unique;
  unique.reserve(futures.size());
  std::vector<const void*> seen;
  for (ConcurrentFuture<T>& future : futures) {
    const void* state = future.shared_state().get();
    const auto at = std::lower_bound(seen.begin(), seen.end(), state, std::less<>());
    if (at != seen.end() && *at == state) continue;
    seen.insert(at, state);
    unique.push_back(std::move(future));
  }
  return unique;
}

template <class T>
CompletionQueue::States states_of(const std::vector<ConcurrentFuture<T>>& futures) {
  CompletionQueue::States states;
  states.reserve(futures.size());
  for (const ConcurrentFuture<T>& future : futures) {
    ASTER_REQUIRE(future.shared_state() != nullptr,
                  "a ConcurrentFuture to wait for refers to nothing: it was moved from");
    states.push_back(future.shared_state());
  }
  return states;
}

}  // namespace detail

/// Blocks until futures are done, without taking their results: the counterpart of
/// concurrent.futures.wait. Duplicates count once; a time-out is no error. An empty vector
/// is done at once. ValueError for a NaN time-out or a bad `return_when`.
///
///     auto [done, not_done] = wait(futures, {.timeout = 1s, .return_when = FIRST_COMPLETED});
///
/// Any thread but a loop's own.
template <class T>
ConcurrentWaitResult<T> wait(std::vector<ConcurrentFuture<T>> futures, WaitOptions options = {}) {
  detail::check_return_when(options.return_when);
  const TimePoint deadline = detail::deadline_of(options.timeout, "wait");
  futures = detail::without_duplicates(std::move(futures));
  ConcurrentWaitResult<T> result;
  if (futures.empty()) return result;
  const bool is_first = options.return_when == ReturnWhen::FIRST_COMPLETED;
  detail::CompletionQueue queue(detail::states_of(futures));
  static_cast<void>(queue.wait(is_first ? 1 : futures.size(),
                               options.return_when == ReturnWhen::FIRST_EXCEPTION, deadline));
  for (ConcurrentFuture<T>& future : futures) {
    (future.done() ? result.done : result.not_done).push_back(std::move(future));
  }
  return result;
}

/// What `as_completed` gives for `ConcurrentFuture`s. Movable; one thread at a time.
template <class T>
class ConcurrentAsCompleted {
 public:
  /// As `as_completed` makes it.
  ConcurrentAsCompleted(std::vector<ConcurrentFuture<T>> futures, TimePoint deadline)
      : futures_(detail::without_duplicates(std::move(futures))),
        queue_(std::make_unique<detail::CompletionQueue>(detail::states_of(futures_))),
        left_(futures_.size()),
        deadline_(deadline) {}

  /// The next future that is done, waiting for it; nothing when all were given out.
  /// TimeoutError when the time for all of them is over.
  [[nodiscard]] std::optional<ConcurrentFuture<T>> next() {
    if (left_ == 0) return std::nullopt;
    const std::optional<std::size_t> index = queue_->pop(deadline_);
    if (!index) {
      throw TimeoutError(std::to_string(left_) + " (of " + std::to_string(futures_.size()) +
                         ") futures unfinished");
    }
    --left_;
    return futures_[*index];
  }

 private:
  std::vector<ConcurrentFuture<T>> futures_;
  std::unique_ptr<detail::CompletionQueue> queue_;  // Apart, as futures point to it.
  std::size_t left_;
  TimePoint deadline_;
};

/// Hands out futures as they get done, to a thread that may block: the counterpart of
/// concurrent.futures.as_completed. Duplicates count once. ValueError for a NaN time-out.
///
///     auto each = as_completed(futures, {.timeout = 5s});
///     while (auto future = each.next()) use(future->result());
template <class T>
[[nodiscard]] ConcurrentAsCompleted<T> as_completed(std::vector<ConcurrentFuture<T>> futures,
                                                    AsCompletedOptions options = {}) {
  const TimePoint deadline = detail::deadline_of(options.timeout, "as_completed");
  return ConcurrentAsCompleted<T>(std::move(futures), deadline);
}

}  // namespace aster::inline v0
