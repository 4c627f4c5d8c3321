// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/executor/concurrent_future.hpp>
#include <aster/executor/crossing.hpp>
#include <aster/executor/job.hpp>
#include <aster/executor/map.hpp>
#include <aster/loop/event_loop.hpp>

#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

template <class F, class... Args>
using BoundCallOf = BoundCall<std::decay_t<F>, std::decay_t<Args>...>;

template <class R>
constexpr void require_plain_function() noexcept {
  static_assert(!is_coroutine<std::remove_cvref_t<R>>,
                "aster: an executor runs plain functions; a coroutine belongs on a loop: use "
                "create_task, or run_coroutine_threadsafe from another thread");
}

template <class R, class Call>
class SubmittedCall;
template <class R, class Call>
class LoopCall;
template <class Call, class Execute, class... Given>
auto submit_call(Execute&& execute, Given&&... given) -> ConcurrentFuture<typename Call::Value>;
template <class Target, class F, class... Views>
class CallSource;
template <class F, class... Ranges>
using MappedValue = std::invoke_result_t<std::decay_t<F>, std::ranges::range_value_t<Ranges>...>;
template <class F, class... Ranges>
concept Mappable = sizeof...(Ranges) > 0 && (std::ranges::input_range<Ranges> && ...) &&
                   std::invocable<std::decay_t<F>, std::ranges::range_value_t<Ranges>...>;

}  // namespace detail

/// Runs functions in other threads, or wherever a derived class sees fit: the
/// counterpart of concurrent.futures.Executor.
///
///     ConcurrentFuture<int> f = pool.submit(add, 1, 2);       // Threads wait for it.
///     int n = co_await loop.run_in_executor(&pool, add, 1, 2);  // Coroutines await it.
///
/// One of your own overrides `execute` and `shutdown`:
///
///     void execute(Job&& job) override { gui.post([j = std::move(job)]() mutable { j(); }); }
///
/// Thread rule: `submit` and `execute` from any thread. It must outlive the calls
/// of its members, not the jobs, which own all they need.
class ASTER_API Executor {
 public:
  Executor() noexcept = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor();

  /// Runs `function(args...)`, all copied or moved, in the order of the calls.
  /// RuntimeError after `shutdown`; BrokenExecutor when no job can run any more.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>, std::decay_t<Args>...>)
  auto submit(F&& function, Args&&... args)
      -> ConcurrentFuture<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> {
    using Call = detail::BoundCallOf<F, Args...>;
    using Value = typename Call::Value;
    detail::require_plain_function<Value>();
    return detail::submit_call<Call>([this](Job&& job) { execute(std::move(job)); },
                                     std::forward<F>(function), std::forward<Args>(args)...);
  }

