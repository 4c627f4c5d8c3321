// SPDX-License-Identifier: MIT
#include <aster/base/forks.hpp>

namespace aster::inline v0::detail {

constinit std::atomic<std::uint32_t> fork_count{1};

}  // namespace aster::inline v0::detail
