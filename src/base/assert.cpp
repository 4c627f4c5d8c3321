// SPDX-License-Identifier: MIT
#include <aster/base/config.hpp>

#include <cstdio>
#include <cstdlib>

namespace aster::inline v0::detail {

void assert_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: aster: assertion failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace aster::inline v0::detail
