// SPDX-License-Identifier: MIT
#include <aster/coro/exit_stack.hpp>

namespace aster::inline v0 {

detail::ExitEntry::~ExitEntry() = default;

AsyncExitStack::~AsyncExitStack() { drop(); }

AsyncExitStack& AsyncExitStack::operator=(AsyncExitStack&& other) noexcept {
  if (this != &other) {
    drop();
    top_ = std::move(other.top_);
  }
  return *this;
}

void AsyncExitStack::drop() noexcept {
  while (top_ != nullptr) {
    // One by one: many of them must not nest.
    const std::unique_ptr<detail::ExitEntry> entry = std::move(top_);
    top_ = std::move(entry->below);
  }
}

Coroutine<> AsyncExitStack::aclose() { co_await exit(nullptr); }

Coroutine<bool> AsyncExitStack::exit(std::exception_ptr error) {
  const bool received = error != nullptr;
  bool swallowed = false;
  bool failed = false;  // `error` is from one of ours.
  while (top_ != nullptr) {
    const std::unique_ptr<detail::ExitEntry> entry = std::move(top_);
    top_ = std::move(entry->below);
    try {
      Coroutine<bool> leaving = entry->exit(error);
      const bool swallows = co_await std::move(leaving);
      if (swallows) {
        swallowed = true;
        failed = false;
        error = nullptr;
      }
    } catch (...) {
      failed = true;
      error = std::current_exception();
    }
  }
  if (failed) std::rethrow_exception(std::move(error));
  co_return received&& swallowed;
}

}  // namespace aster::inline v0
