// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/future.hpp>

#include <cstdint>
#include <utility>

namespace aster::inline v0 {

class WaitList;

namespace detail {

class ChildWatch;

/// Who waits, in the end, for the children of a `ChildOwner`: whoever awaits a future,
/// one driver, or those in a wait list. For introspection only.
class ChildWaiter {
 public:
  enum class Kind : std::uint8_t { future = 0, driver = 1, list = 2 };

  /// Nobody.
  ChildWaiter() noexcept = default;
  explicit ChildWaiter(FutureBase& future) noexcept : ChildWaiter(&future, Kind::future) {}
  explicit ChildWaiter(Driver& driver) noexcept : ChildWaiter(&driver, Kind::driver) {}
  explicit ChildWaiter(WaitList& list) noexcept : ChildWaiter(&list, Kind::list) {}

  [[nodiscard]] FutureBase* future() const noexcept { return get<FutureBase>(Kind::future); }
  [[nodiscard]] Driver* driver() const noexcept { return get<Driver>(Kind::driver); }
  [[nodiscard]] WaitList* list() const noexcept { return get<WaitList>(Kind::list); }

 private:
  friend struct Layout;
  static constexpr std::uintptr_t kind_mask = 3;

  ChildWaiter(void* target, Kind kind) noexcept
      : tagged_(reinterpret_cast<std::uintptr_t>(target) | static_cast<std::uintptr_t>(kind)) {}
  template <class T>
  [[nodiscard]] T* get(Kind kind) const noexcept {
    if ((tagged_ & kind_mask) != static_cast<std::uintptr_t>(kind)) return nullptr;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return reinterpret_cast<T*>(tagged_ & ~kind_mask);
  }

  std::uintptr_t tagged_ = 0;
};

/// Who is told, on the loop, that futures it watches are done: the outer future of
/// a gather, the waiter of a wait. Counted, as a note that is queued may outlive
/// the interest in it.
class ASTER_API ChildOwner {
 public:
  /// May destroy `watch`.
  virtual void child_done(ChildWatch& watch) = 0;
  virtual void retain() noexcept = 0;
  virtual void release() noexcept = 0;

  /// Who waits for it.
  [[nodiscard]] const ChildWaiter& waiter() const noexcept { return waiter_; }

 protected:
  ChildOwner() noexcept = default;
  ~ChildOwner() = default;
  void set_waiter(ChildWaiter waiter) noexcept { waiter_ = waiter; }

 private:
  friend struct Layout;
  ChildWaiter waiter_;
};

/// One watched future: when it is done, a callback is queued that tells the owner.
/// Holds the future; and the owner while queued.
class ASTER_API ChildWatch : Runnable {
 public:
  ChildWatch(ChildOwner& owner, StateRef<FutureBase> child) noexcept
      : Runnable(&runnable_ops), owner_(&owner), child_(std::move(child)) {
    link_.owner_ = this;
    link_.set_target(*this);
    link_.queued_ = [](DoneHook& link) noexcept {
      static_cast<ChildWatch*>(link.owner_)->owner_->retain();
    };
    link_.discard_ = [](DoneHook&) noexcept {};
  }
  ChildWatch(const ChildWatch&) = delete;
  ChildWatch& operator=(const ChildWatch&) = delete;
  ~ChildWatch() = default;

  /// Begins to watch; a child that is done already is told in the next turn.
  void start() noexcept {
    if (child_->is_done()) {
      owner_->retain();
      child_->scheduler().post(*this);
    } else {
      child_->add_link(link_);
    }
  }
  /// No longer watches a child that is pending.
  void stop() noexcept { link_.unlink(); }

  [[nodiscard]] FutureBase& child() const noexcept { return *child_; }
  [[nodiscard]] const ChildOwner& owner() const noexcept { return *owner_; }
  /// The watch that `hook` belongs to; null when it is another's.
  [[nodiscard]] static const ChildWatch* of(const DoneHook& hook) noexcept {
    return hook.target()->runnable_kind() == &runnable_ops
               ? static_cast<const ChildWatch*>(hook.owner_)
               : nullptr;
  }

 private:
  friend struct Layout;
  static const RunnableOps runnable_ops;

  ChildOwner* owner_;
  StateRef<FutureBase> child_;
  DoneHook link_;
};

/// A counted reference to a kind of owner.
template <class Owner>
class OwnerRef {
 public:
  /// Takes over one reference, as a new owner has it.
  explicit OwnerRef(Owner* owner) noexcept : owner_(owner) {}
  OwnerRef(OwnerRef&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
  OwnerRef& operator=(OwnerRef&& other) noexcept {
    std::swap(owner_, other.owner_);
    return *this;
  }
  OwnerRef(const OwnerRef&) = delete;
  OwnerRef& operator=(const OwnerRef&) = delete;
  ~OwnerRef() {
    if (owner_ != nullptr) owner_->release();
  }
  /// One more reference.
  [[nodiscard]] static OwnerRef share(Owner& owner) noexcept {
    owner.retain();
    return OwnerRef(&owner);
  }
  [[nodiscard]] explicit operator bool() const noexcept { return owner_ != nullptr; }
  [[nodiscard]] Owner& operator*() const noexcept { return *owner_; }
  [[nodiscard]] Owner* operator->() const noexcept { return owner_; }

 private:
  Owner* owner_;
};

}  // namespace detail
}  // namespace aster::inline v0
