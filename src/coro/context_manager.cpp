// SPDX-License-Identifier: MIT
#include <aster/coro/context_manager.hpp>

#include <string_view>

namespace aster::inline v0::detail {

void throw_manager_did_not_yield() { throw RuntimeError("generator didn't yield"); }

void throw_manager_did_not_stop(bool after_error) {
  throw RuntimeError(after_error ? "generator didn't stop after athrow()"
                                 : "generator didn't stop");
}

bool is_same_through_generator(const std::exception_ptr& given,
                               const std::exception_ptr& thrown) noexcept {
  if (given == thrown) return true;
  if (!is_stop_iteration(given) && !is_stop_async_iteration(given)) return false;
  try {
    std::rethrow_exception(thrown);
  } catch (const RuntimeError& error) {
    return std::string_view(error.what()).starts_with("async generator raised Stop");
  } catch (...) {
    return false;
  }
}

}  // namespace aster::inline v0::detail
