// SPDX-License-Identifier: MIT
#pragma once

/// The whole library but `testing/` and `interop/`, which are included by name.
/// Programs that care for compile time include the header of each concept.

// base
#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/function.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/log.hpp>
#include <aster/base/random.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/sys_call.hpp>
#include <aster/base/time.hpp>
#include <aster/base/waker.hpp>
// coro
#include <aster/coro/awaitable.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/foreign.hpp>
#include <aster/coro/outcome.hpp>
#include <aster/coro/promise.hpp>
#include <aster/coro/result.hpp>
#include <aster/coro/with.hpp>
// task
#include <aster/task/child_watch.hpp>
#include <aster/task/done_awaiter.hpp>
#include <aster/task/ensure_future.hpp>
#include <aster/task/exception_context.hpp>
#include <aster/task/future.hpp>
#include <aster/task/gather.hpp>
#include <aster/task/inbox.hpp>
#include <aster/task/scheduler.hpp>
#include <aster/task/shield.hpp>
#include <aster/task/task.hpp>
#include <aster/task/task_group.hpp>
#include <aster/task/timer_queue.hpp>
// loop
#include <aster/loop/backend.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/handle.hpp>
#include <aster/loop/operation.hpp>
#include <aster/loop/policy.hpp>
#include <aster/loop/runner.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/loop/wait.hpp>
// io
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
