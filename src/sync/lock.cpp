// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/sync/lock.hpp>

#include "sync/text.hpp"

namespace aster::inline v0 {

void Lock::hand_over() noexcept { waiters_.wake_oldest(); }

void Lock::check_thread() const { waiters_.check_thread("Lock.release"); }

void Lock::throw_not_acquired() { throw RuntimeError("Lock is not acquired."); }

std::string to_string(const Lock& lock) {
  return detail::primitive_text("Lock", lock.locked() ? "locked" : "unlocked", lock.waiters_);
}

}  // namespace aster::inline v0
