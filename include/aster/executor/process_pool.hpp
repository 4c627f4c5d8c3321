// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/executor/executor.hpp>
#include <aster/executor/map.hpp>
#include <aster/executor/remote_call.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// Options of a `ProcessPoolExecutor`.
struct ProcessPoolOptions {
  /// How many processes at most; none: the usable CPUs. ValueError below 1.
  std::optional<int> max_workers = {};
  /// After how many jobs a worker is replaced by a fresh one; none: never. ValueError below 1.
  std::optional<int> max_tasks_per_child = {};
};

namespace detail {
class ProcessPool;
template <class F, class... Views>
class ChunkSource;
}  // namespace detail

/// An executor on processes of its own: the counterpart of
/// concurrent.futures.ProcessPoolExecutor. For work that may crash, leak or must be killed;
/// for mere speed `ThreadPoolExecutor` is as good, as threads of C++ run in parallel.
///
///     int square(int n) { return n * n; }
///     ProcessPoolExecutor procs{{.max_workers = 3}};
///     int sq = co_await loop.run_in_executor(&procs, square, 7);
///     ConcurrentFuture<int> f = procs.submit(square, 8);
///
/// What is called is a plain function or a lambda without captures; arguments and result
/// are values with a `Codec`. A worker is this same program, started anew up to the end of
/// its static initialisation: it sees globals as they are then, not as they are here, and
/// never comes to `main`. Workers start on demand and are kept until `shutdown`. They ignore
/// Ctrl-C, and end with this process.
///
/// What the function throws comes back: types of the standard library and of aster as
/// themselves, others as `RemoteError`. A worker that dies fails the job it was at with
/// `BrokenProcessPool`; the others go on, and a new worker takes its place (in Python the
/// whole pool breaks). A pool whose workers cannot start is broken for good.
///
/// Thread rule: any thread, but a callback of one of its futures, which runs in its own
/// thread, may not wait for its `shutdown` (RuntimeError). The destructor waits for all
/// jobs. In a forked child the pool is of no use: jobs are a RuntimeError.
class ASTER_API ProcessPoolExecutor final : public Executor {
 public:
  /// A pool without workers yet.
  explicit ProcessPoolExecutor(ProcessPoolOptions options = {})
      : ProcessPoolExecutor(options, std::string()) {}
  /// Each new worker first calls `initializer(initargs...)`. If that throws, pending and
  /// later jobs fail with BrokenProcessPool.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>, detail::Sent<Args>...>)
  ProcessPoolExecutor(ProcessPoolOptions options, F&& initializer, Args&&... initargs)
      : ProcessPoolExecutor(options, request_of(std::forward<F>(initializer), initargs...)) {}
  ~ProcessPoolExecutor() override;

  /// Runs `function(args...)` in a worker, in the order of the calls; arguments are encoded
  /// now. RuntimeError after `shutdown`; BrokenProcessPool when no worker can start.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>, detail::Sent<Args>...>)
  auto submit(F&& function, Args&&... args)
      -> ConcurrentFuture<detail::RemoteValue<std::decay_t<F>, detail::Sent<Args>...>> {
    using Value = detail::RemoteValue<std::decay_t<F>, detail::Sent<Args>...>;
    const detail::JobName name = detail::job_name_of<std::decay_t<F>>(function);
    return submit_request<Value>(request_of(std::forward<F>(function), args...), name);
  }

  /// As `Executor::map`, with `.chunksize` elements sent to a worker at a time: worth it for
  /// many short calls. An exception takes the place of its whole chunk.
  template <class F, class... Ranges>
    requires(detail::Mappable<F, Ranges...>)
  auto map(MapOptions options, F&& function, Ranges&&... ranges)
      -> MapResults<detail::MappedValue<F, Ranges...>, true> {
    using Source = detail::ChunkSource<std::decay_t<F>, std::views::all_t<Ranges>...>;
    return {std::make_unique<Source>(*this, options, std::forward<F>(function),
                                     std::views::all(std::forward<Ranges>(ranges))...),
            options};
  }
  template <class F, class... Ranges>
    requires(detail::Mappable<F, Ranges...>)
  auto map(F&& function, Ranges&&... ranges) {
    return map(MapOptions(), std::forward<F>(function), std::forward<Ranges>(ranges)...);
  }
  template <class F, class Range>
    requires(detail::Mappable<F, Range>)
  auto map(F&& function, Range&& range, MapOptions options) {
    return map(options, std::forward<F>(function), std::forward<Range>(range));
  }

