// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/base/frame_allocator.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include <pthread.h>

namespace aster {
namespace {

using detail::allocate_frame;
using detail::release_frame;

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
