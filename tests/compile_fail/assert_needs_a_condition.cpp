// SPDX-License-Identifier: MIT
#include <aster/base/config.hpp>

void uses_assert() {
  ASTER_ASSERT(true);
#ifdef WRONG_1
  // ERROR: convert|contextually
  struct NotACondition {
  } thing;
  ASTER_ASSERT(thing);
#endif
}
