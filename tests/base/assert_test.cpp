// SPDX-License-Identifier: MIT
#include <aster/base/config.hpp>

#include <gtest/gtest.h>

TEST(Assert, TrueConditionsPass) {
  int evaluated = 0;

  ASTER_ASSERT(++evaluated == 1);

  EXPECT_EQ(evaluated, 1);
}

TEST(Assert, FalseConditionsAbortWithTheirTextAndPlace) {
  EXPECT_DEATH(ASTER_ASSERT(1 + 1 == 3), "assert_test.cpp:[0-9]+: aster: .*: 1 \\+ 1 == 3");
}

TEST(Assert, WhatUsersBreakSaysWhatToDo) {
  EXPECT_DEATH(ASTER_REQUIRE(1 + 1 == 3, "count again"), "1 \\+ 1 == 3 \\(count again\\)");
}

TEST(Assert, IsAnExpression) {
  int value = (ASTER_ASSERT(true), 7);

  EXPECT_EQ(value, 7);
}
