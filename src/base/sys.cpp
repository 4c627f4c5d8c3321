// SPDX-License-Identifier: MIT
#include "base/sys.hpp"

namespace aster::inline v0::detail::sys {

#if defined(ASTER_FAULT_INJECTION)
namespace {
constinit std::atomic<Judge> current_judge{nullptr};
}  // namespace

std::atomic<Judge>& judge() noexcept { return current_judge; }
#endif

}  // namespace aster::inline v0::detail::sys
