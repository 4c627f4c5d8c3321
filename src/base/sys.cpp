// SPDX-License-Identifier: MIT
#include "base/sys.hpp"

namespace aster::inline v0::detail::sys {

#if defined(ASTER_FAULT_INJECTION)
namespace {
constinit std::atomic<Judge> current_judge{nullptr};
constinit thread_local bool last_was_cut = false;
}  // namespace

std::atomic<Judge>& judge() noexcept { return current_judge; }

bool& cut_last() noexcept { return last_was_cut; }
#endif

}  // namespace aster::inline v0::detail::sys
