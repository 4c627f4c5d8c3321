// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <vector>

namespace aster::inline v0::detail {

class FutureBase;
class TaskBase;

/// The tasks that await `future`, each once, oldest wait first, and behind plain futures
/// and what has children, theirs.
[[nodiscard]] std::vector<TaskBase*> awaiters_of(FutureBase& future);

}  // namespace aster::inline v0::detail
