// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/immediately.hpp>
#include <aster/task/wait_list.hpp>

#include <cstddef>
#include <exception>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {
template <class Result>
class SemaphoreWait;
}  // namespace detail

/// A number of permits that tasks take and give back: lets so many at a time into a
/// section of code. The counterpart of asyncio.Semaphore.
///
///     Semaphore slots{3};
///     Coroutine<Page> polite_fetch(std::string url) {
///       auto slot = co_await slots.scoped();  // At most three at a time.
///       co_return co_await fetch(std::move(url));
///     }
///
/// Tasks get permits in the order in which they asked. The permit of a task that is
/// cancelled before it runs goes to the next one. Bound to the first loop that a task
/// waits on (RuntimeError on another). Thread rule: that loop's thread. Must outlive its
/// waiters (asserted).
class ASTER_API Semaphore {
  template <class Result>
  using Acquire = WaitList::Wait<detail::SemaphoreWait<Result>>;

 public:
  class Guard;

  /// With `value` permits; ValueError when that is negative.
  explicit Semaphore(std::ptrdiff_t value = 1)
      : Semaphore(value, std::numeric_limits<std::ptrdiff_t>::max()) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() { waiters_.check_unused(); }

  /// Waits for a permit and takes it; gives true. Does not suspend when there is one and
  /// nobody waits. When the await throws, no permit was taken.
  [[nodiscard]] Acquire<bool> acquire() noexcept;
  /// The same, giving a guard that gives the permit back: the way to acquire.
  [[nodiscard]] Acquire<Guard> scoped() noexcept;

  /// Gives a permit back: it is that of the task that has waited longest at once, which
  /// goes on in a later turn. Any task may do so, also one that has none. ValueError
  /// when a BoundedSemaphore has all of its permits.
  void release() {
    if (value_ >= bound_) [[unlikely]]
      throw_released_too_often();
    if (waiters_.empty()) {
      ++value_;
    } else {
      hand_over();
    }
  }

  /// Whether `acquire` would wait: there are no permits, or others wait for theirs.
  [[nodiscard]] bool locked() const noexcept { return value_ == 0 || waiters_.has_live(); }

  /// For `with(semaphore, body)`: acquires.
  [[nodiscard]] Acquire<void> enter() noexcept;
  /// For `with`: releases.
  [[nodiscard]] detail::Immediately<bool> exit(const std::exception_ptr&) {
    release();
    return detail::Immediately<bool>(false);
  }

  /// The semaphore in one line for people: "<Semaphore [unlocked, value:2]>".
  friend ASTER_API std::string to_string(const Semaphore& semaphore);

 protected:
  /// That never has more than `bound` permits.
  Semaphore(std::ptrdiff_t value, std::ptrdiff_t bound);

 private:
  template <class Result>
  friend class detail::SemaphoreWait;
  /// Hands out what is free to those who wait. Permits can be free while tasks wait, as
  /// who comes behind a woken task waits for that to run first.
  void settle() noexcept {
    while (value_ > 0 && waiters_.wake_one()) --value_;
  }
  void hand_over();
  [[noreturn]] static void throw_released_too_often();

  std::ptrdiff_t value_;  // Permits that are nobody's; those of woken tasks are not in it.
  std::ptrdiff_t bound_;
  WaitList waiters_;
};

/// A semaphore that never has more permits than it began with: `release` is a
/// ValueError then. The counterpart of asyncio.BoundedSemaphore; finds a release too
/// many.
class ASTER_API BoundedSemaphore : public Semaphore {
 public:
  /// With `value` permits; ValueError when that is negative.
  explicit BoundedSemaphore(std::ptrdiff_t value = 1) : Semaphore(value, value) {}
};

/// Holds a permit and gives it back at the end of its life, or earlier by `release`.
/// Moves. The semaphore must not have been given this permit back in another way.
class [[nodiscard("the permit is given back when the guard goes")]] Semaphore::Guard {
 public:
  /// Holds nothing.
  Guard() noexcept = default;
  Guard(Guard&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
  Guard& operator=(Guard&& other) noexcept {
    if (this != &other) {
      release();
      semaphore_ = std::exchange(other.semaphore_, nullptr);
    }
    return *this;
  }
  ~Guard() { release(); }

  /// Gives the permit back now; nothing when that has been done.
  void release() noexcept {
    if (Semaphore* semaphore = std::exchange(semaphore_, nullptr)) semaphore->release();
  }
  /// Whether it has a permit to give back.
  [[nodiscard]] explicit operator bool() const noexcept { return semaphore_ != nullptr; }

 private:
  template <class Result>
  friend class detail::SemaphoreWait;
  explicit Guard(Semaphore& semaphore) noexcept : semaphore_(&semaphore) {}
  Semaphore* semaphore_ = nullptr;
};

// -------------------------------------------------------------------------------

namespace detail {

/// What `acquire` and its kin wait for.
template <class Result>
class SemaphoreWait {
 public:
  explicit SemaphoreWait(Semaphore& semaphore) noexcept : semaphore_(&semaphore) {}
  [[nodiscard]] WaitList& list() const noexcept { return semaphore_->waiters_; }
  [[nodiscard]] bool ready() const noexcept {
    if (semaphore_->locked()) return false;
    --semaphore_->value_;
    return true;
  }
  void granted() const noexcept { semaphore_->settle(); }
  void withdraw(bool woken) const noexcept {
    if (woken) ++semaphore_->value_;
    semaphore_->settle();
  }
  [[nodiscard]] Result result() const noexcept {
    if constexpr (std::is_same_v<Result, Semaphore::Guard>) {
      return Semaphore::Guard(*semaphore_);
    } else if constexpr (std::is_same_v<Result, bool>) {
      return true;
    }
  }

 private:
  Semaphore* semaphore_;
};

}  // namespace detail

inline Semaphore::Acquire<bool> Semaphore::acquire() noexcept {
  return Acquire<bool>(detail::SemaphoreWait<bool>(*this));
}
inline Semaphore::Acquire<Semaphore::Guard> Semaphore::scoped() noexcept {
  return Acquire<Guard>(detail::SemaphoreWait<Guard>(*this));
}
inline Semaphore::Acquire<void> Semaphore::enter() noexcept {
  return Acquire<void>(detail::SemaphoreWait<void>(*this));
}

}  // namespace aster::inline v0
