// SPDX-License-Identifier: MIT
#include <aster/loop/backend.hpp>

namespace aster::inline v0 {

Waker::~Waker() = default;
IoBackend::~IoBackend() = default;

}  // namespace aster::inline v0
