// SPDX-License-Identifier: MIT
#pragma once

#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>

namespace aster::inline v0::detail {

/// Makes a pipe, FIFO, socket or character device non-blocking, so that a transport can
/// take it over; ValueError for other kinds of files, RuntimeError for a descriptor that
/// a transport has. True when the other end's going can be noticed: not of a device.
bool check_pipe(const char* call, EventLoop& loop, native_file fd);

}  // namespace aster::inline v0::detail