  /// Calls `function` with each element of a range, or side by side with those of several up
  /// to the end of the shortest; the results come in the order of the input. Python's
  /// `Executor.map`. Elements are copied. Without `.buffersize` all calls are submitted
  /// now; with it, ranges that are named, and this executor, must outlive the result.
  /// ValueError for a chunksize or buffersize of 0, or a NaN time-out; also throws what the
  /// ranges or submitting throw now, see `MapResults` for later.
  ///
  ///     for (int n : pool.map(square, numbers, {.timeout = 5s})) use(n);
  ///     for (int n : pool.map({.buffersize = 8}, add, numbers, others)) use(n);
  template <class F, class... Ranges>
    requires(detail::Mappable<F, Ranges...>)
  auto map(MapOptions options, F&& function, Ranges&&... ranges)
      -> MapResults<detail::MappedValue<F, Ranges...>> {
    static_assert(std::is_copy_constructible_v<std::decay_t<F>>,
                  "aster: map copies its function for each call");
    using Source = detail::CallSource<Executor, std::decay_t<F>, std::views::all_t<Ranges>...>;
    return {std::make_unique<Source>(*this, std::forward<F>(function),
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

  /// Takes `job` to run it some time; leaves it alone when it throws.
  virtual void execute(Job&& job) = 0;

  /// Refuses all further jobs; those that were taken will run, or, with
  /// `cancel_futures`, those that have not begun are cancelled. With `wait`
  /// returns when all have ended. May be called again.
  virtual void shutdown(bool wait = true, bool cancel_futures = false) = 0;
};

// -------------------------------------------------------------------------------

namespace detail {

/// Submits a call for each element.
template <class Target, class F, class... Views>
class CallSource final : public MapSource<MappedValue<F, Views...>> {
 public:
  template <class Given>
  CallSource(Target& target, Given&& function, Views... views)
      : target_(target), function_(std::forward<Given>(function)), zip_(std::move(views)...) {}

  [[nodiscard]] std::optional<ConcurrentFuture<MappedValue<F, Views...>>> submit() override {
    std::optional<ConcurrentFuture<MappedValue<F, Views...>>> future;
    zip_.next([&](auto&&... elements) {
      future = target_.submit(function_, std::ranges::range_value_t<Views>(
                                             std::forward<decltype(elements)>(elements))...);
    });
    return future;
  }

 private:
  Target& target_;
  F function_;
  Zip<Views...> zip_;
};

/// A submitted call: its future's state and the job in one. The job's hold is a
/// pointer to itself.
template <class R, class Call>
class SubmittedCall final : public ConcurrentState<R>, public JobBase {
 public:
  template <class... Given>
  explicit SubmittedCall(Given&&... given)
      : call_(std::in_place, std::in_place, std::forward<Given>(given)...) {}

  [[nodiscard]] Job as_job(std::shared_ptr<SubmittedCall> self) noexcept {
    hold_ = std::move(self);
    return Job(this);
  }

 private:
  // False when it was cancelled, or completed by somebody else's hand.
  [[nodiscard]] bool begin() noexcept override {
    if (is_begun_) return true;
    try {
      is_begun_ = this->set_running_or_notify_cancel();
    } catch (const RuntimeError&) {
    }
    if (is_begun_) return true;
    call_.reset();
    const auto self = std::move(hold_);
    return false;
  }
  void run() noexcept override {
    const auto self = hold_;
    if (!begin()) return;
    hold_.reset();
    std::exception_ptr error;
    try {
      if constexpr (std::is_void_v<R>) {
        (*call_)();
        call_.reset();
        this->set_result();
      } else {
        R value = (*call_)();
        call_.reset();
        this->set_result(std::forward<R>(value));
      }
      return;
    } catch (...) {
      error = std::current_exception();
    }
    end_with(std::move(error));
  }
  void fail(std::exception_ptr error) noexcept override {
    const auto self = hold_;
    if (!begin()) return;
    hold_.reset();
    end_with(std::move(error));
  }
  void abandon() noexcept override {
    const auto self = std::move(hold_);
    call_.reset();
    if (is_begun_) {
      end_with(std::make_exception_ptr(CancelledError()));  // Whoever ran it has dropped it.
    } else {
      this->cancel();
    }
  }
  [[nodiscard]] JobName name() const noexcept override { return name_; }

  void end_with(std::exception_ptr error) noexcept {
    call_.reset();
    try {
      this->set_error(std::move(error));
    } catch (const InvalidStateError&) {  // Somebody else's hand again.
    }
  }

  std::optional<Call> call_;
  const JobName name_ = call_->job_name();
  std::shared_ptr<SubmittedCall> hold_;
  bool is_begun_ = false;
};

/// What `run_in_executor` hands to an executor. The loop's thread takes it back
/// by moving `stage_` away from `queued` before a worker does.
template <class R, class Call>
class LoopCall final : public Crossing, public JobBase {
 public:
  template <class... Given>
  explicit LoopCall(std::shared_ptr<Inbox> inbox, Given&&... given)
      : Crossing(std::move(inbox)),
        call_(std::in_place, std::in_place, std::forward<Given>(given)...) {}

 private:
  enum class Stage : std::uint8_t { queued, taken };  // Taken: run, failed, dropped or cancelled.

  // Whoever gets true owns the call.
  [[nodiscard]] bool take() noexcept {
    return stage_.exchange(Stage::taken, std::memory_order_acq_rel) == Stage::queued;
  }

  [[nodiscard]] bool begin() noexcept override {
    if (is_begun_) return true;
    if (take()) return is_begun_ = true;
    release();
    return false;
  }
  void run() noexcept override {
    if (!begin()) return;
    try {
      if constexpr (std::is_void_v<R>) {
        (*call_)();
        result_.emplace();
      } else {
        result_.emplace((*call_)());
      }
    } catch (...) {
      result_.set_error(std::current_exception());
    }
    call_.reset();
    post();
  }
  void fail(std::exception_ptr error) noexcept override {
    if (!begin()) return;
    call_.reset();
    result_.set_error(std::move(error));
    post();
  }
  void abandon() noexcept override {
    if (!begin()) return;
    call_.reset();
    post();  // Without a result: cancelled.
  }
  [[nodiscard]] JobName name() const noexcept override { return name_; }

  void future_cancelled() noexcept override {
    if (take()) call_.reset();
  }
  void deliver(FutureBase& future) override { settle<R>(future, result_); }
  void destroy() noexcept override { destroy_in_frame(this); }

  std::atomic<Stage> stage_{Stage::queued};
  bool is_begun_ = false;  // Of the executor's side only.
  std::optional<Call> call_;
  const JobName name_ = call_->job_name();
  Result<R> result_;  // Written before `post`, read after it.
};

/// Has `execute` take a job of `Call`, made of `given`; its future.
template <class Call, class Execute, class... Given>
auto submit_call(Execute&& execute, Given&&... given) -> ConcurrentFuture<typename Call::Value> {
  using Value = typename Call::Value;
  auto state = std::make_shared<SubmittedCall<Value, Call>>(std::forward<Given>(given)...);
  execute(state->as_job(state));
  return ConcurrentFuture<Value>(std::shared_ptr<ConcurrentState<Value>>(state));
}

/// The same for a future of `loop`, which is open.
template <class Call, class Execute, class... Given>
auto call_from_loop(EventLoop& loop, Execute&& execute, Given&&... given)
    -> Future<typename Call::Value> {
  using Value = typename Call::Value;
  auto* call =
      make_in_frame<LoopCall<Value, Call>>(loop.scheduler().inbox(), std::forward<Given>(given)...);
  Job job(call);
  Future<Value> future = loop.service<ExecutorService>().attach<Value>(*call);
  try {
    execute(std::move(job));
  } catch (...) {
    future.cancel();
    throw;
  }
  return future;
}

}  // namespace detail

template <class F, class... Args>
auto EventLoop::run_in_executor(Executor* executor, F&& function, Args&&... args)
    -> Future<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> {
  using Call = detail::BoundCallOf<F, Args...>;
  detail::require_plain_function<typename Call::Value>();
  scheduler_->require_open("run_in_executor");
  auto& service = this->service<detail::ExecutorService>();
  Executor& target = executor != nullptr ? *executor : service.default_executor();
  return detail::call_from_loop<Call>(
      *this, [&target](Job&& job) { target.execute(std::move(job)); }, std::forward<F>(function),
      std::forward<Args>(args)...);
}

}  // namespace aster::inline v0
