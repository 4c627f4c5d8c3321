// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/task.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>
#include <string>

namespace aster::inline v0 {

/// What the loop's exception handler is told: the counterpart of the `context`
/// dictionary of asyncio's handlers (ERR-6).
///
///     loop.set_exception_handler([](EventLoop&, const ExceptionContext& context) {
///       std::cerr << context.message << ": " << describe(context.exception) << '\n';
///     });
struct ExceptionContext {
  /// What happened; never empty.
  std::string message;
  /// The error, if one caused it.
  std::exception_ptr exception;
  /// The task it concerns, if any.
  AnyTask task;
  /// A name for the future, handle, socket or server it concerns; may be empty.
  std::string subject;
  /// Where that was made, if known.
  std::optional<std::source_location> source;
};

}  // namespace aster::inline v0
