// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

template <class T>
concept Awaiter = requires(T& awaiter) {
  { awaiter.await_ready() } -> std::convertible_to<bool>;
  awaiter.await_resume();
};

template <class T>
concept HasMemberCoAwait = requires(T&& value) { std::forward<T>(value).operator co_await(); };
template <class T>
concept HasFreeCoAwait = requires(T&& value) { operator co_await(std::forward<T>(value)); };

/// The awaiter that `co_await value` uses: by `operator co_await`, or itself.
template <class T>
decltype(auto) get_awaiter(T&& value) {
  if constexpr (HasMemberCoAwait<T>) {
    return std::forward<T>(value).operator co_await();
  } else if constexpr (HasFreeCoAwait<T>) {
    return operator co_await(std::forward<T>(value));
  } else {
    return static_cast<T&&>(value);
  }
}

/// True for awaiters that know `Driver`: ours, and those of extensions that say
/// `using aster_awaiter = void;`.
template <class T>
concept NativeAwaiter = requires { typename std::remove_cvref_t<T>::aster_awaiter; };

}  // namespace detail

/// Anything that `co_await` takes in an aster coroutine: a `Coroutine`, `Task`
/// or `Future`, or any type with `operator co_await` or the three await members.
/// The counterpart of asyncio's "awaitable".
template <class T>
concept awaitable = detail::HasMemberCoAwait<T> || detail::HasFreeCoAwait<T> || detail::Awaiter<T>;

namespace detail {

template <class T>
using AwaiterOf = decltype(get_awaiter(std::declval<T>()));

template <class T>
using AwaitResultRaw =
    decltype(std::declval<std::add_lvalue_reference_t<AwaiterOf<T>>>().await_resume());

}  // namespace detail

/// The type that `co_await` of a `T` gives.
template <awaitable T>
using await_result_t =
    std::conditional_t<std::is_rvalue_reference_v<detail::AwaitResultRaw<T>>,
                       std::remove_cvref_t<detail::AwaitResultRaw<T>>, detail::AwaitResultRaw<T>>;

}  // namespace aster::inline v0
