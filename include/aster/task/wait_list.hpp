// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>

#include <coroutine>
#include <string>
#include <utility>

namespace aster::inline v0 {

/// Tasks that wait for something, oldest first: what primitives are made of. It
/// owns the order of the queue and its cancellation; waiting allocates nothing.
///
///     class Gate {
///      public:
///       void open() { open_ = true; waiters_.wake_all(); }
///       auto pass() { return waiters_.park_unless([this] { return open_; }); }
///      private:
///       bool open_ = false;
///       WaitList waiters_;
///     };
///
/// A woken task goes on in a later turn, in the order of the wake-ups. A waiting task
/// that is cancelled leaves the queue; one that is cancelled after it was woken calls
/// the `lost` function it was parked with, which gives back or passes on what the
/// wake-up stood for, so that nothing is lost. Thread rule: one loop's thread. Must
/// outlive its waiters (checked).
class WaitList {
  class Node : public detail::Waiter, public detail::ListNode {
   public:
    void wake() noexcept {
      unlink();
      driver_->wake();
    }

   protected:
    ~Node() { unlink(); }
    bool cancel(detail::Driver& driver, std::string& message) noexcept override {
      if (!is_linked()) return false;
      unlink();
      cancelled_waiting_ = true;
      driver.wake_cancelled(message);
      return true;
    }
    detail::Driver* driver_ = nullptr;  // Null until it suspends.
    bool cancelled_waiting_ = false;    // Cancelled before it was woken.
  };

  struct Never {
    bool operator()() const noexcept { return false; }
  };
  struct NothingLost {
    void operator()() const noexcept {}
  };

 public:
  /// The awaiter of one wait; made by `park` and `park_unless`.
  template <class Ready, class Lost>
  class [[nodiscard]] Parked final : Node {
   public:
    using aster_awaiter = void;
    /// Use `park` or `park_unless`.
    Parked(WaitList& list, Ready ready, Lost lost) noexcept
        : list_(list), ready_(std::move(ready)), lost_(std::move(lost)) {}

    [[nodiscard]] bool await_ready() const noexcept { return ready_(); }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      driver_ = &detail::driver_of(handle);
      list_.nodes_.push_back(*this);
      driver_->suspend(*this);
    }
    void await_resume() {
      if (driver_ == nullptr || !driver_->has_pending()) return;
      // Still linked: its driver threw into it, and no wake-up is on its way.
      if (!cancelled_waiting_ && !is_linked()) lost_();
      driver_->throw_pending();
    }

   private:
    WaitList& list_;
    [[no_unique_address]] Ready ready_;
    [[no_unique_address]] Lost lost_;
  };

  WaitList() noexcept = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  /// Whether nobody waits.
  [[nodiscard]] bool empty() const noexcept { return nodes_.empty(); }

  /// Waits until woken.
  [[nodiscard]] auto park() noexcept {
    return Parked<Never, NothingLost>(*this, Never(), NothingLost());
  }
  /// The same; `lost()` is called when a cancellation arrives after the wake-up.
  template <class Lost>
  [[nodiscard]] auto park(Lost lost) noexcept {
    return Parked<Never, Lost>(*this, Never(), std::move(lost));
  }
  /// Does not suspend when `ready()` is true as it is awaited; else waits until woken.
  template <class Ready>
  [[nodiscard]] auto park_unless(Ready ready) noexcept {
    return Parked<Ready, NothingLost>(*this, std::move(ready), NothingLost());
  }
  /// The same, with `lost`.
  template <class Ready, class Lost>
  [[nodiscard]] auto park_unless(Ready ready, Lost lost) noexcept {
    return Parked<Ready, Lost>(*this, std::move(ready), std::move(lost));
  }

  /// Wakes the task that has waited longest; false when nobody waits.
  bool wake_one() noexcept {
    if (nodes_.empty()) return false;
    nodes_.front().wake();
    return true;
  }
  /// Wakes all that wait now, oldest first.
  void wake_all() noexcept {
    while (wake_one()) {
    }
  }

 private:
  detail::IntrusiveList<Node> nodes_;  // Oldest first.
};

}  // namespace aster::inline v0
