// SPDX-License-Identifier: MIT
#include <aster/executor/crossing.hpp>

#include <utility>

namespace aster::inline v0::detail {

const RunnableOps Crossing::runnable_ops{
    [](Runnable& node) { static_cast<Crossing&>(node).arrive(); },
    [](Runnable& node) noexcept {
      auto& self = static_cast<Crossing&>(node);
      static_cast<void>(self.detach());
      self.release();
    }};

void Crossing::post() noexcept {
  // Taken out, as the loop may be done with this before `push` returns.
  const std::shared_ptr<Inbox> inbox = std::move(inbox_);
  if (!inbox->push(*this)) release();
}

void Crossing::arrive() {
  const StateRef<FutureBase> future = detach();
  if (future && !future->is_done()) deliver(*future);
  release();
}

StateRef<FutureBase> Crossing::detach() noexcept {
  if (!future_) return {};
  StateRef<FutureBase> future = std::move(future_);
  *std::exchange(back_link_, nullptr) = nullptr;
  unlink();
  release();
  return future;
}

}  // namespace aster::inline v0::detail
