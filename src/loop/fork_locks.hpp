// SPDX-License-Identifier: MIT
#pragma once

/// Locks of the process that are held while it forks, lest a child find one locked by a
/// thread that it does not have.
namespace aster::inline v0::detail {

/// Of the event loop policy.
void lock_policy() noexcept;
/// See `lock_policy`.
void unlock_policy() noexcept;
/// Of the signals that loops watch.
void lock_signals() noexcept;
/// See `lock_signals`.
void unlock_signals() noexcept;

}  // namespace aster::inline v0::detail
