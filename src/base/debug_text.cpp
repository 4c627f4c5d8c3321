// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/base/error.hpp>
#include <aster/base/function_name.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <cxxabi.h>
#include <dlfcn.h>

namespace aster::inline v0::detail {

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : symbol;
}

bool debug_by_environment() noexcept {
  const char* value = std::getenv("ASTER_DEBUG");
  return value != nullptr && *value != '\0' && std::strcmp(value, "0") != 0;
}

std::string full_place(const std::source_location& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

std::string short_place(const std::source_location& place) {
  const std::string_view path = place.file_name();
  return std::string(path.substr(path.rfind('/') + 1)) + ":" + std::to_string(place.line());
}

std::string never_awaited_text(const std::source_location& definition) {
  return "coroutine '" + short_function_name(definition) + "' was never awaited";
}

std::string called_from_text(const void* address) {
  Dl_info found{};
  char number[32];
  if (::dladdr(address, &found) == 0 || found.dli_fname == nullptr) {
    std::snprintf(number, sizeof number, "%p", address);
    return std::string("called from ") + number;
  }
  const bool named = found.dli_sname != nullptr;
  const auto base = reinterpret_cast<std::uintptr_t>(named ? found.dli_saddr : found.dli_fbase);
  std::snprintf(number, sizeof number, "+0x%zx",
                static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(address) - base));
  return "called from " + (named ? demangled(found.dli_sname) : std::string(found.dli_fname)) +
         number;
}

std::string causes_text(const std::exception_ptr& error) {
  constexpr int causes_max = 16;
  std::string text;
  std::exception_ptr cause = cause_of(error);
  for (int i = 0; i < causes_max && cause != nullptr; ++i, cause = cause_of(cause)) {
    const std::string one = describe(cause);
    if (one != "aster::CancelledError") text += "; caused by " + one;
  }
  return text;
}

std::string seconds(Duration duration) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3f", std::chrono::duration<double>(duration).count());
  return text;
}

}  // namespace aster::inline v0::detail
