// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/executor/concurrent_future.hpp>
#include <aster/executor/crossing.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/task/future.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// From a `ConcurrentFuture` to a loop's future. The other side is its callback.
template <class T>
class WrapCrossing final : public Crossing {
 public:
  explicit WrapCrossing(std::shared_ptr<Inbox> inbox, const ConcurrentFuture<T>& source) noexcept
      : Crossing(std::move(inbox)), cancel_(*this), watched_(source.shared_state()) {}

  /// The callback: goes to the loop when called, or destroyed uncalled.
  class OtherSide {
   public:
    explicit OtherSide(WrapCrossing& crossing) noexcept : crossing_(&crossing) {}
    OtherSide(OtherSide&& other) noexcept : crossing_(std::exchange(other.crossing_, nullptr)) {}
    OtherSide& operator=(OtherSide&&) = delete;
    ~OtherSide() {
      if (crossing_ != nullptr) crossing_->post();
    }
    void operator()(ConcurrentFuture<T> source) noexcept {
      crossing_->done_.emplace(std::move(source));
      std::exchange(crossing_, nullptr)->post();
    }

   private:
    WrapCrossing* crossing_;
  };

 private:
  /// Cancels the source from a callback of the loop, as that runs others' callbacks.
  class CancelSource final : public Runnable {
   public:
    explicit CancelSource(WrapCrossing& crossing) noexcept : Runnable(&ops), crossing_(crossing) {}

   private:
    static const RunnableOps ops;
    static void run(Runnable& node) noexcept {
      WrapCrossing& crossing = static_cast<CancelSource&>(node).crossing_;
      if (const auto state = crossing.watched_.lock()) state->cancel();
      crossing.release();
    }
    WrapCrossing& crossing_;
  };

  void future_cancelled() noexcept override {
    hold();
    scheduler()->post(cancel_);
  }
  void deliver(FutureBase& future) override {
    if (!done_ || done_->cancelled()) {
      future.cancel({});
      return;
    }
    Result<T> result;
    if (std::exception_ptr error = done_->exception()) {
      result.set_error(std::move(error));
    } else {
      try {
        if constexpr (std::is_void_v<T>) {
          result.emplace();
        } else if constexpr (Copyable<T>) {
          result.emplace(done_->result());
        } else {
          result.emplace(done_->take());
        }
      } catch (...) {
        result.set_error(std::current_exception());
      }
    }
    settle<T>(future, result);
  }
  void destroy() noexcept override { destroy_in_frame(this); }

  CancelSource cancel_;
  std::weak_ptr<ConcurrentState<T>> watched_;  // Weak: its callback holds this.
  std::optional<ConcurrentFuture<T>> done_;    // Written before `post`, read after it.
};

template <class T>
const RunnableOps WrapCrossing<T>::CancelSource::ops{&CancelSource::run, &CancelSource::run};

}  // namespace detail

/// A future of `loop` that ends as `future` does, for awaiting what another thread
/// works on: the counterpart of asyncio.wrap_future.
///
///     int n = co_await wrap_future(pool.submit(add, 1, 2));
///
/// Cancelling it cancels `future` (which a running job ignores), on the next turn.
/// When nobody is left who could complete `future`, it is cancelled. A loop that
/// closes first drops it. Thread rule: the loop's thread; RuntimeError when closed.
template <class T>
[[nodiscard]] Future<T> wrap_future(ConcurrentFuture<T> future, EventLoop& loop) {
  loop.scheduler().require_open("wrap_future");
  auto& service = loop.service<detail::ExecutorService>();
  auto* crossing = detail::make_in_frame<detail::WrapCrossing<T>>(loop.scheduler().inbox(), future);
  typename detail::WrapCrossing<T>::OtherSide other_side(*crossing);
  Future<T> wrapped = service.attach<T>(*crossing);
  future.add_done_callback(std::move(other_side));
  return wrapped;
}
/// The same for the running loop; RuntimeError when there is none.
template <class T>
[[nodiscard]] Future<T> wrap_future(ConcurrentFuture<T> future) {
  return wrap_future(std::move(future), get_running_loop());
}
/// A loop's future is what it is.
template <class T>
[[nodiscard]] Future<T> wrap_future(Future<T> future) noexcept {
  return future;
}

}  // namespace aster::inline v0
