// SPDX-License-Identifier: MIT
#pragma once

#include <aster/task/wait_list.hpp>

#include <string>
#include <string_view>

namespace aster::inline v0::detail {

/// "<Lock [locked, waiters:2]>": a primitive as people see it.
inline std::string primitive_text(std::string_view type, std::string_view state,
                                  const WaitList& waiters) {
  std::string text = "<" + std::string(type) + " [" + std::string(state);
  if (const std::size_t count = waiters.live_count(); count != 0) {
    text += ", waiters:" + std::to_string(count);
  }
  return text + "]>";
}

}  // namespace aster::inline v0::detail
