// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/state_ref.hpp>

#include <atomic>
#include <cstdint>
#include <utility>

/// What tasks and callbacks keep of a context; see context.hpp for what that is.
namespace aster::inline v0 {

class ContextVarBase;

namespace detail {

/// A value that contexts of any thread share.
class ASTER_API ContextValue {
 public:
  ContextValue(const ContextValue&) = delete;
  ContextValue& operator=(const ContextValue&) = delete;
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

 protected:
  ContextValue() noexcept = default;
  ~ContextValue() = default;
  virtual void destroy() noexcept = 0;

 private:
  std::atomic<std::uint32_t> references_{1};
};

class ContextMap;

/// What a `Context` refers to: the variables that are set, as they are now.
class ASTER_API ContextState {
 public:
  explicit ContextState(StateRef<ContextMap> map) noexcept;
  ContextState(const ContextState&) = delete;
  ContextState& operator=(const ContextState&) = delete;

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy_in_frame(this);
  }
  /// The value of `var`, or null.
  [[nodiscard]] ContextValue* find(const ContextVarBase& var) const noexcept;
  /// Sets `var`, or unsets it when `value` is null. Strong guarantee.
  void set(const ContextVarBase& var, StateRef<ContextValue> value);
  [[nodiscard]] const StateRef<ContextMap>& map() const noexcept { return map_; }

  std::atomic<bool> entered{false};  // Current in some thread.

 private:
  friend void destroy_in_frame<ContextState>(ContextState*) noexcept;
  ~ContextState();
  std::atomic<std::uint32_t> references_{1};
  StateRef<ContextMap> map_;  // Null: nothing is set. Others may share it.
};

/// Where a task or callback keeps its context: nothing, the values it was made with,
/// or (once something was set, or somebody asked for it) a context of its own.
class ASTER_API ContextSlot {
 public:
  /// An empty context.
  constexpr ContextSlot() noexcept = default;
  /// A copy of what `other` holds now.
  ContextSlot(const ContextSlot& other) noexcept {
    if (other.bits_ != 0) [[unlikely]]
      take_snapshot(other);
  }
  ContextSlot(ContextSlot&& other) noexcept : bits_(std::exchange(other.bits_, 0)) {}
  ContextSlot& operator=(const ContextSlot&) = delete;
  /// `state` itself, not a copy.
  explicit ContextSlot(StateRef<ContextState> state) noexcept;
  ~ContextSlot() {
    if (bits_ != 0) [[unlikely]]
      release();
  }

  /// Whether nothing is set and nobody can tell.
  [[nodiscard]] bool is_blank() const noexcept { return bits_ == 0; }
  /// The context; made if it has none of its own yet.
  [[nodiscard]] ContextState& state();
  [[nodiscard]] ContextValue* find(const ContextVarBase& var) const noexcept;
  /// The values as they are now; null when there are none.
  [[nodiscard]] StateRef<ContextMap> values() const noexcept;

 private:
  friend class ContextEntry;
  static constexpr std::uintptr_t owns_state = 1;
  void take_snapshot(const ContextSlot& other) noexcept;
  void release() noexcept;
  [[nodiscard]] bool has_own_state() const noexcept { return (bits_ & owns_state) != 0; }
  [[nodiscard]] ContextState& own_state() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): marked.
    return *reinterpret_cast<ContextState*>(bits_ - owns_state);
  }
  [[nodiscard]] ContextMap* map() const noexcept;

  std::uintptr_t bits_ = 0;  // Null; a `ContextMap`; or, marked, a `ContextState`.
};

/// Where the thread keeps which slot is the current one; null: the thread's own.
[[nodiscard]] ASTER_API ContextSlot*& context_cell() noexcept;
/// The slot that is current in this thread.
[[nodiscard]] ASTER_API ContextSlot& current_context() noexcept;

/// Makes `slot` the thread's current one while it lives; the slot must outlive it.
class ContextEntry {
 public:
  ContextEntry(ContextSlot*& cell, ContextSlot& slot) noexcept
      : cell_(cell), previous_(std::exchange(cell, &slot)) {
    if (slot.has_own_state()) [[unlikely]]
      nested_ = slot.own_state().entered.exchange(true, std::memory_order_acquire);
  }
  ContextEntry(const ContextEntry&) = delete;
  ContextEntry& operator=(const ContextEntry&) = delete;
  ~ContextEntry() {
    if (cell_->has_own_state()) [[unlikely]]
      cell_->own_state().entered.store(nested_, std::memory_order_release);
    cell_ = previous_;
  }

  /// Whether the context was current already, further out or in another thread.
  [[nodiscard]] bool is_nested() const noexcept { return nested_; }

 private:
  ContextSlot*& cell_;
  ContextSlot* previous_;
  bool nested_ = false;
};

}  // namespace detail
}  // namespace aster::inline v0
