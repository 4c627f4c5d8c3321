// SPDX-License-Identifier: MIT
// Three places a free block can be in. A thread's bin, which the inline functions of
// the header use; when that is full it becomes the thread's spare batch of its size,
// and the former spare goes to the shelf, which all threads have in common: so blocks
// that one thread makes and another frees find their way back, a batch at a time.
//
// Blocks are cut from chunks, each of one size, and never freed one by one. When the
// shelves hold much, chunks whose blocks are all there are given back to the system
// and wait for another use.
//
// A shelf is a stack that is pushed by compare-and-swap and only ever taken whole: no
// ABA problem, and no lock that a fork could leave locked.
//
// The per-thread pointer is constant-initialised and points at bins that have nothing
// and take nothing, until the thread's first use, and again after its end: so it may
// be used at any moment of a thread's life. Sanitizers must see every use after free,
// so with them every block is malloc's.
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include <pthread.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

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

using detail::frame_classes;
using detail::frame_step;
using detail::FrameBin;
using detail::FrameBins;
using detail::FreeFrame;

constexpr std::size_t chunk_size = 64U << 10U;   // And alignment.
constexpr std::size_t region_size = 1U << 20U;   // What is asked of malloc.
constexpr std::size_t page_size = 4096;          // Of a free chunk this much is kept.
constexpr std::size_t shelved_max = 32U << 20U;  // Bytes, before chunks are given back.

constexpr std::size_t index_of(std::size_t size) { return (size + frame_step - 1) / frame_step; }
constexpr std::size_t batch_length(std::size_t index) {
  return std::clamp<std::size_t>(8192 / (index * frame_step), 4, 64);
}

constexpr std::size_t batch_bytes(std::size_t index) {
  return batch_length(index) * index * frame_step;
}

/// At the beginning of its memory.
struct alignas(64) Chunk {
  Chunk* next;         // In a list of chunks.
  std::size_t blocks;  // How many it is cut into.
  std::size_t found;   // While chunks are given back: how many of them are free.
};

Chunk& chunk_of(FreeFrame* block) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the chunk's address in the block's.
  return *reinterpret_cast<Chunk*>(address & ~(chunk_size - 1));
}

// Shelves -----------------------------------------------------------------------------

constinit std::array<std::atomic<FreeFrame*>, frame_classes + 1> shelves{};
constinit std::atomic<std::size_t> shelved_bytes{0};  // About.
constinit std::atomic<std::size_t> shelved_limit{shelved_max};
constinit std::atomic<bool> giving_back{false};
constinit std::atomic<Chunk*> free_chunks{nullptr};
constinit std::atomic<std::uintptr_t> region{0};  // The next chunk to be cut; 0: none is left.

template <class Node>
void push_chain(std::atomic<Node*>& stack, Node* first, Node*& last_next) noexcept {
  Node* top = stack.load(std::memory_order_relaxed);
  do {
    last_next = top;
  } while (!stack.compare_exchange_weak(top, first, std::memory_order_release,
                                        std::memory_order_relaxed));
}

/// Puts what the taker of a whole stack does not want back. The walk to its end is
/// rare: only when others have pushed meanwhile.
template <class Node, class NextOf>
void put_back(std::atomic<Node*>& stack, Node* rest, NextOf next_of) noexcept {
  Node* none = nullptr;
  if (rest == nullptr || stack.compare_exchange_strong(none, rest, std::memory_order_release,
                                                       std::memory_order_relaxed)) {
    return;
  }
  Node* last = rest;
  while (next_of(last) != nullptr) last = next_of(last);
  push_chain(stack, rest, next_of(last));
}

/// `count` bytes fewer are on the shelves.
void note_taken(std::size_t count) noexcept {
  std::size_t known = shelved_bytes.load(std::memory_order_relaxed);
  while (!shelved_bytes.compare_exchange_weak(known, known - std::min(known, count),
                                              std::memory_order_relaxed)) {
  }
}

/// A batch from the shelf, of whatever length; null when that is empty.
FreeFrame* take_batch(std::size_t index) noexcept {
  if (shelves[index].load(std::memory_order_relaxed) == nullptr) return nullptr;
  FreeFrame* batch = shelves[index].exchange(nullptr, std::memory_order_acquire);
  if (batch == nullptr) return nullptr;
  put_back(shelves[index], batch->next_batch,
           [](FreeFrame* one) -> FreeFrame*& { return one->next_batch; });
  note_taken(batch_bytes(index));
  return batch;
}

/// Calls `action` for each block of some batches, which it may link anew.
template <class Action>
void each_block(FreeFrame* batch, Action action) noexcept {
  while (batch != nullptr) {
    FreeFrame* block = batch;
    batch = batch->next_batch;
    while (block != nullptr) action(std::exchange(block, block->next));
  }
}

