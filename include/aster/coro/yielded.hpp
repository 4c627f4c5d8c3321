// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

/// What generators of both kinds share: how values get out at a `co_yield`, and in.
namespace aster::inline v0::detail {

/// How a yielded value or reference is held in the awaiter of `co_yield`.
template <class Yield>
struct Yielded {
  using Stored =
      std::conditional_t<std::is_reference_v<Yield>, std::remove_reference_t<Yield>*, Yield>;
  using Optional =
      std::conditional_t<std::is_reference_v<Yield>,
                         std::reference_wrapper<std::remove_reference_t<Yield>>, Yield>;

  template <class U>
  static Stored store(U&& value) {
    if constexpr (std::is_reference_v<Yield>) {
      return std::addressof(value);
    } else if constexpr (std::is_arithmetic_v<Yield> && std::is_arithmetic_v<std::decay_t<U>>) {
      return static_cast<Yield>(value);  // `co_yield 1` of a Generator<std::size_t>.
    } else {
      return Stored(std::forward<U>(value));
    }
  }
  static decltype(auto) refer(void* stored) noexcept {
    if constexpr (std::is_reference_v<Yield>) {
      return (**static_cast<Stored*>(stored));
    } else {
      return (*static_cast<Stored*>(stored));
    }
  }
  static decltype(auto) take(void* stored) noexcept {
    if constexpr (std::is_reference_v<Yield>) {
      return (**static_cast<Stored*>(stored));
    } else {
      return std::move(*static_cast<Stored*>(stored));
    }
  }
};

template <class Yield, class U>
concept YieldableAs = (!std::is_reference_v<Yield> && std::convertible_to<U, Yield>) ||
                      (std::is_reference_v<Yield> &&
                       std::convertible_to<std::add_pointer_t<U>, std::add_pointer_t<Yield>>);

/// What was sent, or a default-constructed value.
template <class Send>
Send sent_or_default(void* sent) {
  if constexpr (!std::is_void_v<Send>) {
    if (sent != nullptr) return std::move(*static_cast<Send*>(sent));
    return Send();
  }
}

}  // namespace aster::inline v0::detail
