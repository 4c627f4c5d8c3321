// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/coro/result.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/future.hpp>
#include <aster/task/inbox.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

class Executor;
class ThreadPoolExecutor;

/// How results come home: what another thread finishes, and a loop's future waits
/// for.
///
/// A future's count is not atomic, so no other thread may touch it, not even to
/// let go of it. Therefore the two meet in a `Crossing`, which is counted
/// atomically and shared by both sides:
///
///   other side   holds it from the start. When the work is done it stores the
///                result there and posts the crossing to the loop, handing its
///                hold over; if the loop is closed, it lets go and that is all.
///   loop's side  holds it while its future waits, on a list of the loop. It lets
///                go on arrival, when the future is cancelled, or when the loop
///                closes, and only then touches the future.
namespace detail {

class ASTER_API Crossing : public Runnable, public ListNode {
 public:
  /// The loop's thread: the loop's side lets go; the future, if it still waited.
  StateRef<FutureBase> detach() noexcept;

  /// The loop's thread: the future was cancelled; called before `detach`.
  virtual void future_cancelled() noexcept = 0;

 protected:
  explicit Crossing(std::shared_ptr<Inbox> inbox) noexcept
      : Runnable(&runnable_ops), inbox_(std::move(inbox)) {}
  ~Crossing() = default;

  /// Any thread: goes to the loop, which calls `deliver` if its future waits.
  void post() noexcept;
  /// Any thread: lets go of one hold.
  void release() noexcept {
    // A load is cheaper, and the only holder has nobody to race with.
    if (holds_.load(std::memory_order_acquire) == 1 ||
        holds_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      destroy();
    }
  }

  /// Completes the future, which is pending; `FutureState<R>` of the `attach`ed R.
  virtual void deliver(FutureBase& future) = 0;
  virtual void destroy() noexcept = 0;

  // The loop's thread only.
  [[nodiscard]] Scheduler* scheduler() const noexcept {
    return future_ ? &future_->scheduler() : nullptr;
  }
  void hold() noexcept { holds_.fetch_add(1, std::memory_order_relaxed); }

 private:
  friend class ExecutorService;
  static const RunnableOps runnable_ops;
  void arrive();

  std::atomic<std::uint32_t> holds_{1};  // The other side's.
  std::shared_ptr<Inbox> inbox_;         // Empty once posted.
  StateRef<FutureBase> future_;          // The loop's thread only; empty once detached.
  Crossing** back_link_ = nullptr;       // The future's pointer to this; likewise.
};

/// A future that passes its cancellation on to a crossing.
template <class R>
class CrossingFuture final : public FutureState<R> {
 public:
  using FutureState<R>::FutureState;

  bool cancel(std::string&& message) noexcept override {
    if (this->is_done()) return false;
    StateRef<FutureBase> keep;
    if (Crossing* crossing = crossing_) {
      crossing->future_cancelled();
      keep = crossing->detach();
    }
    return FutureBase::cancel(std::move(message));
  }

  Crossing* crossing_ = nullptr;  // While attached.

 private:
  ~CrossingFuture() override = default;
  void destroy() noexcept override {
    this->~CrossingFuture();
    release_frame(this, sizeof(CrossingFuture));
  }
};

/// Completes `future` with what `result` holds; an empty one is a cancellation.
template <class R>
void settle(FutureBase& future, Result<R>& result) {
  auto& state = static_cast<FutureState<R>&>(future);
  if (result.is_empty()) {
    state.cancel({});
    return;
  }
  if (result.has_error()) {
    state.set_error(result.error());
    return;
  }
  try {
    if constexpr (std::is_void_v<R>) {
      state.set_result();
    } else {
      state.set_result(result.take());
    }
  } catch (...) {
    state.set_error(std::current_exception());
  }
}

/// What a loop keeps of this layer: its default pool, and what is under way in
/// other threads.
class ASTER_API ExecutorService final : public EventLoop::Service {
 public:
  explicit ExecutorService(EventLoop& loop);
  ~ExecutorService() override;
  void close() noexcept override;

  /// Makes the default executor run its jobs as callbacks of the loop, in order and
  /// without threads: what simulation needs. Before the default executor's first use.
  void run_jobs_on_loop();

  /// The executor that null stands for, made on first use. RuntimeError after
  /// `begin_shutdown`.
  [[nodiscard]] Executor& default_executor();
  void set_default_executor(std::shared_ptr<ThreadPoolExecutor> executor);
  /// Refuses further use; the pool to wait for, null when there is none.
  [[nodiscard]] std::shared_ptr<ThreadPoolExecutor> begin_shutdown() noexcept;
  [[nodiscard]] bool is_shut_down() const noexcept { return is_shut_down_; }
  /// Whether jobs run as callbacks.
  [[nodiscard]] bool runs_jobs_on_loop() const noexcept { return on_loop_ != nullptr; }

  /// A future that waits for `crossing`; the loop's thread.
  template <class R>
  [[nodiscard]] Future<R> attach(Crossing& crossing) {
    auto* state =
        make_in_frame<CrossingFuture<R>>(loop_.scheduler(), std::source_location::current());
    StateRef<FutureBase> future(state);
    state->crossing_ = &crossing;
    crossing.back_link_ = &state->crossing_;
    crossing.future_ = future;
    crossing.hold();
    crossings_.push_back(crossing);
    return Access::make<Future<R>>(std::move(future));
  }

 private:
  EventLoop& loop_;
  IntrusiveList<Crossing> crossings_;
  std::shared_ptr<ThreadPoolExecutor> pool_;
  std::unique_ptr<Executor> on_loop_;
  bool is_shut_down_ = false;
};

}  // namespace detail
}  // namespace aster::inline v0
