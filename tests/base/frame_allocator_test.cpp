// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace aster {
namespace {

using detail::allocate_frame;
using detail::release_frame;

/// Whether blocks are used again; sanitizers have none of it.
bool recycles() {
  void* first = allocate_frame(48);
  release_frame(first, 48);
  void* second = allocate_frame(48);
  release_frame(second, 48);
  return first == second && detail::frame_bins[3].first == second;
}

long resident_pages() {
  long total = 0;
  long resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident;
}

TEST(FrameAllocator, GivesMemoryAlignedAsOperatorNew) {
  for (std::size_t size = 1; size < 5000; size += 37) {
    void* memory = allocate_frame(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0U);
    std::memset(memory, 0xa5, size);
    release_frame(memory, size);
  }
}

TEST(FrameAllocator, GivesEachCallerItsOwnMemory) {
  std::vector<unsigned char*> blocks;
  for (int i = 0; i < 200; ++i) {
    blocks.push_back(static_cast<unsigned char*>(allocate_frame(96)));
    std::memset(blocks.back(), i, 96);
  }

  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(blocks[static_cast<std::size_t>(i)][0], i);
    EXPECT_EQ(blocks[static_cast<std::size_t>(i)][95], i);
  }

  for (unsigned char* block : blocks) release_frame(block, 96);
}

TEST(FrameAllocator, TakesMemoryBackOnAnotherThread) {
  void* memory = allocate_frame(128);

  std::thread([&] {
    release_frame(memory, 128);
    release_frame(allocate_frame(128), 128);
  }).join();
}

TEST(FrameAllocator, GivesBlocksOfOneThreadToAnotherThatFreesNone) {
  // As with posts: one thread makes them, another ends them. What is in use at a time
  // stays the same, and so must the memory that is taken.
  if (!recycles()) GTEST_SKIP() << "with this sanitizer all blocks are malloc's";
  std::set<void*> seen;
  for (int i = 0; i < 100; ++i) {
    std::vector<void*> blocks(100);
    for (void*& block : blocks) {
      block = allocate_frame(160);
      seen.insert(block);
    }
    // A thread of its own each time, so that what it keeps must come back at its end.
    std::thread([&blocks] {
      for (void* block : blocks) release_frame(block, 160);
    }).join();
  }

  EXPECT_LT(seen.size(), 1000U);  // Of 10,000 that were asked for.
}

TEST(FrameAllocator, KeepsBlocksApartThatThreadsPassOnToEachOther) {
  constexpr int rounds = 50;
  constexpr int count = 500;
  std::atomic<bool> overlap{false};
  const auto work = [&overlap](unsigned char mark, std::vector<unsigned char*>& passed) {
    for (unsigned char* block : passed) release_frame(block, 208);
    passed.clear();
    for (int i = 0; i < count; ++i) {
      passed.push_back(static_cast<unsigned char*>(allocate_frame(208)));
      std::memset(passed.back(), mark, 208);
    }
    for (unsigned char* block : passed) {
      if (block[0] != mark || block[207] != mark) overlap = true;
    }
  };
  std::vector<unsigned char*> a;
  std::vector<unsigned char*> b;
  for (int i = 0; i < rounds; ++i) {
    std::thread first(work, static_cast<unsigned char>(1), std::ref(a));
    std::thread second(work, static_cast<unsigned char>(2), std::ref(b));
    first.join();
    second.join();
    std::swap(a, b);  // Each frees what the other made.
  }
  for (unsigned char* block : a) release_frame(block, 208);
  for (unsigned char* block : b) release_frame(block, 208);

  EXPECT_FALSE(overlap);
}

TEST(FrameAllocator, GivesMemoryBackToTheSystemWhenMuchIsFree) {
  if (!recycles()) GTEST_SKIP() << "with this sanitizer all blocks are malloc's";
  constexpr std::size_t size = 1024;
  constexpr std::size_t count = 100'000;  // 100 MB; 32 MB of it may be kept.
  std::vector<void*> blocks(count);
  for (void*& block : blocks) {
    block = allocate_frame(size);
    std::memset(block, 1, size);
  }
  const long full = resident_pages();
  for (void* block : blocks) release_frame(block, size);

  EXPECT_LT(resident_pages(), full - 10'000);  // 40 MB less, of pages of 4 KiB.

  for (void*& block : blocks) {  // And they can be had again, each its own.
    block = allocate_frame(size);
    std::memcpy(block, static_cast<const void*>(&block), sizeof block);
  }
  for (void*& block : blocks) {
    EXPECT_EQ(std::memcmp(block, static_cast<const void*>(&block), sizeof block), 0);
    release_frame(block, size);
  }
}

TEST(FrameAllocator, WorksWhileAThreadEnds) {
  struct Late {
    ~Late() { release_frame(allocate_frame(64), 64); }
  };
  std::thread([] {
    static thread_local Late late;  // Destroyed before the allocator's own hook.
    static_cast<void>(late);
    release_frame(allocate_frame(64), 64);
  }).join();
}

TEST(FrameAllocator, WorksInAThreadsLastMoments) {
  static bool ran;
  ran = false;
  pthread_key_t key{};
  ASSERT_EQ(pthread_key_create(&key,
                               [](void*) {  // Called after the allocator's own hook.
                                 release_frame(allocate_frame(64), 64);
                                 ran = true;
                               }),
            0);
  std::thread([key] {
    release_frame(allocate_frame(64), 64);
    pthread_setspecific(key, &ran);
  }).join();

  EXPECT_TRUE(ran);
  pthread_key_delete(key);
}

TEST(MakeInFrame, GivesTheMemoryBackWhenTheConstructorThrows) {
  struct Throws {
    Throws() { throw std::logic_error("no"); }
    char room[100];
  };

  EXPECT_THROW(static_cast<void>(detail::make_in_frame<Throws>()), std::logic_error);
}

TEST(SetFrameAllocator, RefusesNullFunctions) {
  EXPECT_THROW(set_frame_allocator(nullptr, nullptr), ValueError);
}

TEST(SetFrameAllocator, ComesTooLateOnceThereAreFrames) {
  release_frame(allocate_frame(32), 32);

  EXPECT_THROW(set_frame_allocator([](std::size_t size) { return std::malloc(size); },
                                   [](void* memory, std::size_t) noexcept { std::free(memory); }),
               RuntimeError);
}

// In a process of its own, as it comes before everything else.
TEST(SetFrameAllocatorDeathTest, FramesComeFromAndGoToTheGivenFunctions) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static int balance = 0;
        static int calls = 0;
        set_frame_allocator(
            [](std::size_t size) {
              ++balance;
              ++calls;
              return std::malloc(size);
            },
            [](void* memory, std::size_t) noexcept {
              --balance;
              std::free(memory);
            });
        release_frame(allocate_frame(40), 40);
        release_frame(allocate_frame(4000), 4000);
        std::_Exit(calls == 2 && balance == 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace aster
