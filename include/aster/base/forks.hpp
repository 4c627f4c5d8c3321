// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <atomic>
#include <cstdint>

namespace aster::inline v0::detail {

/// How often this process has been forked: raised in each child, so that what was
/// made before knows that it is the parent's. Zero is never a count. It counts from
/// the first loop on (`count_forks`).
ASTER_API extern std::atomic<std::uint32_t> fork_count;

}  // namespace aster::inline v0::detail
