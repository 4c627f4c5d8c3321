// SPDX-License-Identifier: MIT
#include <aster/executor/concurrent_wait.hpp>
#include <aster/executor/map.hpp>

namespace aster::inline v0::detail {

TimePoint check_map(const MapOptions& options) {
  if (options.chunksize == 0) throw ValueError("map: chunksize must be at least 1, not 0");
  if (options.buffersize && *options.buffersize == 0) {
    throw ValueError("map: buffersize must be none or at least 1, not 0");
  }
  return deadline_of(options.timeout, "map");
}

}  // namespace aster::inline v0::detail
