// SPDX-License-Identifier: MIT
#include <aster/base/ring_buffer.hpp>

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>

namespace aster::detail {
namespace {

TEST(RingBuffer, IsFirstInFirstOutAcrossAllItsEdges) {
  RingBuffer<std::unique_ptr<int>> ring;
  std::deque<int> model;
  std::minstd_rand random(1);
  for (int i = 0; i < 20'000; ++i) {
    // Now growing, now shrinking.
    if (model.empty() || random() % 100 < (i / 500 % 2 == 0 ? 60U : 40U)) {
      ring.push_back(std::make_unique<int>(i));
      model.push_back(i);
    } else {
      EXPECT_EQ(*ring.front(), model.front());
      ring.pop_front();
      model.pop_front();
    }
    ASSERT_EQ(ring.size(), model.size());
    ASSERT_EQ(ring.empty(), model.empty());
  }
}

TEST(RingBuffer, DestroysWhatIsLeft) {
  auto alive = std::make_shared<int>();
  {
    RingBuffer<std::shared_ptr<int>> ring;
    for (int i = 0; i < 20; ++i) ring.push_back(std::shared_ptr<int>(alive));
    for (int i = 0; i < 5; ++i) ring.pop_front();
    EXPECT_EQ(alive.use_count(), 16);
    ring.clear();
    EXPECT_EQ(alive.use_count(), 1);
    ring.push_back(std::shared_ptr<int>(alive));
  }
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(RingBuffer, KeepsItsItemsWhenItCannotGrow) {
  struct Item {
    Item(int its_number, int* left) : number(its_number), copies_left(left) {}
    Item(const Item& other) : number(other.number), copies_left(other.copies_left) {
      if (*copies_left == 0) throw std::runtime_error("copy");
      --*copies_left;
    }
    Item& operator=(const Item&) = delete;
    int number;
    int* copies_left;
  };
  int copies_left = 8 + 3;  // Into the ring, and then some while it grows.
  RingBuffer<Item> ring;
  for (int i = 0; i < 8; ++i) ring.push_back(Item(i, &copies_left));

  EXPECT_THROW(ring.push_back(Item(8, &copies_left)), std::runtime_error);

  EXPECT_EQ(ring.size(), 8U);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(ring.front().number, i);
    ring.pop_front();
  }
}

}  // namespace
}  // namespace aster::detail
