// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>

#include <concepts>
#include <source_location>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

template <class A>
Coroutine<await_result_t<A>> wrap_awaitable(A awaitable) {
  co_return co_await std::forward<A>(awaitable);
}

/// A coroutine as it is; any other awaitable inside one, moved or copied into it.
template <class A>
auto as_coroutine(A&& value) {
  using Plain = std::remove_cvref_t<A>;
  if constexpr (is_coroutine<Plain>) {
    return Plain(std::move(value));  // NOLINT(bugprone-move-forwarding-reference): used up.
  } else if constexpr (std::is_move_constructible_v<Plain> &&
                       (std::is_rvalue_reference_v<A&&> || std::is_copy_constructible_v<Plain>)) {
    return wrap_awaitable<Plain>(std::forward<A>(value));
  } else {
    return wrap_awaitable<A&&>(std::forward<A>(value));  // Must outlive the await.
  }
}

/// The result type of a future handle or awaitable.
template <class A>
using ResultOf = await_result_t<A>;

template <class A>
concept AnyFuture = std::derived_from<std::remove_cvref_t<A>, FutureTag>;

}  // namespace detail

/// A future for any awaitable: a future or task is itself, a coroutine becomes a
/// task of the running loop, another awaitable a task that awaits it. The
/// counterpart of asyncio.ensure_future. RuntimeError when a task is needed and no
/// loop runs.
///
///     Future<int> f = ensure_future(add(1, 2));
template <class A>
  requires(awaitable<A>)
auto ensure_future(A&& value, std::source_location source = std::source_location::current()) {
  if constexpr (detail::AnyFuture<A>) {
    return std::remove_cvref_t<A>(std::forward<A>(value));
  } else {
    TaskOptions options;
    options.source = source;
    return create_task(detail::as_coroutine(std::forward<A>(value)), options);
  }
}

/// Makes a task of an awaitable that is begun by awaiting it, such as what `sleep`
/// or a stream's `read` give. (A future or task runs already: await it.)
///
///     auto nap = create_task(sleep(1s));
template <class A>
  requires(awaitable<A> && !detail::AnyFuture<A> && !detail::is_coroutine<std::remove_cvref_t<A>> &&
           !detail::CoroutineFunction<std::decay_t<A>>)
auto create_task(A&& value, TaskOptions options = {}) {
  return create_task(detail::as_coroutine(std::forward<A>(value)), options);
}

}  // namespace aster::inline v0
