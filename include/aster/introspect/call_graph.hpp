// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/function_name.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/future.hpp>
#include <aster/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

/// Who awaits whom. `print_call_graph()` in a task prints where it is and, up to the last
/// task, who waits for it, with file, line and function of every await:
///
///     * Task(name='fetch', id=0x6040000000d0)
///       + Call stack:
///       |   File 'fetch.cpp', line 12, in async fetch()
///       + Awaited by:
///         * Task(name='Task-1', id=0x604000000050)
///           + Call stack:
///           |   File 'main.cpp', line 40, in async amain()
///
/// Nothing is kept for it: the graph is found by following what waiting needs anyway.
namespace aster::inline v0 {

/// What `capture_call_graph` and its kin take.
struct CallGraphOptions {
  /// How many frames of the current task's own stack the graph begins below; 1 is all of
  /// them, 2 leaves out the coroutine that asks.
  int depth = 1;
  /// At most so many entries of each stack: the innermost ones; when negative, the
  /// outermost; 0 leaves the stacks out.
  std::optional<int> limit = {};
  /// Where the call is, the first entry of the current task's stack.
  std::source_location here = std::source_location::current();
};

/// One entry of a call stack.
struct FrameCallGraphEntry {
  /// File, line and function of the await; of the call, for the task that asks.
  std::source_location frame;
  /// False for a plain function that was called by the coroutine below it.
  bool is_coroutine = true;

  /// The function's short name.
  [[nodiscard]] std::string function() const { return short_function_name(frame); }
};

namespace detail {
struct CallGraphNodes;
}  // namespace detail

/// A task or future, where it stands, and who awaits it: the counterpart of
/// asyncio.FutureCallGraph. A snapshot that keeps the tasks alive; copies are cheap.
/// Tasks that await each other in a circle are a circle here. Thread rule: the loop's
/// thread, destruction included.
class ASTER_API FutureCallGraph {
 public:
  /// For `capture_call_graph`.
  FutureCallGraph(std::shared_ptr<const detail::CallGraphNodes> nodes, std::size_t node) noexcept
      : nodes_(std::move(nodes)), node_(node) {}

  /// What it is about; no task when it is a plain future.
  [[nodiscard]] AnyTask task() const;
  /// The number in its text, of no other future that lives.
  [[nodiscard]] std::uintptr_t id() const noexcept;
  /// Whether it is about `future`.
  template <class T>
  [[nodiscard]] bool is_about(const Future<T>& future) const noexcept {
    return id() == reinterpret_cast<std::uintptr_t>(&detail::Access::state(future));
  }
  /// Its awaits, innermost first; those of a plain future are none.
  [[nodiscard]] const std::vector<FrameCallGraphEntry>& call_stack() const noexcept;
  /// The tasks that await it, in the order in which they began to: directly, or through
  /// `gather`, `shield`, `wait`, `as_completed` or the `TaskGroup` whose child it is.
  [[nodiscard]] std::vector<FutureCallGraph> awaited_by() const;

 private:
  friend ASTER_API std::string to_string(const FutureCallGraph& graph);
  std::shared_ptr<const detail::CallGraphNodes> nodes_;
  std::size_t node_;
};

/// The graph as text, in CPython's layout. A circle is followed once, and what is nested
/// more than 100 deep is left out with a note, as is what follows 10,000 tasks.
[[nodiscard]] ASTER_API std::string to_string(const FutureCallGraph& graph);

namespace detail {

/// The running task's; none outside tasks.
[[nodiscard]] ASTER_API std::optional<FutureCallGraph> capture_current(
    const CallGraphOptions& options);
[[nodiscard]] ASTER_API FutureCallGraph capture_of(FutureBase& future,
                                                   const CallGraphOptions& options);
ASTER_API void print_text(std::string text, std::ostream* out);

template <class Handle>
concept GraphRoot = AnyFuture<Handle> || std::same_as<Handle, AnyTask>;

}  // namespace detail

/// Where the current task is and who awaits it; nothing when no task runs. RuntimeError
/// without a running loop.
[[nodiscard]] inline std::optional<FutureCallGraph> capture_call_graph(
    CallGraphOptions options = {}) {
  return detail::capture_current(options);
}
/// Where `future` is and who awaits it: a `Future`, `Task` or `AnyTask`, not empty. Needs no
/// running loop.
template <detail::GraphRoot Handle>
[[nodiscard]] FutureCallGraph capture_call_graph(const Handle& future,
                                                 CallGraphOptions options = {}) {
  return detail::capture_of(detail::Access::state(future), options);
}

/// The current task's graph as text; "" when no task runs. RuntimeError without a running
/// loop.
[[nodiscard]] inline std::string format_call_graph(CallGraphOptions options = {}) {
  const std::optional<FutureCallGraph> graph = detail::capture_current(options);
  return graph ? to_string(*graph) : std::string();
}
/// The graph of `future` as text.
template <detail::GraphRoot Handle>
[[nodiscard]] std::string format_call_graph(const Handle& future, CallGraphOptions options = {}) {
  return to_string(capture_call_graph(future, options));
}

/// Prints the current task's graph and a newline to stdout.
inline void print_call_graph(CallGraphOptions options = {}) {
  detail::print_text(format_call_graph(options), nullptr);
}
/// The same to `out`.
inline void print_call_graph(std::ostream& out, CallGraphOptions options = {}) {
  detail::print_text(format_call_graph(options), &out);
}
/// Prints the graph of `future` and a newline to stdout.
template <detail::GraphRoot Handle>
void print_call_graph(const Handle& future, CallGraphOptions options = {}) {
  detail::print_text(format_call_graph(future, options), nullptr);
}
/// The same to `out`.
template <detail::GraphRoot Handle>
void print_call_graph(const Handle& future, std::ostream& out, CallGraphOptions options = {}) {
  detail::print_text(format_call_graph(future, options), &out);
}

}  // namespace aster::inline v0