/// A chunk without blocks; throws `std::bad_alloc`.
Chunk& take_chunk() {
  if (Chunk* chunk = free_chunks.exchange(nullptr, std::memory_order_acquire)) {
    put_back(free_chunks, chunk->next, [](Chunk* one) -> Chunk*& { return one->next; });
    return *chunk;
  }
  // One region at a time is cut into chunks; a thread that finds none left makes one.
  std::uintptr_t free = region.load(std::memory_order_acquire);
  while (free != 0) {
    const std::uintptr_t next = free + chunk_size;
    if (region.compare_exchange_weak(free, next % region_size == 0 ? 0 : next,
                                     std::memory_order_acq_rel, std::memory_order_acquire)) {
      // NOLINTNEXTLINE(performance-no-int-to-ptr): cut from a number.
      return *::new (reinterpret_cast<void*>(free)) Chunk{};
    }
  }
  void* memory = std::aligned_alloc(region_size, region_size);
  if (memory == nullptr) throw std::bad_alloc();
  free = reinterpret_cast<std::uintptr_t>(memory) + chunk_size;
  std::uintptr_t rest = region.exchange(free, std::memory_order_acq_rel);
  for (; rest != 0; rest = (rest + chunk_size) % region_size == 0 ? 0 : rest + chunk_size) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): another thread's, made meanwhile.
    auto* chunk = ::new (reinterpret_cast<void*>(rest)) Chunk{};
    push_chain(free_chunks, chunk, chunk->next);
  }
  return *::new (memory) Chunk{};
}

void free_chunk(Chunk& chunk) noexcept {
  chunk.found = 0;
#if defined(__linux__)
  static_cast<void>(::madvise(reinterpret_cast<char*>(&chunk) + page_size, chunk_size - page_size,
                              MADV_DONTNEED));
#endif
  push_chain(free_chunks, &chunk, chunk.next);
}

/// Gives the chunks whose blocks are all on this shelf back to the system.
void give_back_chunks(std::size_t index) noexcept {
  FreeFrame* all = shelves[index].exchange(nullptr, std::memory_order_acquire);
  each_block(all, [](FreeFrame* block) { ++chunk_of(block).found; });
  FreeFrame* kept = nullptr;
  Chunk* complete = nullptr;
  std::size_t freed = 0;
  each_block(all, [&](FreeFrame* block) {
    Chunk& chunk = chunk_of(block);
    if (chunk.found < chunk.blocks) {
      block->next = kept;
      kept = block;
    } else if (chunk.found++ == chunk.blocks) {  // Its first block.
      chunk.next = complete;
      complete = &chunk;
      freed += chunk_size;
    }
  });
  while (complete != nullptr) free_chunk(*std::exchange(complete, complete->next));
  while (kept != nullptr) {
    FreeFrame* batch = kept;
    FreeFrame* last = nullptr;
    for (std::size_t i = 0; i < batch_length(index) && kept != nullptr; ++i) {
      last = kept;
      chunk_of(last).found = 0;
      kept = kept->next;
    }
    last->next = nullptr;
    push_chain(shelves[index], batch, batch->next_batch);
  }
  note_taken(freed);
}

void shelve(std::size_t index, FreeFrame* batch, std::size_t bytes) noexcept {
  push_chain(shelves[index], batch, batch->next_batch);
  const std::size_t now = shelved_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (now < shelved_limit.load(std::memory_order_relaxed) ||
      giving_back.exchange(true, std::memory_order_acquire)) {
    return;
  }
  give_back_chunks(index);
  // So that the work stays in proportion to what is shelved.
  shelved_limit.store(std::max(shelved_max, 2 * shelved_bytes.load(std::memory_order_relaxed)),
                      std::memory_order_relaxed);
  giving_back.store(false, std::memory_order_release);
}

// Threads -------------------------------------------------------------------------------

/// What a thread has beside its bins.
struct Stock {
  FreeFrame* spare;  // A batch.
  char* uncut;       // What is left of a chunk.
  std::size_t left;  // For how many blocks.
};

struct ThreadCache {
  FrameBins bins;
  std::array<Stock, frame_classes + 1> stocks;
};

// Never written: nothing is in them and there is no room. Their address tells.
constinit FrameBins not_begun{};
constinit FrameBins ended{};
constinit thread_local ThreadCache* cache = nullptr;

/// Leaves nothing behind: blocks that are not cut yet are cut.
void empty_cache(ThreadCache& full) noexcept {
  for (std::size_t index = 1; index <= frame_classes; ++index) {
    Stock& stock = full.stocks[index];
    if (stock.spare != nullptr) shelve(index, stock.spare, batch_bytes(index));
    FreeFrame* rest = full.bins[index].first;
    for (; stock.left > 0; --stock.left, stock.uncut += index * frame_step) {
      rest = ::new (stock.uncut) FreeFrame{rest, nullptr};
    }
    if (rest != nullptr) shelve(index, rest, batch_bytes(index));
  }
}

