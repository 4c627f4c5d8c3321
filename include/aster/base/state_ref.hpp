// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <utility>

namespace aster::inline v0::detail {

/// A counted reference to a state that counts itself, by `add_reference` and
/// `release_reference`: what handles are made of. A state with `note_copied` is told of
/// copies, for checks of debug mode.
///
///     auto mine = StateRef<FutureBase>::share(future);
template <class State>
class StateRef {
 public:
  StateRef() noexcept = default;
  /// Takes over one reference.
  explicit StateRef(State* state) noexcept : state_(state) {}
  StateRef(const StateRef& other) noexcept : state_(other.state_) {
    if (state_ == nullptr) return;
    if constexpr (requires { state_->note_copied(); }) state_->note_copied();
    state_->add_reference();
  }
  StateRef(StateRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  StateRef& operator=(StateRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~StateRef() {
    if (state_ != nullptr) state_->release_reference();
  }
  /// One more reference.
  [[nodiscard]] static StateRef share(State& state) noexcept {
    state.add_reference();
    return StateRef(&state);
  }
  [[nodiscard]] State* get() const noexcept { return state_; }
  /// Leaves the reference to the caller; empty afterwards.
  [[nodiscard]] State* give_up() noexcept { return std::exchange(state_, nullptr); }
  State* operator->() const noexcept { return state_; }
  State& operator*() const noexcept { return *state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  State* state_ = nullptr;
};

}  // namespace aster::inline v0::detail
