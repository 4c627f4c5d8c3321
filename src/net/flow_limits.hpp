// SPDX-License-Identifier: MIT
#pragma once

#include <aster/net/transport.hpp>

#include <cstddef>
#include <optional>

namespace aster::inline v0::detail {

inline constexpr std::size_t default_high_water = 65536;  // K-2.

/// The marks that `set_write_buffer_limits` stands for, with `otherwise` as the high one
/// when nothing is said; ValueError unless low <= high.
[[nodiscard]] WriteBufferLimits flow_limits(std::optional<std::size_t> high,
                                            std::optional<std::size_t> low,
                                            std::size_t otherwise = default_high_water);

}  // namespace aster::inline v0::detail
