// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <cstddef>
#include <new>
#include <utility>

/// Memory of coroutine frames, tasks and handles: free lists by size class, one
/// set a thread, so that a steady state allocates nothing.
namespace aster::inline v0 {

/// Replaces where frames come from, for arenas or accounting. Call it before
/// the first loop or coroutine is made (RuntimeError afterwards); `allocate`
/// may throw `std::bad_alloc`, both may be called from any thread.
ASTER_API void set_frame_allocator(void* (*allocate)(std::size_t size),
                                   void (*release)(void* memory, std::size_t size) noexcept);

namespace detail {

/// `size` bytes, aligned as `operator new` aligns; throws `std::bad_alloc`.
[[nodiscard]] ASTER_API void* allocate_frame(std::size_t size);
/// Gives back what `allocate_frame(size)` gave; any thread.
ASTER_API void release_frame(void* memory, std::size_t size) noexcept;

/// A new `T` in frame memory.
template <class T, class... Args>
[[nodiscard]] T* make_in_frame(Args&&... args) {
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__,
                "aster: types with stricter alignment than operator new gives cannot be held in a "
                "coroutine result or callback; hold them by pointer");
  void* memory = allocate_frame(sizeof(T));
  try {
    return ::new (memory) T(std::forward<Args>(args)...);
  } catch (...) {
    release_frame(memory, sizeof(T));
    throw;
  }
}

/// Ends what `make_in_frame<T>` made.
template <class T>
void destroy_in_frame(T* object) noexcept {
  object->~T();
  release_frame(object, sizeof(T));
}

}  // namespace detail
}  // namespace aster::inline v0
