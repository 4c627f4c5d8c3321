// SPDX-License-Identifier: MIT
//
// malloc and its kin as the program's own symbols, which come before those of the C
// library for every shared object too; the C library's are reached by their other
// names. `free` stays as it is: all memory here is the C library's.
#include "support/allocations.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ASTER_OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define ASTER_OWN_MALLOC 0
#endif
#endif
#if !defined(__GLIBC__)
#undef ASTER_OWN_MALLOC
#define ASTER_OWN_MALLOC 0
#elif !defined(ASTER_OWN_MALLOC)
#define ASTER_OWN_MALLOC 1
#endif

namespace aster::support {
namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

struct State {
  std::uint64_t count;
  std::uint64_t refuse_one_at;  // The value of `count` before that request.
  bool refuses_all;
};
constinit thread_local State state{0, never, false};

}  // namespace

const bool counts_allocations = ASTER_OWN_MALLOC != 0;

std::uint64_t allocation_count() noexcept { return state.count; }

NoMemory::NoMemory() noexcept { state.refuses_all = true; }
NoMemory::~NoMemory() { state.refuses_all = false; }

void refuse_one_after(std::uint64_t granted) noexcept {
  state.refuse_one_at = state.count + granted;
}

bool stop_refusing() noexcept {
  const bool pending = state.refuse_one_at != never;
  state.refuse_one_at = never;
  return pending;
}

#if ASTER_OWN_MALLOC
namespace {

/// Counts a request; true when it is refused.
bool refuse() noexcept {
  const bool this_one = state.count == state.refuse_one_at;
  ++state.count;
  if (this_one) state.refuse_one_at = never;
  if (!this_one && !state.refuses_all) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace
#endif

}  // namespace aster::support

#if ASTER_OWN_MALLOC

extern "C" {

void* __libc_malloc(std::size_t size) noexcept;
void* __libc_calloc(std::size_t count, std::size_t size) noexcept;
void* __libc_realloc(void* memory, std::size_t size) noexcept;
void* __libc_memalign(std::size_t alignment, std::size_t size) noexcept;

void* malloc(std::size_t size) noexcept {
  return aster::support::refuse() ? nullptr : __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) noexcept {
  return aster::support::refuse() ? nullptr : __libc_calloc(count, size);
}

void* realloc(void* memory, std::size_t size) noexcept {
  return aster::support::refuse() ? nullptr : __libc_realloc(memory, size);
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return aster::support::refuse() ? nullptr : __libc_memalign(alignment, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return aster::support::refuse() ? nullptr : __libc_memalign(alignment, size);
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  void* memory = aster::support::refuse() ? nullptr : __libc_memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *result = memory;
  return 0;
}

}  // extern "C"

// That `operator new` uses malloc is the runtime's affair; so these say it. The array
// and nothrow forms call these.

void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}

void* operator new(std::size_t size, std::align_val_t alignment) {
  if (void* memory = memalign(static_cast<std::size_t>(alignment), size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

#endif
