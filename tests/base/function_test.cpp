// SPDX-License-Identifier: MIT
#include <aster/base/function.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace aster {
namespace {

static_assert(!std::is_copy_constructible_v<Function<void()>>);
static_assert(std::is_nothrow_move_constructible_v<Function<void()>>);

int twice(int x) { return 2 * x; }

struct Counted {
  explicit Counted(int& live) : live_(&live) { ++*live_; }
  Counted(const Counted& other) : live_(other.live_) { ++*live_; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --*live_; }
  int* live_;
};

TEST(Function, IsEmptyByDefaultAndFromNullPointers) {
  EXPECT_FALSE(Function<void()>());
  EXPECT_FALSE(Function<void()>(nullptr));
  EXPECT_FALSE(Function<int(int)>(static_cast<int (*)(int)>(nullptr)));
}

TEST(Function, CallsAFunctionPointer) {
  Function<int(int)> f = twice;

  EXPECT_EQ(f(21), 42);
}

TEST(Function, TakesMoveOnlyCallables) {
  Function<int(int)> f = [p = std::make_unique<int>(1)](int x) { return *p + x; };

  EXPECT_EQ(f(2), 3);
}

TEST(Function, PassesMoveOnlyArguments) {
  Function<int(std::unique_ptr<int>)> f = [](std::unique_ptr<int> p) { return *p; };

  EXPECT_EQ(f(std::make_unique<int>(7)), 7);
}

TEST(Function, KeepsTheStateOfItsCallable) {
  Function<int()> f = [n = 0]() mutable { return ++n; };

  f();

  EXPECT_EQ(f(), 2);
}

TEST(Function, MovesSmallAndLargeCallables) {
  std::array<long, 16> large{};
  large[15] = 5;
  Function<long()> small = [n = 4L] { return n; };
  Function<long()> big = [large] { return large[15]; };

  Function<long()> moved_small = std::move(small);
  Function<long()> moved_big = std::move(big);

  EXPECT_EQ(moved_small() + moved_big(), 9);
  EXPECT_FALSE(small);  // NOLINT(bugprone-use-after-move): specified as empty.
  EXPECT_FALSE(big);    // NOLINT(bugprone-use-after-move)
}

TEST(Function, AssignmentDestroysTheFormerCallable) {
  int live = 0;
  Function<void()> f = [counted = Counted(live)] {};
  ASSERT_EQ(live, 1);

  f = nullptr;

  EXPECT_EQ(live, 0);
  EXPECT_FALSE(f);
}

TEST(Function, ResetDestroysTheCallableNow) {
  int live = 0;
  std::array<char, 100> room{};
  Function<void()> f = [counted = Counted(live), room] { static_cast<void>(room); };

  f.reset();

  EXPECT_EQ(live, 0);
}

TEST(Function, DestroysItsCallableOnce) {
  int live = 0;
  {
    Function<void()> f = [counted = Counted(live)] {};
    Function<void()> g = std::move(f);
    EXPECT_EQ(live, 1);
  }
  EXPECT_EQ(live, 0);
}

TEST(Function, DiscardsAResultNobodyWants) {
  int calls = 0;
  Function<void()> f = [&] { return ++calls; };

  f();

  EXPECT_EQ(calls, 1);
}

TEST(FunctionDeathTest, CallingAnEmptyOneIsCaught) {
  Function<void()> f;

  EXPECT_DEATH(f(), "assertion failed");
}

}  // namespace
}  // namespace aster
