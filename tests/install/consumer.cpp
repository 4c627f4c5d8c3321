// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <cstdio>

int square(int n) { return n * n; }

int main() {
  aster::ProcessPoolExecutor procs{{.max_workers = 1}};  // Its workers find the library's hook.
  ASTER_ASSERT(ASTER_VERSION >= 0 && procs.submit(square, 4).result() == 16);
  std::printf("aster %s\n", ASTER_VERSION_STRING);
}
