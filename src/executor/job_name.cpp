// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/base/function_name.hpp>
#include <aster/executor/job.hpp>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include <dlfcn.h>

namespace aster::inline v0::detail {

namespace {

/// clang names lambdas "$_0", "$_1" … where g++ has "{lambda(int)#1}".
std::string with_lambdas(std::string name) {
  for (std::size_t at = name.find("$_"); at != std::string::npos; at = name.find("$_")) {
    std::size_t end = at + 2;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    name.replace(at, end - at, "<lambda>");
  }
  return name;
}

}  // namespace

std::string JobName::str() const {
  if (type == nullptr) return "initializer";
  if (function == nullptr) return with_lambdas(shorten_signature(demangled(type->name())));
  Dl_info found{};
  if (::dladdr(function, &found) == 0 || found.dli_fname == nullptr) return "function";
  if (found.dli_sname != nullptr && found.dli_saddr == function) {
    return shorten_signature(demangled(found.dli_sname));
  }
  const std::string_view path = found.dli_fname;
  char offset[32];
  std::snprintf(offset, sizeof offset, "+0x%zx",
                static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(function) -
                                         reinterpret_cast<std::uintptr_t>(found.dli_fbase)));
  return std::string(path.substr(path.rfind('/') + 1)) + offset;
}

}  // namespace aster::inline v0::detail
