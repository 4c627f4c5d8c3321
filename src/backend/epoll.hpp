// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/backend.hpp>

#include <memory>

namespace aster::inline v0::detail {

/// The back end on epoll (Linux). `std::system_error` when there are no
/// descriptors left for it.
[[nodiscard]] std::unique_ptr<IoBackend> make_epoll_backend();

}  // namespace aster::inline v0::detail
