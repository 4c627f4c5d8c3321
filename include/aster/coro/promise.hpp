// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/coro/awaitable.hpp>
#include <aster/coro/driver.hpp>

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <type_traits>
#include <utility>

namespace aster::inline v0::detail {

template <class Awaiter>
class ForeignAwaiter;

/// An awaiter that lives elsewhere. Given to `co_await` in its place, as g++ 12
/// copies an awaiter that `await_transform` returns by reference.
template <class Inner>
class AwaiterRef {
 public:
  using aster_awaiter = void;
  explicit AwaiterRef(Inner& inner) noexcept : inner_(inner) {}
  [[nodiscard]] bool await_ready() noexcept(noexcept(std::declval<Inner&>().await_ready())) {
    return inner_.await_ready();
  }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> handle) {
    return inner_.await_suspend(handle);
  }
  decltype(auto) await_resume() { return inner_.await_resume(); }

 private:
  Inner& inner_;
};

/// The part of every promise that drivers know. Derive a promise from it and a
/// coroutine type of your own runs under any driver and can await everything
/// here. Must be the promise's first base, and the promise aligned to at most 16.
class ASTER_API PromiseBase {
 public:
  PromiseBase() noexcept = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    release_frame(memory, size);
  }

  /// `site`: the coroutine's definition; with g++ 12 the end of its body.
  [[nodiscard]] std::suspend_always initial_suspend(
      std::source_location site = std::source_location::current()) noexcept {
    site_ = site;
    return {};
  }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

  /// Notes where the frame waits, and wraps awaitables that know no driver.
  template <class T>
  decltype(auto) await_transform(T&& value,
                                 std::source_location site = std::source_location::current()) {
    static_assert(awaitable<T>,
                  "aster: co_await needs a Coroutine, Task, Future, or a type with operator "
                  "co_await or the three await members");
    if constexpr (ASTER_AWAIT_SITES != 0) site_ = site;
    if constexpr (requires { call_from(*this, value); }) {
      return call_from(*this, value);
    } else if constexpr (HasMemberCoAwait<T> || HasFreeCoAwait<T>) {
      using Found = decltype(get_awaiter(std::forward<T>(value)));
      if constexpr (NativeAwaiter<Found>) {
        return get_awaiter(std::forward<T>(value));
      } else {
        return ForeignAwaiter<Found>(get_awaiter(std::forward<T>(value)));
      }
    } else if constexpr (NativeAwaiter<T>) {
      return AwaiterRef<std::remove_reference_t<T>>(value);
    } else {
      return ForeignAwaiter<T&&>(static_cast<T&&>(value));
    }
  }

  [[nodiscard]] Driver& driver() const noexcept { return *driver_; }
  /// The frame that awaits this one; null at the root.
  [[nodiscard]] PromiseBase* caller() const noexcept {
    const CallLink* call = link();
    return call != nullptr ? call->parent_ : nullptr;
  }
  /// Where this frame awaits, or last awaited, something; before its first await, where
  /// it is defined.
  [[nodiscard]] const std::source_location& await_site() const noexcept { return site_; }

  [[nodiscard]] std::coroutine_handle<> handle() noexcept {
    return std::coroutine_handle<PromiseBase>::from_promise(*this);
  }
  /// Destroys the frame of `promise`.
  static void destroy(PromiseBase& promise) noexcept { promise.handle().destroy(); }

  /// The address that the coroutine was called from, while it has not been started; null
  /// where it is not known.
  [[nodiscard]] const void* called_from() const noexcept { return called_from_; }

  /// Makes it the root of `driver`.
  void drive_by(Driver& driver) noexcept {
    driver_ = &driver;
    driver.start(*this);
  }

 protected:
  ~PromiseBase() = default;

  void note_call([[maybe_unused]] const void* address) noexcept {
#if !defined(__OPTIMIZE__)  // Else it may have been inlined, and the address is another's.
    called_from_ = address;
#endif
  }

  /// The call that this frame runs for, in the awaiting frame; null at the root.
  [[nodiscard]] CallLink* link() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return (origin_ & root_tag) == 0 ? reinterpret_cast<CallLink*>(origin_) - 1 : nullptr;
  }
  /// Where the result goes: what follows the link, or what `set_root_result` was given.
  [[nodiscard]] void* result_place() const noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): tagged.
    return reinterpret_cast<void*>(origin_ & ~root_tag);
  }
  /// Where a root's result goes, at an even address.
  void set_root_result(void* result) noexcept {
    origin_ = reinterpret_cast<std::uintptr_t>(result) + root_tag;
  }

 private:
  friend struct Layout;
  friend class Driver;
  friend class CallLink;
  friend struct FinalAwaiter;

  static constexpr std::uintptr_t root_tag = 1;

  union {
    const void* called_from_ = nullptr;  // Until it is given a driver.
    Driver* driver_;                     // Set before the first step.
  };
  std::uintptr_t origin_ = root_tag;  // Where the result goes. Without the tag that is in the
                                      // awaiting frame, behind a CallLink.
  std::source_location site_;
};

template <class Promise>
concept DrivenPromise = std::is_base_of_v<PromiseBase, Promise>;

/// The compile-time error for coroutine types that are no part of this model.
template <class Promise>
constexpr void require_driver() noexcept {
  static_assert(DrivenPromise<Promise>,
                "aster: this coroutine type has no driver and cannot await aster's coroutines, "
                "tasks or primitives; start the work with aster::create_task and await that from "
                "an aster::Coroutine");
}

/// The driver of the coroutine that awaits.
template <class Promise>
[[nodiscard]] Driver& driver_of(std::coroutine_handle<Promise> handle) noexcept {
  require_driver<Promise>();
  return handle.promise().driver();
}

inline bool Driver::resume() {
  waiter_ = nullptr;
  phase_ = Phase::running;
  step_stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  do {
    leaf_->handle().resume();
  } while (phase_ == Phase::running);
  return phase_ == Phase::ended;
}

inline void CallLink::call(PromiseBase& parent, PromiseBase& child) noexcept {
  parent_ = &parent;
  child.driver_ = parent.driver_;
  child.origin_ = reinterpret_cast<std::uintptr_t>(this + 1);
  parent.driver_->leaf_ = &child;
}

inline bool CallLink::run(PromiseBase& parent, PromiseBase& child) noexcept {
  call(parent, child);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (step_stack - here > native_call_depth) return false;
  child.handle().resume();
  return parent.driver_->leaf_ == &parent;
}

template <class Promise>
void FinalAwaiter::await_suspend(std::coroutine_handle<Promise> self) const noexcept {
  PromiseBase& promise = self.promise();
  if (const CallLink* call = promise.link()) {
    promise.driver_->leaf_ = call->parent_;
  } else {
    promise.driver_->phase_ = Driver::Phase::ended;
  }
}

}  // namespace aster::inline v0::detail
