// SPDX-License-Identifier: MIT
#include <aster/testing/faults.hpp>

#include <aster/base/error.hpp>

#include "base/sys.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>
#include <vector>

namespace aster::inline v0::testing {

namespace {

struct Script {
  SysCall call;
  std::uint64_t nth;
  std::uint64_t times;
  int fd;
  int error;        // 0: shorten.
  std::size_t max;  // The most bytes, when it shortens.
  std::uint64_t seen = 0;

  // Counts a call, and says whether this script concerns it.
  bool strikes(SysCall which, int on) noexcept {
    if (which != call || (fd != -1 && fd != on)) return false;
    ++seen;
    return seen >= nth && seen - nth < times;
  }
};

}  // namespace

class Faults::State {
 public:
  std::vector<Script> scripts;
  std::array<std::uint64_t, static_cast<std::size_t>(SysCall::count)> calls{};
  std::uint64_t injected = 0;
  State* next = nullptr;  // The older object that is alive.
};

namespace {

constinit std::mutex mutex;
constinit Faults::State* newest = nullptr;  // Guarded by mutex.

// Holds the mutex with all signals blocked: a handler that wakes the loop makes
// a system call, and would wait here for the very thread it interrupted.
class Guard {
 public:
  Guard() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
    mutex.lock();
  }
  ~Guard() {
    mutex.unlock();
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  sigset_t before_;
};

[[maybe_unused]] detail::sys::Verdict consult(SysCall call, int fd, std::size_t size) noexcept {
  const Guard guard;
  detail::sys::Verdict verdict{0, size};
  for (Faults::State* state = newest; state != nullptr; state = state->next) {
    ++state->calls[static_cast<std::size_t>(call)];
    for (Script& script : state->scripts) {
      if (!script.strikes(call, fd)) continue;
      if (script.error != 0) {
        if (verdict.error != 0) continue;
        verdict.error = script.error;
        ++state->injected;
      } else if (script.max < verdict.size) {
        verdict.size = script.max;
        ++state->injected;
      }
    }
  }
  return verdict;
}

}  // namespace

bool Faults::is_available() noexcept { return detail::sys::has_fault_injection; }

Faults::Faults() {
  if (!is_available()) {
    throw RuntimeError("Faults: this library was built without ASTER_FAULT_INJECTION");
  }
  state_ = std::make_unique<State>();
  const Guard guard;
  state_->next = newest;
  newest = state_.get();
#if defined(ASTER_FAULT_INJECTION)
  detail::sys::judge().store(&consult, std::memory_order_release);
#endif
}

Faults::~Faults() {
  const Guard guard;
  for (State** link = &newest; *link != nullptr; link = &(*link)->next) {
    if (*link != state_.get()) continue;
    *link = state_->next;
    break;
  }
#if defined(ASTER_FAULT_INJECTION)
  if (newest == nullptr) detail::sys::judge().store(nullptr, std::memory_order_release);
#endif
}

void Faults::fail(SysCall call, FailOptions options) {
  if (options.error == 0 || options.nth == 0) {
    throw ValueError("Faults::fail: error and nth must not be 0");
  }
  const Guard guard;
  state_->scripts.push_back(
      {call, options.nth, options.times, options.fd, options.error, 0});
}

void Faults::shorten(SysCall call, ShortenOptions options) {
  if (options.max == 0 || options.nth == 0) {
    throw ValueError("Faults::shorten: max and nth must not be 0");
  }
  const Guard guard;
  state_->scripts.push_back({call, options.nth, options.times, options.fd, 0, options.max});
}

std::uint64_t Faults::calls(SysCall call) const {
  const Guard guard;
  return state_->calls[static_cast<std::size_t>(call)];
}

std::uint64_t Faults::injected_count() const {
  const Guard guard;
  return state_->injected;
}

void Faults::clear() {
  const Guard guard;
  state_->scripts.clear();
  state_->calls.fill(0);
  state_->injected = 0;
}

}  // namespace aster::inline v0::testing
