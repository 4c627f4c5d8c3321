// SPDX-License-Identifier: MIT
#include "coro/never_awaited.hpp"

#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>

namespace aster::inline v0::detail {

constinit thread_local std::uintptr_t step_stack = 0;

void Driver::throw_pending() {
  const std::uint8_t pending = std::exchange(
      flags_, static_cast<std::uint8_t>(flags_ & static_cast<std::uint8_t>(~pending_mask)));
  std::exception_ptr error =
      (pending & throw_requested) != 0 ? ops().take_error(*this) : std::exception_ptr();
  if ((pending & (must_cancel | cancel_delivered)) != 0) {
    throw CancelledError(ops().take_message(*this));
  }
  std::rethrow_exception(std::move(error));
}

void Driver::destroy_frames() noexcept {
  waiter_ = nullptr;
  phase_ = Phase::ended;
  while (leaf_ != nullptr) {
    PromiseBase& frame = *leaf_;
    CallLink* link = frame.link();
    leaf_ = link != nullptr ? link->parent_ : nullptr;
    if (link != nullptr) link->child_ = nullptr;
    PromiseBase::destroy(frame);
  }
}

void drop_unstarted(PromiseBase& promise) noexcept {
  never_awaited().tell(promise.await_site(), promise.called_from());
  PromiseBase::destroy(promise);
}

}  // namespace aster::inline v0::detail
