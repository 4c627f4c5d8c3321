// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/base/function_name.hpp>
#include <aster/executor/job.hpp>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include <dlfcn.h>

namespace aster::inline v0::detail {

std::string JobName::str() const {
  if (type == nullptr) return "initializer";
  if (function == nullptr) return shorten_signature(demangled(type->name()));
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
