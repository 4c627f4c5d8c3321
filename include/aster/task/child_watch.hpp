// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/task/future.hpp>

#include <utility>

namespace aster::inline v0::detail {

class ChildWatch;

/// Who is told, on the loop, that futures it watches are done: the outer future of
/// a gather, the waiter of a wait. Counted, as a note that is queued may outlive
/// the interest in it.
class ASTER_API ChildOwner {
 public:
  /// May destroy `watch`.
  virtual void child_done(ChildWatch& watch) = 0;
  virtual void retain() noexcept = 0;
  virtual void release() noexcept = 0;

 protected:
  ~ChildOwner() = default;
};

/// One watched future: when it is done, a callback is queued that tells the owner.
/// Holds the future; and the owner while queued.
class ASTER_API ChildWatch : Runnable {
 public:
  ChildWatch(ChildOwner& owner, StateRef<FutureBase> child) noexcept
      : Runnable(&runnable_ops), owner_(owner), child_(std::move(child)) {
    link_.owner_ = this;
    link_.set_target(*this);
    link_.queued_ = [](DoneHook& link) noexcept {
      static_cast<ChildWatch*>(link.owner_)->owner_.retain();
    };
    link_.discard_ = [](DoneHook&) noexcept {};
  }
  ChildWatch(const ChildWatch&) = delete;
  ChildWatch& operator=(const ChildWatch&) = delete;
  ~ChildWatch() = default;

  /// Begins to watch; a child that is done already is told in the next turn.
  void start() noexcept {
    if (child_->is_done()) {
      owner_.retain();
      child_->scheduler().post(*this);
    } else {
      child_->add_link(link_);
    }
  }
  /// No longer watches a child that is pending.
  void stop() noexcept { link_.unlink(); }

  [[nodiscard]] FutureBase& child() const noexcept { return *child_; }

 private:
  static const RunnableOps runnable_ops;

  ChildOwner& owner_;
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

}  // namespace aster::inline v0::detail
