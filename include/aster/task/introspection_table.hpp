// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstdint>

/// Where a debugger, or another process, finds what `capture_call_graph` walks: the loops,
/// their tasks, the awaits of each and who waits for it. docs/introspection.md says how.
///
/// The symbol is found by name; all else by the offsets in it, in bytes. New fields come at
/// the end and raise `size`; when the meaning of one changes, so do `version` and the name.
extern "C" {

/// See `aster_introspection_v1`.
// NOLINTNEXTLINE(readability-identifier-naming): as C spells it.
struct aster_introspection_table {
  char magic[8];           ///< "aster\0\0\0".
  std::uint32_t version;   ///< 1.
  std::uint32_t size;      ///< Of this table.
  const void* schedulers;  ///< The first one, or null; each belongs to one loop.
  const void* task_kind;   ///< What is at `runnable_kind` of a task's driver.
  const void* watch_kind;  ///< What is at `runnable_kind` of a child's watch.

  // Scheduler.
  std::uint32_t scheduler_next;     ///< The next scheduler, or null.
  std::uint32_t scheduler_tasks;    ///< A list; each node is `task_node` into a task.
  std::uint32_t scheduler_current;  ///< The driver that is running, or null.

  // A list is a ring of nodes, its head one of them that is no item.
  std::uint32_t node_next;

  // Future; a task begins with one.
  std::uint32_t future_state;   ///< One byte: 0 pending, 1 cancelled, 2 has a result.
  std::uint32_t future_kind;    ///< One byte: 1 for a task.
  std::uint32_t future_links;   ///< The first link, or null.
  std::uint32_t future_source;  ///< A site: where it was made.

  // Task.
  std::uint32_t task_node;     ///< The node by which its scheduler lists it.
  std::uint32_t task_driver;   ///< Its driver.
  std::uint32_t task_details;  ///< Odd: twice the number and one. Even: the details' address.
  std::uint32_t details_name;  ///< Odd: twice the number and one. Even: a string's address.

  // Driver, which begins with a runnable.
  std::uint32_t runnable_kind;  ///< A pointer that says what it is.
  std::uint32_t driver_frame;   ///< The innermost frame, or null.
  std::uint32_t driver_phase;   ///< One byte: 0 waits or is queued, 1 runs, 2 has ended.

  // Frame.
  std::uint32_t frame_site;    ///< A site: its last await.
  std::uint32_t frame_origin;  ///< Odd: the outermost. Even: `call_size` behind a call.
  std::uint32_t call_size;
  std::uint32_t call_parent;  ///< Of a call: the frame that awaits.

  // Link: who is to be queued.
  std::uint32_t link_next;    ///< Even: the next link. Odd: there is none.
  std::uint32_t link_target;  ///< Even: a driver that awaits. Odd: a runnable, the link a hook.
  std::uint32_t hook_owner;   ///< The watch, when that runnable is of `watch_kind`.
  std::uint32_t watch_owner;  ///< What watches: a gather, group, shield, wait.
  std::uint32_t
      owner_waiter;  ///< Bits 0 and 1: a future (0), driver (1) or wait list (2), else null.

  // Wait list.
  std::uint32_t list_waits;   ///< A list; each node is `wait_node` into a wait.
  std::uint32_t wait_node;    ///< See there.
  std::uint32_t wait_driver;  ///< The driver that waits, or null.

  // A site is a pointer, null for none, to this.
  std::uint32_t site_file;      ///< Pointer to characters, ended by a zero.
  std::uint32_t site_function;  ///< The same.
  std::uint32_t site_line;      ///< 32 bits.

  // A string. `string_size` is 0 where this library does not know the layout.
  std::uint32_t string_data;  ///< Pointer to characters.
  std::uint32_t string_size;  ///< Their number, of a pointer's size.
};

/// The table of this process.
// NOLINTNEXTLINE(readability-identifier-naming): as C spells it.
ASTER_API extern aster_introspection_table aster_introspection_v1;

}  // extern "C"

namespace aster::inline v0::detail {

/// Held while loops come and go, and over a fork.
ASTER_API void lock_schedulers() noexcept;
/// See `lock_schedulers`.
ASTER_API void unlock_schedulers() noexcept;

}  // namespace aster::inline v0::detail
