// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/backend.hpp>

#include <atomic>

namespace aster::inline v0::detail {

/// The waker of the real back ends: a descriptor that a wake makes readable, and
/// a flag by which the wakes between two looks of the loop cost one write.
///
/// The flag is up from a wake until the loop has seen it. The loop lowers it
/// before it looks at its inbox, with an exchange: then either the poster's
/// exchange comes first in the flag's order, and the loop sees what was posted,
/// or it comes later, finds the flag down, and writes.
class WakeEvent final : public Waker {
 public:
  /// `std::system_error` when the system has no descriptor left.
  WakeEvent();
  ~WakeEvent() override;

  void wake() noexcept override;

  /// What becomes readable.
  [[nodiscard]] int fd() const noexcept { return read_end_.load(std::memory_order_relaxed); }

  /// The loop has seen the wake. For edge-triggered facilities: the descriptor is
  /// not read, as every write makes a new edge.
  void seen() noexcept { signalled_.exchange(false, std::memory_order_acq_rel); }

  /// The same for level-triggered facilities: empties the descriptor first. In
  /// this order, for a write between lowering the flag and reading would be
  /// swallowed, and leave the flag up with nothing to read.
  void drain() noexcept;

  /// In a forked child: lets go of the descriptors it shares with the parent.
  void abandon() noexcept;

 private:
  std::atomic<bool> signalled_ = false;
  std::atomic<int> read_end_ = -1;
  std::atomic<int> write_end_ = -1;  // The same as read_end_ for an eventfd.
};

static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "wake() is called from signal handlers");

}  // namespace aster::inline v0::detail
