// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/child_watch.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/future.hpp>

#include <source_location>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// Tells the loop of an error in a shielded future that nobody awaits any longer.
ASTER_API void report_shielded(FutureBase& inner);

/// The outer future of a shield: follows the inner one, but a cancellation stops
/// here. Holds itself, and so the inner future, while that is pending; at most
/// until the loop closes.
template <class T>
class ShieldState final : public FutureState<T>, ChildOwner {
 public:
  ShieldState(Scheduler& scheduler, std::source_location source, Future<T> inner)
      : FutureState<T>(scheduler, source),
        inner_(std::move(inner)),
        watch_(*this, StateRef<FutureBase>::share(Access::state(inner_))) {
    set_waiter(ChildWaiter(static_cast<FutureBase&>(*this)));
    this->add_reference();  // Its own, until the inner future is done.
    scheduler.keep(*this);
    watch_.start();
  }

 private:
  ~ShieldState() override = default;
  void destroy() noexcept override { this->destroy_unnested(); }
  void destroy_now() noexcept override {
    this->~ShieldState();
    release_frame(this, sizeof(ShieldState));
  }
  void retain() noexcept override {}
  void release() noexcept override {
    this->unlink();  // Kept no longer.
    this->release_reference();
  }
  void loop_closed() noexcept override {
    watch_.stop();
    release();
  }

  void child_done(ChildWatch& watch) override {
    FutureBase& inner = watch.child();
    if (this->is_done()) {
      if (!inner.is_cancelled() && inner.stored_error() != nullptr) report_shielded(inner);
    } else if (inner.is_cancelled()) {
      this->FutureBase::cancel(inner.message_copy());
    } else if (std::exception_ptr error = inner.stored_error()) {
      inner.mark_retrieved();
      this->set_error(std::move(error));
    } else if constexpr (std::is_void_v<T>) {
      this->set_result();
    } else {
      try {
        this->set_result(std::move(inner_).take_or_copy());
      } catch (...) {  // The value could not be copied.
        this->set_error(std::current_exception());
      }
    }
  }

  Future<T> inner_;
  ChildWatch watch_;
};

}  // namespace detail

/// Protects an awaitable from cancellation: the counterpart of asyncio.shield.
/// Cancelling what this gives, or the task that awaits it, leaves the inner task
/// running (and held); if that fails later, the loop's exception handler is told.
/// A coroutine becomes a task at once.
///
///     int v = co_await shield(commit(order));
template <class A>
  requires(awaitable<A>)
auto shield(A&& value, std::source_location source = std::source_location::current()) {
  using T = detail::ResultOf<std::remove_cvref_t<A>>;
  Future<T> inner = ensure_future(std::forward<A>(value), source);
  if (inner.done()) return inner;
  detail::FutureBase& state = detail::Access::state(inner);
  return detail::Access::make<Future<T>>(detail::StateRef<detail::FutureBase>(
      detail::make_in_frame<detail::ShieldState<T>>(state.scheduler(), source, std::move(inner))));
}

}  // namespace aster::inline v0