  void shutdown(bool wait = true, bool cancel_futures = false) override;
  /// Ends all workers by SIGTERM at once: their jobs fail with BrokenProcessPool, those that
  /// have not begun are cancelled, and the pool is shut down, without waiting.
  void terminate_workers();
  /// The same by SIGKILL, for workers that do not heed SIGTERM.
  void kill_workers();

  /// TypeError: a job of this process's memory cannot travel. Only `submit`, `map` and
  /// `run_in_executor` of a pool that is known to be one can.
  void execute(Job&& job) override;

  /// How many workers there may be.
  [[nodiscard]] int max_workers() const noexcept;
  /// The process ids of the workers there are.
  [[nodiscard]] std::vector<int> worker_pids() const;

  // For the library ---------------------------------------------------------------

  /// The call as it travels.
  template <class F, class... Args>
  [[nodiscard]] static std::string request_of(F&& function, const Args&... args) {
    detail::require_travelling<std::decay_t<F>, detail::Sent<Args>...>();
    return detail::encode_call<std::decay_t<F>, detail::Sent<Args>...>(function,
                                                                       detail::as_sent(args)...);
  }
  /// Has a worker answer `request`; then runs `job`, which looks at `reply`.
  void send(std::string request, std::shared_ptr<detail::RemoteReply> reply, Job&& job);
  /// The same for a future of a `Value`.
  template <class Value>
  ConcurrentFuture<Value> submit_request(std::string request, detail::JobName name) {
    auto reply = std::make_shared<detail::RemoteReply>();
    return detail::submit_call<detail::BoundCall<detail::RemoteResult<Value>>>(
        [&](Job&& job) { send(std::move(request), reply, std::move(job)); },
        detail::RemoteResult<Value>(reply, name));
  }

 private:
  ProcessPoolExecutor(ProcessPoolOptions options, std::string initializer_request);
  void stop_workers(int signal);

  std::shared_ptr<detail::ProcessPool> pool_;  // Shared with its thread.
};

// -------------------------------------------------------------------------------

namespace detail {

/// Submits chunks of calls.
template <class F, class... Views>
class ChunkSource final
    : public MapSource<typename MapBatch<MappedValue<F, Views...>, true>::type> {
 public:
  using Batch = typename MapBatch<MappedValue<F, Views...>, true>::type;
  template <class Given>
  ChunkSource(ProcessPoolExecutor& pool, const MapOptions& options, Given&& function,
              Views... views)
      : pool_(pool),
        size_max_(options.chunksize),
        function_(std::forward<Given>(function)),
        zip_(std::move(views)...) {
    require_travelling<F, std::ranges::range_value_t<Views>...>();
    static_cast<void>(check_map(options));
  }

  [[nodiscard]] std::optional<ConcurrentFuture<Batch>> submit() override {
    Encoder elements;
    std::uint64_t count = 0;
    while (count < size_max_ && zip_.next([&](auto&&... element) {
      elements(std::ranges::range_value_t<Views>(std::forward<decltype(element)>(element))...);
    })) {
      ++count;
    }
    if (count == 0) return std::nullopt;
    const std::string encoded = std::move(elements).take();
    Encoder out;
    encode_function(out, &remote_chunk<F, std::ranges::range_value_t<Views>...>, function_);
    out(count);
    out.write(encoded.data(), encoded.size());
    return pool_.submit_request<Batch>(std::move(out).take(), job_name_of(function_));
  }

 private:
  ProcessPoolExecutor& pool_;
  std::size_t size_max_;
  F function_;
  Zip<Views...> zip_;
};

}  // namespace detail

template <std::same_as<ProcessPoolExecutor> Pool, class F, class... Args>
auto EventLoop::run_in_executor(Pool* executor, F&& function, Args&&... args) {
  using Value = detail::RemoteValue<std::decay_t<F>, detail::Sent<Args>...>;
  if (executor == nullptr) throw ValueError("run_in_executor: the ProcessPoolExecutor is null");
  scheduler_->require_open("run_in_executor");
  const detail::JobName name = detail::job_name_of<std::decay_t<F>>(function);
  std::string request = Pool::request_of(std::forward<F>(function), args...);
  auto reply = std::make_shared<detail::RemoteReply>();
  return detail::call_from_loop<detail::BoundCall<detail::RemoteResult<Value>>>(
      *this, [&](Job&& job) { executor->send(std::move(request), reply, std::move(job)); },
      detail::RemoteResult<Value>(reply, name));
}

}  // namespace aster::inline v0
