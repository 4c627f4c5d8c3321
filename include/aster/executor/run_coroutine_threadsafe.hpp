// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/executor/concurrent_future.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/inbox.hpp>
#include <aster/task/task.hpp>

#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// The way of a cancellation from any thread to a task.
class ASTER_API RemoteCancel final : public Runnable,
                                     public std::enable_shared_from_this<RemoteCancel> {
 public:
  explicit RemoteCancel(std::shared_ptr<Inbox> inbox) noexcept
      : Runnable(&runnable_ops), inbox_(std::move(inbox)) {}

  /// Any thread, once.
  void request() noexcept;

  StateRef<FutureBase> task_;  // The loop's thread only; empty but while the task runs.

 private:
  static const RunnableOps runnable_ops;
  std::shared_ptr<Inbox> inbox_;
  std::shared_ptr<RemoteCancel> hold_;  // While posted.
};

/// Hands a task's end to a `ConcurrentFuture`; cancels that when the loop closes first.
template <class T>
class RemoteEnd {
 public:
  RemoteEnd(ConcurrentFuture<T> future, std::shared_ptr<RemoteCancel> cancel) noexcept
      : future_(std::move(future)), cancel_(std::move(cancel)) {}
  RemoteEnd(RemoteEnd&&) noexcept = default;
  RemoteEnd& operator=(RemoteEnd&&) = delete;
  ~RemoteEnd() {
    if (cancel_ == nullptr) return;
    cancel_->task_ = {};
    future_.cancel();
  }

  [[nodiscard]] bool cancelled() const noexcept { return future_.cancelled(); }
  void watch(const Task<T>& task) noexcept {
    cancel_->task_ = StateRef<FutureBase>::share(Access::state(task));
  }
  void operator()(Task<T> task) {
    const auto cancel = std::move(cancel_);
    cancel->task_ = {};
    if (task.cancelled()) future_.cancel();
    const std::exception_ptr error = task.cancelled() ? nullptr : task.exception();
    if (!future_.set_running_or_notify_cancel()) return;
    set(task, error);
  }
  void fail(std::exception_ptr error) {
    if (cancel_ == nullptr) return;  // Handed over before the error.
    if (future_.set_running_or_notify_cancel()) future_.set_exception(std::move(error));
  }

 private:
  void set(Task<T>& task, const std::exception_ptr& error) {
    if (error != nullptr) {
      future_.set_exception(error);
      return;
    }
    try {
      if constexpr (std::is_void_v<T>) {
        future_.set_result();
      } else {
        future_.set_result(std::move(task).take_or_copy());
      }
    } catch (...) {
      future_.set_exception(std::current_exception());
    }
  }

  ConcurrentFuture<T> future_;
  std::shared_ptr<RemoteCancel> cancel_;  // Null once the end was handed over.
};

template <class T, class Source>
ConcurrentFuture<T> run_threadsafe(EventLoop& loop, Source&& source, std::source_location place) {
  auto cancel = std::make_shared<RemoteCancel>(loop.scheduler().inbox());
  ConcurrentFuture<T> future;
  future.add_done_callback([cancel](ConcurrentFuture<T> done) {
    if (done.cancelled()) cancel->request();
  });
  auto start = [&loop, held = std::forward<Source>(source),
                end = RemoteEnd<T>(future, std::move(cancel)), place]() mutable {
    if (end.cancelled()) return;
    try {
      TaskOptions options;
      options.source = place;
      Task<T> task = loop.create_task(std::move(held), options);
      end.watch(task);
      task.add_done_callback(std::move(end));
    } catch (...) {
      end.fail(std::current_exception());
      throw;
    }
  };
  loop.call_soon_threadsafe(std::move(start), place);
  return future;
}

}  // namespace detail

/// Makes `coroutine` a task of `loop`, from another thread; the counterpart of
/// asyncio.run_coroutine_threadsafe.
///
///     ConcurrentFuture<int> sum = run_coroutine_threadsafe(add(1, 2), loop);
///     int three = sum.result(5s);                  // Not on the loop's own thread.
///
/// Cancelling the result cancels the task. When the loop closes first the result is
/// cancelled; when it is closed already this is a RuntimeError, and the coroutine is
/// destroyed. The loop object must live until this returns.
template <class T>
[[nodiscard]] ConcurrentFuture<T> run_coroutine_threadsafe(
    Coroutine<T> coroutine, EventLoop& loop,
    std::source_location source = std::source_location::current()) {
  if (!coroutine) throw RuntimeError("cannot reuse already awaited coroutine");
  return detail::run_threadsafe<T>(loop, std::move(coroutine), source);
}
/// The same with a callable that gives a coroutine, as for `create_task`: it is
/// called on the loop's thread, and lives until the task ends.
template <class F>
  requires(detail::CoroutineFunction<std::decay_t<F>>)
[[nodiscard]] auto run_coroutine_threadsafe(
    F&& callable, EventLoop& loop, std::source_location source = std::source_location::current()) {
  using Value = detail::CoroutineValue<std::decay_t<F>&>;
  return detail::run_threadsafe<Value>(loop, std::forward<F>(callable), source);
}

}  // namespace aster::inline v0
