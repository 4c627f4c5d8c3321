// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/intrusive_list.hpp>
#include <aster/coro/async_generator_state.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>

namespace aster::inline v0 {

/// The asynchronous generators that began on a loop and are open: closes those that
/// are dropped, and all of them at the end of the run.
class EventLoop::AsyncGens final : public detail::AsyncGenHooks {
 public:
  explicit AsyncGens(EventLoop& loop) noexcept : loop_(loop) {}
  ~AsyncGens() { forget_all(); }

  void began(detail::AsyncGenState& generator) noexcept override;
  void dropped(detail::AsyncGenState& generator) noexcept override;
  void close_dropped(detail::AsyncGenState& generator) override;

  /// Closes all that are open, each in a task; tells the handler what fails.
  Coroutine<> shutdown();
  /// The loop is closed: from now on dropping one destroys it.
  void forget_all() noexcept;

 private:
  EventLoop& loop_;
  detail::IntrusiveList<detail::AsyncGenState> open_;
  bool shut_down_ = false;
};

}  // namespace aster::inline v0
