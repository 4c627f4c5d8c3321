// SPDX-License-Identifier: MIT
#include "base/sys.hpp"

#include "base/clock.hpp"
#include "base/cycles.hpp"

namespace aster::inline v0::detail::sys {

#if defined(ASTER_FAULT_INJECTION)
namespace {
constinit std::atomic<Judge> current_judge{nullptr};
constinit thread_local bool last_was_cut = false;
constinit std::atomic<std::uint64_t (*)() noexcept> cycle_script{nullptr};
constinit std::atomic<TimePoint (*)() noexcept> clock_script{nullptr};
}  // namespace

std::atomic<Judge>& judge() noexcept { return current_judge; }

bool& cut_last() noexcept { return last_was_cut; }

std::atomic<std::uint64_t (*)() noexcept>& scripted_cycles() noexcept { return cycle_script; }

std::atomic<TimePoint (*)() noexcept>& scripted_clock() noexcept { return clock_script; }
#endif

}  // namespace aster::inline v0::detail::sys
