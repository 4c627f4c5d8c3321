// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <array>
#include <cstddef>
#include <new>
#include <utility>

/// Memory of coroutine frames, tasks, handles and connections: free lists by size class, one
/// set a thread, so that a steady state allocates nothing.
namespace aster::inline v0 {

/// Replaces where frames come from, for arenas or accounting. Call it before
/// the first loop or coroutine is made (RuntimeError afterwards); `allocate`
/// may throw `std::bad_alloc`, both may be called from any thread.
ASTER_API void set_frame_allocator(void* (*allocate)(std::size_t size),
                                   void (*release)(void* memory, std::size_t size) noexcept);

namespace detail {

/// A block that waits for use.
struct FreeFrame {
  FreeFrame* next;
  FreeFrame* next_batch;  // Of the first block of a batch.
};

/// The blocks of one size that a thread has at hand.
struct FrameBin {
  FreeFrame* first;
  std::size_t room;  // For how many more; none in a thread that keeps no blocks.
};

inline constexpr std::size_t frame_step = 16;      // Bytes between two sizes.
inline constexpr std::size_t frame_classes = 128;  // Up to 2 KiB; larger ones use malloc.
using FrameBins = std::array<FrameBin, frame_classes + 1>;

/// This thread's; never null.
ASTER_THREAD_POINTER ASTER_API extern constinit thread_local FrameBin* frame_bins;

/// For what the inline functions below have not at hand.
[[nodiscard]] ASTER_API void* allocate_frame_slowly(std::size_t size);
ASTER_API void release_frame_slowly(void* memory, std::size_t size) noexcept;

/// `size` bytes, aligned as `operator new` aligns; throws `std::bad_alloc`.
[[nodiscard]] inline void* allocate_frame(std::size_t size) {
  const std::size_t index = (size + frame_step - 1) / frame_step;
  if (index <= frame_classes) [[likely]] {
    FrameBin& bin = frame_bins[index];
    if (FreeFrame* block = bin.first; block != nullptr) [[likely]] {
      bin.first = block->next;
      ++bin.room;
      return block;
    }
  }
  return allocate_frame_slowly(size);
}

/// Gives back what `allocate_frame(size)` gave; any thread.
inline void release_frame(void* memory, std::size_t size) noexcept {
  const std::size_t index = (size + frame_step - 1) / frame_step;
  if (index <= frame_classes) [[likely]] {
    FrameBin& bin = frame_bins[index];
    if (bin.room > 0) [[likely]] {
      bin.first = ::new (memory) FreeFrame{bin.first, nullptr};
      --bin.room;
      return;
    }
  }
  release_frame_slowly(memory, size);
}

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
