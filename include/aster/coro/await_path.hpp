// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <exception>
#include <source_location>
#include <string>
#include <vector>

namespace aster::inline v0 {

/// Where an exception has come through: the awaits it left, innermost first, across
/// coroutines and tasks. What `aster::main` prints.
///
///     try { co_await work(); }
///     catch (...) { for (auto& site : await_path(std::current_exception())) log(site); }
///
/// Kept for the last few exceptions of this thread that have left a coroutine, and
/// their first 16 awaits; of others the answer means nothing. Costs nothing while
/// nothing is thrown.
[[nodiscard]] ASTER_API std::vector<std::source_location> await_path(
    const std::exception_ptr& error);

/// The same as text: "fetch.cpp:12, main.cpp:40"; "" when there is none.
[[nodiscard]] ASTER_API std::string format_await_path(const std::exception_ptr& error);

namespace detail {

/// `error` was just made: what was known of its address was another's.
ASTER_API void note_made(const std::exception_ptr& error) noexcept;
/// `error` is about to be thrown again where it is awaited.
ASTER_API void note_rethrow(const std::exception_ptr& error) noexcept;
/// `error` has left a coroutine that last awaited something at `site`.
ASTER_API void note_left(const std::exception_ptr& error,
                         const std::source_location& site) noexcept;

}  // namespace detail
}  // namespace aster::inline v0
