// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

namespace aster::inline v0 {

/// Interrupts a loop's wait from another thread or a signal handler. Shared by
/// the loop and whoever may post to it, so that a late `wake` never touches a
/// destroyed loop.
class ASTER_API Waker {
 public:
  Waker() noexcept = default;
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  virtual ~Waker();
  /// Makes the present or next wait return soon. Any thread; async-signal-safe
  /// on real back ends; several calls before the wait count as one.
  virtual void wake() noexcept = 0;
};

}  // namespace aster::inline v0
