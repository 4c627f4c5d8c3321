// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <source_location>
#include <string>
#include <string_view>

namespace aster::inline v0 {

/// The function that `site` is in, short and the same with every compiler: without result
/// type, parameters and template arguments, "<lambda>" for a lambda, as in
/// "shop::Basket::total" and "main::<lambda>".
///
///     for (auto& site : task.get_stack()) log(short_function_name(site));
[[nodiscard]] ASTER_API std::string short_function_name(const std::source_location& site);

namespace detail {

/// The same of what `source_location::function_name` gives.
[[nodiscard]] ASTER_API std::string shorten_signature(std::string_view signature);

}  // namespace detail
}  // namespace aster::inline v0
