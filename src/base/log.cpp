// SPDX-License-Identifier: MIT
#include <aster/base/log.hpp>

#include <atomic>
#include <cstdio>

namespace aster::inline v0 {
namespace {

void to_stderr(LogLevel level, std::string_view message) noexcept {
  if (level == LogLevel::debug) return;  // As asyncio's logger, whose level is warning.
  static constexpr const char* names[] = {"debug", "info", "warning", "error"};
  std::fprintf(stderr, "aster: %s: %.*s\n", names[static_cast<unsigned>(level)],
               static_cast<int>(message.size()), message.data());
}

constinit std::atomic<void (*)(LogLevel, std::string_view) noexcept> hook{&to_stderr};

}  // namespace

void set_log_hook(void (*replacement)(LogLevel, std::string_view) noexcept) noexcept {
  hook.store(replacement != nullptr ? replacement : &to_stderr, std::memory_order_release);
}

namespace detail {

void log(LogLevel level, std::string_view message) noexcept {
  hook.load(std::memory_order_acquire)(level, message);
}

}  // namespace detail
}  // namespace aster::inline v0
