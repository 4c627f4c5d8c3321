// SPDX-License-Identifier: MIT
#include <aster/base/narrow_list.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>

namespace aster {
namespace {

struct Item : detail::NarrowNode {
  Item() = default;
  explicit Item(char letter) : name(letter) {}
  char name = '?';
};
using List = detail::NarrowList<Item>;

std::string names(List& list) {
  std::string result;
  for (Item* item = list.first(); item != nullptr; item = list.next(*item)) result += item->name;
  return result;
}

struct NarrowList : ::testing::Test {
  Item a{'a'}, b{'b'}, c{'c'};
  List list;
  ~NarrowList() override {
    while (!list.empty()) list.pop_front();
  }
};

TEST_F(NarrowList, IsOneWord) { EXPECT_EQ(sizeof(List), sizeof(void*)); }

TEST_F(NarrowList, IsEmptyAtFirst) {
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.first(), nullptr);
}

TEST_F(NarrowList, KeepsTheOrderOfPushes) {
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);

  EXPECT_EQ(names(list), "abc");
}

TEST_F(NarrowList, PopsTheFirst) {
  list.push_back(a);
  list.push_back(b);

  EXPECT_EQ(&list.pop_front(), &a);
  EXPECT_FALSE(a.is_linked());
  EXPECT_EQ(names(list), "b");
  EXPECT_EQ(&list.pop_front(), &b);
  EXPECT_TRUE(list.empty());
}

TEST_F(NarrowList, AnUnlinkedNodeMayLeaveAgainOrJoinAgain) {
  list.push_back(a);
  list.push_back(b);

  a.unlink();
  a.unlink();
  EXPECT_EQ(names(list), "b");

  list.push_back(a);
  EXPECT_EQ(names(list), "ba");
}

// All orders of joining and leaving, against a string of the same letters.
TEST(NarrowListAtRandom, HoldsWhatAStringWouldHold) {
  constexpr std::string_view letters = "abcde";
  std::array<Item, letters.size()> items;
  for (std::size_t i = 0; i < items.size(); ++i) items[i].name = letters[i];
  List list;
  std::string model;
  std::minstd_rand random(1);

  for (int i = 0; i < 20'000; ++i) {
    Item& item = items[random() % items.size()];
    ASSERT_EQ(item.is_linked(), model.find(item.name) != std::string::npos);
    if (random() % 4 == 0 && !model.empty()) {
      ASSERT_EQ(list.pop_front().name, model.front());
      model.erase(0, 1);
    } else if (item.is_linked()) {
      item.unlink();
      model.erase(model.find(item.name), 1);
    } else {
      list.push_back(item);
      model += item.name;
    }
    ASSERT_EQ(names(list), model);
  }
  while (!list.empty()) list.pop_front();
}

}  // namespace
}  // namespace aster
