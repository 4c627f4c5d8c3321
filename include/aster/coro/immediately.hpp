// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <coroutine>

namespace aster::inline v0::detail {

/// Completes at once with a value made while awaiting.
template <class T>
class Immediately {
 public:
  using aster_awaiter = void;
  explicit Immediately(T value) noexcept : value_(static_cast<T&&>(value)) {}
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  T await_resume() noexcept { return static_cast<T&&>(value_); }

 private:
  T value_;
};

}  // namespace aster::inline v0::detail
