// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/ready_queue.hpp>
#include <aster/task/scheduler.hpp>

#include <atomic>
#include <csignal>
#include <cstdint>

namespace aster::inline v0::detail {

/// Whether this is the thread that started the process: only that may own signal
/// handlers.
[[nodiscard]] bool on_main_thread() noexcept;

/// A note of a loop's that is queued when a signal comes. The handler counts and posts
/// it to the loop's inbox, which is a compare-and-swap and a write to an eventfd, both
/// allowed in a signal handler. Nothing is lost, as there is no pipe to be full.
///
/// The newest note of a signal gets it. One that finds another action than ours installs
/// the handler, and restores what was there before when it ends, unless the program has
/// installed its own since. In a forked child, which has no business with our loops, the
/// signal does what it did before the first note.
///
/// What derives from it gives `ops` whose `run` and `drop` begin with `taken`.
class SignalNote : public Runnable {
 public:
  SignalNote(const SignalNote&) = delete;
  SignalNote& operator=(const SignalNote&) = delete;

 protected:
  SignalNote(Scheduler& scheduler, const RunnableOps* ops) noexcept;
  ~SignalNote() { unwatch(); }

  /// Begins. 0 or minus errno; 1, and nothing is changed, when `if_default` and the
  /// signal's action is not the default one.
  [[nodiscard]] int watch(int number, bool if_default) noexcept;
  /// Ends it, a queued note included; nothing when it has ended.
  void unwatch() noexcept;
  [[nodiscard]] bool is_watching() const noexcept { return number_ != 0; }

  /// It is out of the queue.
  void taken() noexcept { queued_.store(false); }
  /// Queues it once more, on the loop's thread.
  void queue_again() noexcept {
    if (!queued_.exchange(true)) scheduler_.post(*this);
  }
  /// How often the signal has come.
  [[nodiscard]] std::uint32_t count() const noexcept { return count_.load(); }

  Scheduler& scheduler_;

 private:
  struct Slot;
  static Slot& slot_of(int number) noexcept;
  static void on_signal(int number) noexcept;
  void arrived() noexcept;

  int number_ = 0;               // 0: it watches nothing.
  SignalNote* below_ = nullptr;  // The older note of the same signal.
  bool has_former_ = false;      // `former_` is to be restored.
  struct sigaction former_{};
  std::atomic<std::uint32_t> count_{0};
  std::atomic<bool> queued_{false};
};

}  // namespace aster::inline v0::detail
