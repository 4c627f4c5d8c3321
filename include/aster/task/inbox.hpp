// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/waker.hpp>

#include <atomic>
#include <memory>
#include <utility>

namespace aster::inline v0::detail {

/// The one door between threads: any thread pushes runnables, the loop's thread
/// takes them all. Lock-free; first in first out for each pushing thread.
///
/// Shared by the loop and by whoever may post late (executor jobs, foreign
/// resumptions), so that a post to a loop that is gone fails instead of touching
/// freed memory. A push either will be run or dropped by the loop, or says false:
/// `close` decides it atomically.
class ASTER_API Inbox {
 public:
  explicit Inbox(std::shared_ptr<Waker> waker) noexcept : waker_(std::move(waker)) {}
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  /// Any thread. False when the loop is closed: `node` is still the caller's.
  [[nodiscard]] bool push(Runnable& node) noexcept;

  /// Any thread, also a signal handler: interrupts the loop's wait, or its next.
  void ring() noexcept { waker_->wake(); }

  // The loop's thread only ---------------------------------------------------

  /// True when something may have arrived; one load.
  [[nodiscard]] bool maybe_full() const noexcept {
    return head_.load(std::memory_order_relaxed) != nullptr;
  }
  /// Moves what has arrived to the end of `queue`.
  void drain(ReadyQueue& queue) noexcept;
  /// Says that the loop is about to wait, so that pushes ring; false when
  /// something has arrived and it must not wait.
  [[nodiscard]] bool prepare_to_wait() noexcept;
  void finish_waiting() noexcept { waiting_.store(false, std::memory_order_relaxed); }
  /// Refuses all later pushes and moves what has arrived to `queue`.
  void close(ReadyQueue& queue) noexcept;

 private:
  static Runnable* closed_mark() noexcept;
  static void move_oldest_first(Runnable* newest, ReadyQueue& queue) noexcept;

  alignas(64) std::atomic<Runnable*> head_{nullptr};  // Newest first; or the closed mark.
  std::atomic<bool> waiting_{false};
  std::shared_ptr<Waker> waker_;
};

}  // namespace aster::inline v0::detail
