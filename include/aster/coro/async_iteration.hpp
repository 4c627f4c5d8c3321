// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>

#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

/// Going through an asynchronous generator, or whatever else has a `next()` that is
/// awaited and gives a `std::optional`: `for_each`, `collect` and `aclosing`.
namespace aster::inline v0 {

namespace detail {
template <class G>
class Aclosing;
template <class Source>
using ItemOf = typename await_result_t<decltype(std::declval<Source&>().next())>::value_type;
template <class Source, class Body>
Coroutine<> for_each_of(Source source, Body body);
template <class Source>
Coroutine<std::vector<ItemOf<Source>>> collect_of(Source source);
}  // namespace detail

/// A manager for `with` that closes the generator at the end of the block, however
/// that is left: Python's `contextlib.aclosing`. A temporary generator moves in, a
/// named one is taken by reference.
///
///     co_await with(aclosing(ticks()), [](AsyncGenerator<int>& g) -> Coroutine<> {
///       use(co_await g.anext());
///     });
template <class G>
[[nodiscard]] auto aclosing(G&& generator) {
  return detail::Aclosing<G>(std::forward<G>(generator));
}

/// Calls `body(value)` for each value of `source` and awaits what it gives, if that
/// can be awaited: Python's `async for`. `source` is an AsyncGenerator or has a `next()`
/// alike. A temporary one is closed when `body` throws; a named one is taken by
/// reference, must outlive the await, and stays open.
///
///     co_await for_each(ticks(), [](int tick) { std::cout << tick; });
template <class Source, class Body>
Coroutine<> for_each(Source&& source, Body body) {
  return detail::for_each_of<Source>(std::forward<Source>(source), std::move(body));
}

/// All values of `source` that are left, in a vector: Python's `[x async for x in …]`.
/// As `for_each` with temporary and named sources.
///
///     std::vector<int> all = co_await collect(ticks());
template <class Source>
auto collect(Source&& source) -> Coroutine<std::vector<detail::ItemOf<Source>>> {
  return detail::collect_of<Source>(std::forward<Source>(source));
}

// -------------------------------------------------------------------------------

namespace detail {

template <class G>
class Aclosing {
 public:
  explicit Aclosing(G&& generator) : generator_(std::forward<G>(generator)) {}
  Coroutine<std::remove_reference_t<G>&> enter() { co_return generator_; }
  Coroutine<bool> exit(std::exception_ptr) {
    co_await generator_.aclose();
    co_return false;
  }

 private:
  G generator_;  // May be a reference.
};

/// `Source` is an lvalue reference for a named source, else a type moved in here.
template <class Source, class Body>
Coroutine<> for_each_of(Source source, Body body) {
  std::exception_ptr error;
  try {
    while (auto item = co_await source.next()) {
      if constexpr (awaitable<decltype(body(*std::move(item)))>) {
        co_await body(*std::move(item));
      } else {
        body(*std::move(item));
      }
    }
  } catch (...) {
    error = std::current_exception();
  }
  if (error != nullptr) {
    if constexpr (!std::is_reference_v<Source> && requires { source.aclose(); }) {
      co_await source.aclose();
    }
    std::rethrow_exception(std::move(error));
  }
}

template <class Source>
Coroutine<std::vector<ItemOf<Source>>> collect_of(Source source) {
  std::vector<ItemOf<Source>> all;
  while (auto item = co_await source.next()) all.push_back(*std::move(item));
  co_return all;
}

}  // namespace detail
}  // namespace aster::inline v0
