// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/frame_allocator.hpp>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

template <class Signature>
class Function;

/// A callable of any type, owned and movable; what the library keeps callbacks
/// in. Unlike `std::function` it takes move-only callables. Callables of up to
/// four pointers that move without throwing are held without allocation.
///
///     Function<void(int)> callback = [p = std::make_unique<int>(1)](int x) { use(*p + x); };
///
/// Calling an empty one is a precondition violation (checked).
template <class R, class... Args>
class Function<R(Args...)> {
 public:
  /// Nothing to call.
  Function() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): as std::function.
  Function(std::nullptr_t) noexcept {}

  /// Holds `callable`; a null pointer makes an empty function.
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, Function> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
  // NOLINTNEXTLINE(google-explicit-constructor, bugprone-forwarding-reference-overload)
  Function(F&& callable) {
    using Held = std::decay_t<F>;
    using Given = std::remove_cvref_t<F>;  // A function's own name is never null.
    if constexpr (std::is_pointer_v<Given> || std::is_member_pointer_v<Given>) {
      if (callable == nullptr) return;
    }
    if constexpr (is_small<Held>) {
      ::new (static_cast<void*>(&storage_)) Held(std::forward<F>(callable));
      static constexpr Ops ops{[](void* self, Args... args) -> R {
                                 return invoke(*static_cast<Held*>(self),
                                               std::forward<Args>(args)...);
                               },
                               [](void* from, void* to) noexcept {
                                 ::new (to) Held(std::move(*static_cast<Held*>(from)));
                                 static_cast<Held*>(from)->~Held();
                               },
                               [](void* self) noexcept { static_cast<Held*>(self)->~Held(); }};
      ops_ = &ops;
    } else {
      ::new (static_cast<void*>(&storage_))
          Held*(detail::make_in_frame<Held>(std::forward<F>(callable)));
      static constexpr Ops ops{
          [](void* self, Args... args) -> R {
            return invoke(**static_cast<Held**>(self), std::forward<Args>(args)...);
          },
          [](void* from, void* to) noexcept { ::new (to) Held*(*static_cast<Held**>(from)); },
          [](void* self) noexcept { detail::destroy_in_frame(*static_cast<Held**>(self)); }};
      ops_ = &ops;
    }
  }

  /// Moves the callable; `other` is empty afterwards.
  Function(Function&& other) noexcept { take(other); }
  /// Destroys the present callable, then moves.
  Function& operator=(Function&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  ~Function() { reset(); }

  /// True when there is something to call.
  explicit operator bool() const noexcept { return ops_ != nullptr; }

  /// Calls it.
  R operator()(Args... args) {
    ASTER_REQUIRE(ops_ != nullptr, "an empty Function was called: it was moved from or reset");
    return ops_->call(&storage_, std::forward<Args>(args)...);
  }

  /// Destroys the callable now.
  void reset() noexcept {
    if (const Ops* ops = std::exchange(ops_, nullptr)) ops->destroy(&storage_);
  }

 private:
  struct Ops {
    R (*call)(void*, Args...);
    void (*move)(void* from, void* to) noexcept;
    void (*destroy)(void*) noexcept;
  };
  /// As `std::invoke_r`: a result is dropped where none is wanted.
  template <class Held>
  static R invoke(Held& held, Args... args) {
    if constexpr (std::is_void_v<R>) {
      static_cast<void>(held(std::forward<Args>(args)...));
    } else {
      return held(std::forward<Args>(args)...);
    }
  }

  static constexpr std::size_t room = 4 * sizeof(void*);
  template <class Held>
  static constexpr bool is_small = sizeof(Held) <= room && alignof(Held) <= alignof(void*) &&
                                   std::is_nothrow_move_constructible_v<Held>;

  void take(Function& other) noexcept {
    if (other.ops_ == nullptr) return;
    other.ops_->move(&other.storage_, &storage_);
    ops_ = std::exchange(other.ops_, nullptr);
  }

  const Ops* ops_ = nullptr;
  alignas(void*) unsigned char storage_[room];
};

}  // namespace aster::inline v0
