// SPDX-License-Identifier: MIT
#include <aster/task/shield.hpp>

namespace aster::inline v0::detail {

void report_shielded(FutureBase& inner) {
  const std::exception_ptr error = inner.stored_error();
  inner.mark_retrieved();
  AnyTask task;
  if (inner.is_task()) task = Access::make<AnyTask>(StateRef<FutureBase>::share(inner));
  inner.scheduler().call_exception_handler(
      {"exception in shielded future", error, std::move(task), {}, inner.source()});
}

}  // namespace aster::inline v0::detail
