// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/immediately.hpp>
#include <aster/task/wait_list.hpp>

#include <cstdint>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {
template <class Result>
class LockWait;
}  // namespace detail

/// Lets one task at a time into a section of code that awaits; the counterpart of
/// asyncio.Lock. Code without an await in it needs none.
///
///     Coroutine<> transfer(Lock& lock, Account& from, Account& to) {
///       auto held = co_await lock.scoped();   // Released at the end of the block.
///       co_await from.withdraw(100);
///       co_await to.deposit(100);
///     }
///
/// Tasks get it in the order in which they asked. A task that is cancelled while it
/// waits, also after it was its turn, lets the next one in. Not recursive: a task that
/// asks again waits for itself. Bound to the first loop that a task waits on
/// (RuntimeError on another). Thread rule: that loop's thread. Must outlive its
/// waiters (asserted).
class ASTER_API Lock {
  template <class Result>
  using Acquire = WaitList::Wait<detail::LockWait<Result>>;

 public:
  class Guard;

  /// Unlocked.
  Lock() noexcept = default;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() { waiters_.check_unused(); }

  /// Waits for its turn and locks; gives true. Does not suspend when it is free and
  /// nobody waits. When the await throws, the lock was not taken.
  [[nodiscard]] Acquire<bool> acquire() noexcept;
  /// The same, giving a guard that releases it: the way to lock.
  [[nodiscard]] Acquire<Guard> scoped() noexcept;

  /// Unlocks and schedules the task that has waited longest. Until that runs the lock is
  /// free, but who comes now waits behind it. RuntimeError when it is not locked. Any
  /// task may release it.
  void release() {
    if (holder_ == 0) [[unlikely]]
      throw_not_acquired();
    if (!waiters_.empty()) check_thread();
    unlock();
  }

  /// Whether it is locked.
  [[nodiscard]] bool locked() const noexcept { return holder_ != 0; }

  /// For `with(lock, body)`: acquires.
  [[nodiscard]] Acquire<void> enter() noexcept;
  /// For `with`: releases.
  [[nodiscard]] detail::Immediately<bool> exit(const std::exception_ptr&) {
    release();
    return detail::Immediately<bool>(false);
  }

  /// The lock in one line for people: "<Lock [locked, waiters:2]>".
  friend ASTER_API std::string to_string(const Lock& lock);

 private:
  friend class Condition;
  template <class Result>
  friend class detail::LockWait;

  void lock() noexcept { holder_ = ++last_holder_; }
  void unlock() noexcept {
    holder_ = 0;
    if (!waiters_.empty()) hand_over();
  }
  void hand_over() noexcept;
  void check_thread() const;
  [[noreturn]] static void throw_not_acquired();

  // Each time it is locked it has a number of its own, so that a guard never releases
  // what is not its own: the lock of the task that came while a `Condition::wait` of the
  // guard's block was destroyed.
  std::uint64_t holder_ = 0;  // 0: unlocked.
  std::uint64_t last_holder_ = 0;
  WaitList waiters_;
};

/// Holds a lock and releases it at the end of its life, or earlier by `release`. Moves.
class [[nodiscard("the lock is released when the guard goes")]] Lock::Guard {
 public:
  /// Holds nothing.
  Guard() noexcept = default;
  Guard(Guard&& other) noexcept
      : lock_(std::exchange(other.lock_, nullptr)), holder_(other.holder_) {}
  Guard& operator=(Guard&& other) noexcept {
    if (this != &other) {
      release();
      lock_ = std::exchange(other.lock_, nullptr);
      holder_ = other.holder_;
    }
    return *this;
  }
  ~Guard() { release(); }

  /// Releases it now; nothing when that has been done, here or by `Lock::release`.
  void release() noexcept {
    Lock* lock = std::exchange(lock_, nullptr);
    if (lock != nullptr && lock->holder_ == holder_) lock->unlock();
  }
  /// Whether it has a lock to release.
  [[nodiscard]] explicit operator bool() const noexcept { return lock_ != nullptr; }

 private:
  template <class Result>
  friend class detail::LockWait;
  explicit Guard(Lock& lock) noexcept : lock_(&lock), holder_(lock.holder_) {}
  Lock* lock_ = nullptr;
  std::uint64_t holder_ = 0;
};

// -------------------------------------------------------------------------------

namespace detail {

/// What `acquire` and its kin wait for.
template <class Result>
class LockWait {
 public:
  explicit LockWait(Lock& lock) noexcept : lock_(&lock) {}
  [[nodiscard]] WaitList& list() const noexcept { return lock_->waiters_; }
  [[nodiscard]] bool ready() const noexcept {
    if (lock_->holder_ != 0 || lock_->waiters_.has_live()) return false;
    lock_->lock();
    return true;
  }
  void granted() const noexcept { lock_->lock(); }
  void withdraw(bool) const noexcept {
    if (lock_->holder_ == 0) lock_->waiters_.wake_oldest();
  }
  [[nodiscard]] Result result() const noexcept {
    if constexpr (std::is_same_v<Result, Lock::Guard>) {
      return Lock::Guard(*lock_);
    } else if constexpr (std::is_same_v<Result, bool>) {
      return true;
    }
  }

 private:
  Lock* lock_;
};

}  // namespace detail

inline Lock::Acquire<bool> Lock::acquire() noexcept {
  return Acquire<bool>(detail::LockWait<bool>(*this));
}
inline Lock::Acquire<Lock::Guard> Lock::scoped() noexcept {
  return Acquire<Guard>(detail::LockWait<Guard>(*this));
}
inline Lock::Acquire<void> Lock::enter() noexcept {
  return Acquire<void>(detail::LockWait<void>(*this));
}

}  // namespace aster::inline v0
