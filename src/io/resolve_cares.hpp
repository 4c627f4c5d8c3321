// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/resolve.hpp>

#include <memory>
#include <string>

namespace aster::inline v0::detail {

/// Look-ups by c-ares, in the loop's own thread. `servers`: "127.0.0.1:53,…" instead of
/// the system's. Throws `std::system_error` when c-ares cannot begin.
[[nodiscard]] std::unique_ptr<AsyncResolver> make_cares_resolver(EventLoop& loop,
                                                                 const std::string& servers = {});

}  // namespace aster::inline v0::detail
