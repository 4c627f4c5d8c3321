// SPDX-License-Identifier: MIT
#include <aster/base/intrusive_list.hpp>

#include <gtest/gtest.h>

#include <string>

namespace aster {
namespace {

struct Item : detail::ListNode {
  explicit Item(char letter) : name(letter) {}
  char name;
};
using List = detail::IntrusiveList<Item>;

std::string names(List& list) {
  std::string result;
  for (Item* item = list.first(); item != nullptr; item = list.next(*item)) result += item->name;
  return result;
}

struct Letters : ::testing::Test {
  Item a{'a'}, b{'b'}, c{'c'};
  List list;
  ~Letters() override {
    while (!list.empty()) list.pop_front();
  }
};
using IntrusiveList = Letters;

TEST_F(IntrusiveList, IsEmptyAtFirst) {
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.first(), nullptr);
}

TEST_F(IntrusiveList, KeepsTheOrderOfPushes) {
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);

  EXPECT_EQ(names(list), "abc");
  EXPECT_EQ(&list.front(), &a);
  EXPECT_EQ(&list.back(), &c);
}

TEST_F(IntrusiveList, PopsTheFirst) {
  list.push_back(a);
  list.push_back(b);

  EXPECT_EQ(&list.pop_front(), &a);
  EXPECT_FALSE(a.is_linked());
  EXPECT_EQ(names(list), "b");
}

TEST_F(IntrusiveList, NodesLeaveFromAnywhere) {
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);

  b.unlink();

  EXPECT_EQ(names(list), "ac");
  EXPECT_FALSE(b.is_linked());
}

TEST_F(IntrusiveList, UnlinkingAFreeNodeDoesNothing) {
  a.unlink();

  EXPECT_FALSE(a.is_linked());
}

TEST_F(IntrusiveList, ANodeThatLeftMayJoinAgain) {
  list.push_back(a);
  list.push_back(b);
  a.unlink();

  list.push_back(a);

  EXPECT_EQ(names(list), "ba");
}

TEST_F(IntrusiveList, TakesAllOfAnother) {
  List other;
  other.push_back(a);
  other.push_back(b);

  list.take(other);

  EXPECT_EQ(names(list), "ab");
  EXPECT_TRUE(other.empty());
}

TEST_F(IntrusiveList, TakingAnEmptyOneChangesNothing) {
  List other;

  list.take(other);

  EXPECT_TRUE(list.empty());
}

TEST_F(IntrusiveList, AnItemMayLeaveWhileTheListIsWalked) {
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  std::string seen;

  for (Item* item = list.first(); item != nullptr;) {
    Item* next = list.next(*item);
    seen += item->name;
    item->unlink();
    item = next;
  }

  EXPECT_EQ(seen, "abc");
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveListDeathTest, DestroyingAListWithItemsIsCaught) {
  EXPECT_DEATH(
      {
        Item a('a');
        {
          List list;
          list.push_back(a);
        }
      },
      "assertion failed");
}

}  // namespace
}  // namespace aster
