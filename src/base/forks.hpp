// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <atomic>
#include <cstdint>

namespace aster::inline v0::detail {

/// How often this process has been forked, for the layers below the scheduler; see there.
ASTER_API extern std::atomic<std::uint32_t> fork_count;

}  // namespace aster::inline v0::detail
