// SPDX-License-Identifier: MIT
#pragma once

/// The whole library but `testing/` and `interop/`, which are included by name.
/// Programs that care for compile time include the header of each concept.

// base
#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>
// loop
#include <aster/loop/backend.hpp>
#include <aster/loop/operation.hpp>