/// Empties the cache of a thread that ends. Armed when that is made, perhaps by a
/// release, which must get by without memory: so it is no thread-local object, whose
/// registration allocates and, with glibc, ends the program when that fails.
class ExitHook {
 public:
  ExitHook() noexcept { is_made_ = ::pthread_key_create(&key_, &end_thread) == 0; }
  ExitHook(const ExitHook&) = delete;
  ExitHook& operator=(const ExitHook&) = delete;
  /// The library is unloaded, or the program ends.
  ~ExitHook() {
    if (is_made_.exchange(false)) ::pthread_key_delete(key_);
  }

  /// False when it cannot be: the thread keeps no blocks then.
  bool arm(ThreadCache& mine) noexcept {
    return is_made_ && ::pthread_setspecific(key_, &mine) == 0;
  }

 private:
  static void end_thread(void*) noexcept {
    detail::frame_bins = ended.data();
    empty_cache(*cache);
    std::free(std::exchange(cache, nullptr));
  }

  ::pthread_key_t key_{};
  std::atomic<bool> is_made_{false};
};

ExitHook exit_hook;  // Before it is made, and once it is gone, threads keep no blocks.

/// This thread's cache, made if need be; null when there can be none.
ThreadCache* own_cache() noexcept {
  if (cache != nullptr || detail::frame_bins == ended.data()) return cache;
  void* memory = std::calloc(1, sizeof(ThreadCache));
  if (memory == nullptr) return nullptr;
  auto* made = ::new (memory) ThreadCache{};
  if (!exit_hook.arm(*made)) {
    std::free(memory);
    return nullptr;
  }
  cache = made;
  for (std::size_t index = 1; index <= frame_classes; ++index) {
    cache->bins[index].room = batch_length(index);
  }
  detail::frame_bins = cache->bins.data();
  return cache;
}

/// A block for a bin that is empty.
void* refill(ThreadCache& mine, std::size_t index) {
  FrameBin& bin = mine.bins[index];
  Stock& stock = mine.stocks[index];
  FreeFrame* batch = std::exchange(stock.spare, nullptr);
  if (batch == nullptr) batch = take_batch(index);
  if (batch != nullptr) {
    bin.first = batch->next;
    bin.room = 1;  // At least; it may be a short one.
    return batch;
  }
  const std::size_t size = index * frame_step;
  if (stock.left == 0) {
    Chunk& chunk = take_chunk();
    chunk.blocks = (chunk_size - sizeof(Chunk)) / size;
    stock.left = chunk.blocks;
    stock.uncut = reinterpret_cast<char*>(&chunk + 1);
  }
  --stock.left;
  return std::exchange(stock.uncut, stock.uncut + size);
}

struct Hooks {
  void* (*allocate)(std::size_t);
  void (*release)(void*, std::size_t) noexcept;
};
// Set once before use, hence plain; `used` only catches the mistake.
constinit Hooks hooks{};
constinit std::atomic<bool> used{false};

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

constinit thread_local FrameBin* frame_bins = not_begun.data();

void* allocate_frame_slowly(std::size_t size) {
  if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
  if (hooks.allocate != nullptr) return hooks.allocate(size);
  const std::size_t index = index_of(size);
  if (ASTER_RECYCLE_FRAMES == 0 || index > frame_classes) {
    void* memory = std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
  if (ThreadCache* mine = own_cache()) return refill(*mine, std::max<std::size_t>(index, 1));
  // The thread is ending. What it does not need goes where others find it.
  ThreadCache passing{};
  void* memory = refill(passing, std::max<std::size_t>(index, 1));
  empty_cache(passing);
  return memory;
}

void release_frame_slowly(void* memory, std::size_t size) noexcept {
  if (hooks.release != nullptr) {
    hooks.release(memory, size);
    return;
  }
  const std::size_t index = std::max<std::size_t>(index_of(size), 1);
  if (ASTER_RECYCLE_FRAMES == 0 || index > frame_classes) {
    std::free(memory);
    return;
  }
  auto* block = ::new (memory) FreeFrame{nullptr, nullptr};
  ThreadCache* mine = own_cache();
  if (mine == nullptr) {
    shelve(index, block, index * frame_step);
    return;
  }
  FrameBin& bin = mine->bins[index];
  if (bin.room == 0) {
    if (FreeFrame* full = std::exchange(mine->stocks[index].spare, bin.first)) {
      shelve(index, full, batch_bytes(index));
    }
    bin.first = nullptr;
    bin.room = batch_length(index);
  }
  block->next = bin.first;
  bin.first = block;
  --bin.room;
}

}  // namespace detail
}  // namespace aster::inline v0
