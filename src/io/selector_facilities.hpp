// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/selectors.hpp>

#include <memory>

namespace aster::inline v0::detail {

[[nodiscard]] std::unique_ptr<SelectorFacility> make_select_facility();
[[nodiscard]] std::unique_ptr<SelectorFacility> make_poll_facility();
#if ASTER_HAS_EPOLL
[[nodiscard]] std::unique_ptr<SelectorFacility> make_epoll_facility();
#endif
#if ASTER_HAS_KQUEUE
[[nodiscard]] std::unique_ptr<SelectorFacility> make_kqueue_facility();
#endif

}  // namespace aster::inline v0::detail
