// SPDX-License-Identifier: MIT
// Free lists by size class. The per-thread state is constant-initialised and
// trivially destructible, so that it may be used at any moment of a thread's
// life; a hook, armed when the lists are first filled, empties them when the thread
// ends, after which memory comes from and goes to malloc. Sanitizers and valgrind must see every
// use after free, so there the lists are off.
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>

#include <pthread.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASTER_RECYCLE_FRAMES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define ASTER_RECYCLE_FRAMES 0
#endif
#endif
#if !defined(ASTER_RECYCLE_FRAMES)
#define ASTER_RECYCLE_FRAMES 1
#endif

namespace aster::inline v0 {
namespace {

constexpr std::size_t step = 32;                  // Bytes between two classes.
constexpr std::size_t class_count = 64;           // Up to 2 KiB; larger ones use malloc.
constexpr std::ptrdiff_t bytes_max = 32L << 20U;  // Kept by one thread over all classes.

struct Free {
  Free* next;
};

struct Lists {
  std::array<Free*, class_count + 1> heads;  // By class; class k holds k * step bytes.
  // Bytes that may still be kept. 0 at first, so that the first release takes the
  // slow way and arms the thread-exit hook; negative once the thread is ending, or
  // when the program brings its own allocator.
  std::ptrdiff_t room;
  bool armed;
};

constinit thread_local Lists lists{};

/// Empties the lists of a thread that ends. Armed by a release, which must get by
/// without memory: so it is no thread-local object, whose registration allocates and,
/// with glibc, ends the program when that fails.
class ExitHook {
 public:
  ExitHook() noexcept { is_made_ = ::pthread_key_create(&key_, &empty_lists) == 0; }
  ExitHook(const ExitHook&) = delete;
  ExitHook& operator=(const ExitHook&) = delete;
  /// The library is unloaded, or the program ends.
  ~ExitHook() {
    if (is_made_.exchange(false)) ::pthread_key_delete(key_);
  }

  /// False when it cannot be: the lists stay empty then.
  bool arm() noexcept { return is_made_ && ::pthread_setspecific(key_, &lists) == 0; }

 private:
  static void empty_lists(void*) noexcept {
    lists.room = -1;
    for (Free*& head : lists.heads) {
      while (head != nullptr) {
        Free* block = head;
        head = block->next;
        std::free(block);
      }
    }
  }

  ::pthread_key_t key_{};
  std::atomic<bool> is_made_{false};
};

ExitHook exit_hook;  // Before it is made nothing is recycled.

struct Hooks {
  void* (*allocate)(std::size_t);
  void (*release)(void*, std::size_t) noexcept;
};
// Set once before use, hence plain; `used` only catches the mistake.
constinit Hooks hooks{};
constinit std::atomic<bool> used{false};

void* from_malloc(std::size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

[[gnu::noinline]] void* allocate_slowly(std::size_t size, std::size_t rounded) {
  if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
  if (hooks.allocate != nullptr) return hooks.allocate(size);
  return from_malloc(rounded);
}

[[gnu::noinline]] void release_slowly(void* memory, std::size_t size) noexcept {
  if (hooks.release != nullptr) {
    hooks.release(memory, size);
    return;
  }
  std::free(memory);
  if (lists.armed || !exit_hook.arm()) return;
  lists.armed = true;
  lists.room = bytes_max;
}

}  // namespace

void set_frame_allocator(void* (*allocate)(std::size_t),
                         void (*release)(void*, std::size_t) noexcept) {
  if (allocate == nullptr || release == nullptr) {
    throw ValueError("set_frame_allocator: a null function");
  }
  if (used.load(std::memory_order_relaxed)) {
    throw RuntimeError("set_frame_allocator: frames have been allocated already");
  }
  hooks = {allocate, release};
}

namespace detail {

void* allocate_frame(std::size_t size) {
  const std::size_t index = (size + step - 1) / step;
  if (ASTER_RECYCLE_FRAMES != 0 && index <= class_count) {
    Lists& mine = lists;
    if (Free* block = mine.heads[index]; block != nullptr) [[likely]] {
      mine.heads[index] = block->next;
      mine.room += static_cast<std::ptrdiff_t>(index * step);
      return block;
    }
  }
  return allocate_slowly(size, index * step);
}

void release_frame(void* memory, std::size_t size) noexcept {
  const std::size_t index = (size + step - 1) / step;
  if (ASTER_RECYCLE_FRAMES != 0 && index <= class_count) {
    Lists& mine = lists;
    if (mine.room > 0) [[likely]] {
      auto* block = static_cast<Free*>(memory);
      block->next = mine.heads[index];
      mine.heads[index] = block;
      mine.room -= static_cast<std::ptrdiff_t>(index * step);
      return;
    }
  }
  release_slowly(memory, size);
}

}  // namespace detail
}  // namespace aster::inline v0
