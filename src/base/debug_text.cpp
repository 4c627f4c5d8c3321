// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <cxxabi.h>
#include <dlfcn.h>

namespace aster::inline v0::detail {
namespace {

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : symbol;
}

/// Where the bracket that the last character closes was opened.
std::size_t opening_of_last(std::string_view text) noexcept {
  int depth = 0;
  for (std::size_t i = text.size(); i > 0; --i) {
    if (text[i - 1] == ')') ++depth;
    if (text[i - 1] == '(' && --depth == 0) return i - 1;
  }
  return std::string_view::npos;
}

/// What stands behind the last space that is in no brackets: the result's type goes.
std::string_view last_word(std::string_view text) noexcept {
  int depth = 0;
  for (std::size_t i = text.size(); i > 0; --i) {
    const char c = text[i - 1];
    if (c == '>' || c == ')' || c == '}') ++depth;
    if (c == '<' || c == '(' || c == '{') --depth;
    if (c == ' ' && depth == 0) return text.substr(i);
  }
  return text;
}

}  // namespace

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

// clang gives "Coroutine<int> site::fetch(int) const [T = int]", g++ the function that it
// makes of the body, "void site::fetch(site::fetch(int)::_ZN…Frame*) [with T = int]".
std::string function_name(std::string_view signature) {
  std::string_view text = signature;
  if (text.ends_with(']')) text = text.substr(0, text.rfind(" ["));
  const std::size_t end = text.rfind(')');
  if (end == std::string_view::npos) return std::string(signature);
  text = text.substr(0, end + 1);
  text = last_word(text.substr(0, opening_of_last(text)));
  return std::string(text.empty() ? signature : text);
}

std::string never_awaited_text(const std::source_location& definition) {
  return "coroutine '" + function_name(definition.function_name()) + "' was never awaited";
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

std::string seconds(Duration duration) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3f", std::chrono::duration<double>(duration).count());
  return text;
}

}  // namespace aster::inline v0::detail
