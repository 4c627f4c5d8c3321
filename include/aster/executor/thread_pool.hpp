// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/function.hpp>
#include <aster/executor/executor.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace aster::inline v0 {

/// Options of a `ThreadPoolExecutor`.
struct ThreadPoolOptions {
  /// How many threads at most; none: min(32, usable CPUs + 4). ValueError below 1.
  std::optional<int> max_workers = {};
  /// Names the threads "prefix_0", "prefix_1", …; copied. Empty:
  /// "ThreadPoolExecutor-K" for the Kth pool without a prefix of this process.
  std::string_view thread_name_prefix = {};
  /// Where the pool was made, for reports.
  std::source_location source = std::source_location::current();
};

namespace detail {
class ThreadPool;
}  // namespace detail

/// An executor on threads of its own: the counterpart of
/// concurrent.futures.ThreadPoolExecutor.
///
///     ThreadPoolExecutor pool{{.max_workers = 3}};
///     ConcurrentFuture<int> r = pool.submit(fn, 1);
///     int value = co_await loop.run_in_executor(&pool, fn, 2);
///     pool.shutdown();
///
/// Jobs begin in the order of submission. A thread is started when a job finds none
/// idle, and kept until `shutdown`. The system sees the first 15 bytes of its name.
///
/// Thread rule: any thread; `shutdown(true)` from one of its own is a RuntimeError.
/// The destructor waits for all jobs, so what they refer to outlives them when it
/// is declared before the pool. In a forked child the pool has no threads: jobs
/// are a RuntimeError, and nothing waits.
class ASTER_API ThreadPoolExecutor final : public Executor {
 public:
  /// A pool without threads yet. `initializer` is called first in each new thread,
  /// perhaps in several at once; if it throws, pending and later jobs fail with
  /// BrokenThreadPool.
  explicit ThreadPoolExecutor(ThreadPoolOptions options = {}, Function<void()> initializer = {});
  ~ThreadPoolExecutor() override;

  void execute(Job&& job) override;
  void shutdown(bool wait = true, bool cancel_futures = false) override;

  /// How many threads there may be.
  [[nodiscard]] int max_workers() const noexcept;
  /// How many threads have been started.
  [[nodiscard]] std::size_t thread_count() const;
  /// Where it was made.
  [[nodiscard]] const std::source_location& source() const noexcept;

  // For the library: shutdown with a bound -----------------------------------

  /// Done when `shutdown` was called and the last job has ended; cannot be cancelled.
  [[nodiscard]] ConcurrentFuture<> ended() const;

  /// What `leave` leaves behind.
  struct Stuck {
    /// Those in the midst of a job, each with the job: "asyncio_0 (shop::price)".
    std::vector<std::string> threads;
    std::size_t dropped_count = 0;  ///< Jobs that had not begun and were cancelled.
  };
  /// As `shutdown(false, drop)`, and nobody will wait for busy threads: they end with
  /// their present job or, without `drop`, when no job is left.
  Stuck leave(bool drop);

 private:
  std::shared_ptr<detail::ThreadPool> pool_;  // Shared with each of its threads.
};

/// The name of the calling thread: of a pool's thread in full, "MainThread" for the first of
/// the process, else what the system shows. Python's `threading.current_thread().name`.
///
///     log(current_thread_name() + " works");           // "ThreadPoolExecutor-0_2 works"
[[nodiscard]] ASTER_API std::string current_thread_name();

}  // namespace aster::inline v0
