// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <cstdint>

#include <sys/types.h>

/// What a pool and its workers agree on. Both ends of a socket send messages: eight bytes with
/// the size of what follows, and that. The first one to a worker is its initializer's call,
/// empty when there is none; each further one a call. Each is answered by a message: a bool,
/// and the result or the error.
namespace aster::inline v0::detail::worker {

/// Tells a process that it is a worker: "<descriptor of its socket> <its parent>".
inline constexpr char variable[] = "ASTER_PROCESS_POOL_WORKER";
/// That descriptor.
inline constexpr int socket_fd = 3;

using MessageSize = std::uint64_t;

/// How a worker says that it could not even begin.
inline constexpr int cannot_begin_status = 86;

/// RuntimeError when the hook of process_worker.cpp did not run before this process's `main`:
/// then it would not in a worker either, which would come to `main` and start workers itself.
void require_hook();

}  // namespace aster::inline v0::detail::worker
