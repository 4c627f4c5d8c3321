// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>

#include <cstdio>

int main() {
  ASTER_ASSERT(ASTER_VERSION >= 0);
  std::printf("aster %s\n", ASTER_VERSION_STRING);
}
