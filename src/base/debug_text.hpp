// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>

#include <exception>
#include <source_location>
#include <string>

/// The words of which reports are made.
namespace aster::inline v0::detail {

/// Whether `ASTER_DEBUG` asks for debug mode.
[[nodiscard]] bool debug_by_environment() noexcept;

/// "crawl.cpp:12".
[[nodiscard]] std::string short_place(const std::source_location& place);
/// The same with the whole path.
[[nodiscard]] std::string full_place(const std::source_location& place);

/// "coroutine 'site::fetch' was never awaited".
[[nodiscard]] std::string never_awaited_text(const std::source_location& definition);
/// A symbol or a type's name as programmers write it; unchanged when it is none of C++.
[[nodiscard]] std::string demangled(const char* symbol);
/// "called from main+0x12"; without a symbol "called from ./program+0x1a2b", for addr2line.
[[nodiscard]] std::string called_from_text(const void* address);

/// "; caused by std::runtime_error: no; caused by …", as `cause_of` says; "" for the usual
/// one, a CancelledError without a text.
[[nodiscard]] std::string causes_text(const std::exception_ptr& error);

/// "0.123", as reports give seconds.
[[nodiscard]] std::string seconds(Duration duration);

}  // namespace aster::inline v0::detail
