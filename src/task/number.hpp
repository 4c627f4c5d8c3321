// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace aster::inline v0::detail {

/// The next number of the sequence that `Kind` names: never 0, and never one that any
/// thread of the process got before. Each thread draws its numbers in blocks.
template <class Kind>
std::uint64_t next_number() noexcept {
  constexpr std::uint64_t block = 64;
  static constinit std::atomic<std::uint64_t> drawn{0};
  static constinit thread_local std::uint64_t last = 0;
  if (last % block == 0) last = drawn.fetch_add(block, std::memory_order_relaxed);
  return ++last;
}

}  // namespace aster::inline v0::detail
