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
#include <aster/base/ready_queue.hpp>
#include <aster/base/time.hpp>
// loop
#include <aster/loop/backend.hpp>
#include <aster/loop/operation.hpp>
