// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/coroutine.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

template <class Manager>
using EnteredBy = await_result_t<decltype(std::declval<Manager&>().enter())>;

/// What awaiting an `A` gives; void for what cannot be awaited, so that only the text of
/// `with` speaks of it.
template <class A>
struct ValueOf {
  using type = void;
};
template <class A>
  requires(awaitable<A>)
struct ValueOf<A> {
  using type = await_result_t<A>;
};

template <class Manager, class Body>
struct BodyCall {
  // What `enter` gives goes to the body; nothing when that is void; bodies that
  // take no argument are called without.
  static constexpr bool takes_entered = [] {
    if constexpr (std::is_void_v<EnteredBy<Manager>>) {
      return false;
    } else {
      return std::invocable<Body&, EnteredBy<Manager>>;
    }
  }();
  static auto call_type() {
    if constexpr (takes_entered) {
      return std::type_identity<std::invoke_result_t<Body&, EnteredBy<Manager>>>();
    } else if constexpr (std::invocable<Body&>) {
      return std::type_identity<std::invoke_result_t<Body&>>();
    } else {
      return std::type_identity<void>();
    }
  }
  using Awaited = typename decltype(call_type())::type;
  using Value = typename ValueOf<Awaited>::type;
};

/// Whether `with` can run this body.
template <class Manager, class Body>
concept WithBody = requires(Body& body) {
  { body() } -> awaitable;
} || requires(Body& body) {
  { body(std::declval<EnteredBy<std::remove_reference_t<Manager>>>()) } -> awaitable;
};

/// Awaits what a body gave and keeps its value.
template <class T, class A>
Coroutine<> await_body(Result<T>& result, A awaited) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(awaited);
    result.emplace();
  } else {
    result.emplace(co_await std::move(awaited));
  }
}

/// `Manager` is an lvalue reference for a named manager, else a type moved in here.
template <class Manager, class Body, class T>
Coroutine<T> with_manager(Manager manager, Body body) {
  using Call = BodyCall<std::remove_reference_t<Manager>, Body>;
  Result<T> result;
  if constexpr (Call::takes_entered) {
    auto&& entered = co_await manager.enter();
    try {
      auto running = await_body(result, body(std::forward<decltype(entered)>(entered)));
      co_await std::move(running);
    } catch (...) {
      result.set_error(std::current_exception());
    }
  } else {
    co_await manager.enter();
    try {
      auto running = await_body(result, body());
      co_await std::move(running);
    } catch (...) {
      result.set_error(std::current_exception());
    }
  }
  std::exception_ptr error = result.has_error() ? result.error() : nullptr;
  const bool swallowed = static_cast<bool>(co_await manager.exit(std::move(error)));
  if (swallowed && result.has_error()) {
    if constexpr (std::is_void_v<T>) {
      co_return;
    } else {
      throw RuntimeError("with: the manager swallowed the error of a body that gives a value");
    }
  }
  co_return result.take();
}

}  // namespace detail

/// An asynchronous context manager: `enter()` and `exit(std::exception_ptr)` can be
/// awaited; `exit` gives a bool-like value, true to swallow the body's error.
template <class M>
concept async_context_manager = requires(M& manager, std::exception_ptr error) {
  { manager.enter() } -> awaitable;
  { manager.exit(error) } -> awaitable;
};

/// Python's `async with`: awaits `manager.enter()`, then what `body` gives, then
/// `manager.exit(error)` with the body's exception or null, and gives the body's
/// result.
///
///     co_await with(timeout(50ms), [&](Timeout&) -> Coroutine<> { co_await work(); });
///
/// A temporary manager moves into the coroutine before `enter`; a named one is
/// taken by reference and must outlive the await. The body is called once and lives
/// until the end. `co_return` in it leaves the body only. When `exit` swallows the
/// error of a body that had to give a value, that is a RuntimeError.
template <class Manager, class Body>
  requires(async_context_manager<std::remove_reference_t<Manager>> &&
           detail::WithBody<Manager, Body>)
auto with(Manager&& manager, Body body)
    -> Coroutine<typename detail::BodyCall<std::remove_reference_t<Manager>, Body>::Value> {
  using Call = detail::BodyCall<std::remove_reference_t<Manager>, Body>;
  return detail::with_manager<Manager, Body, typename Call::Value>(std::forward<Manager>(manager),
                                                                   std::move(body));
}

/// Any other body is an error.
template <class Manager, class Body>
  requires(async_context_manager<std::remove_reference_t<Manager>> &&
           !detail::WithBody<Manager, Body>)
Coroutine<> with(Manager&&, Body) {
  static_assert(detail::WithBody<Manager, Body>,
                "aster: the body of with must be a coroutine that takes what enter() gives, or "
                "nothing: [&](auto& entered) -> aster::Coroutine<> { ...; co_return; }");
  return {};
}

}  // namespace aster::inline v0
