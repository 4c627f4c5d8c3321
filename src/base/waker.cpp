// SPDX-License-Identifier: MIT
#include <aster/base/waker.hpp>

namespace aster::inline v0 {

Waker::~Waker() = default;

}  // namespace aster::inline v0
