// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstdint>
#include <string_view>

namespace aster::inline v0 {

/// How grave a message for the logging hook is.
enum class LogLevel : std::uint8_t { debug, info, warning, error };

/// Replaces where the library's messages go: what the default exception handler
/// prints, the warnings of debug mode, and warnings without a loop. The default writes
/// them to stderr, but for `LogLevel::debug`: what debug mode tells of each connection.
/// `hook` must not throw and may be called from any thread; null restores the
/// default. The counterpart of asyncio's logger.
///
///     aster::set_log_hook([](aster::LogLevel, std::string_view text) noexcept { spdlog(text); });
ASTER_API void set_log_hook(void (*hook)(LogLevel level,
                                         std::string_view message) noexcept) noexcept;

namespace detail {

ASTER_API void log(LogLevel level, std::string_view message) noexcept;
inline void log_error(std::string_view message) noexcept { log(LogLevel::error, message); }
inline void log_warning(std::string_view message) noexcept { log(LogLevel::warning, message); }

}  // namespace detail
}  // namespace aster::inline v0
