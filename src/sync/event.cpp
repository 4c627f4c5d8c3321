// SPDX-License-Identifier: MIT
#include <aster/sync/event.hpp>

#include "sync/text.hpp"

namespace aster::inline v0 {

std::string to_string(const Event& event) {
  return detail::primitive_text("Event", event.set_ ? "set" : "unset", event.waiters_);
}

}  // namespace aster::inline v0
