// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/base/time.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

namespace aster {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

static_assert(std::is_trivially_destructible_v<Delay>);  // For options inside awaits.
static_assert(std::is_nothrow_constructible_v<Delay, Seconds>);

TEST(Delay, IsNothingByDefault) { EXPECT_EQ(Delay().value(), 0ns); }

TEST(Delay, ConvertsFromWholeDurationsExactly) {
  EXPECT_EQ(Delay(1500ms).value(), 1500ms);
  EXPECT_EQ(Delay(24h).value(), 24h);
  EXPECT_EQ(Delay(-3s).value(), -3s);
}

TEST(Delay, RoundsFloatingDurationsUp) {
  EXPECT_EQ(Delay(Seconds(0.5)).value(), 500ms);
  EXPECT_EQ(Delay(std::chrono::duration<double, std::nano>(1.25)).value(), 2ns);
  EXPECT_EQ(Delay(std::chrono::duration<double, std::nano>(1e-9)).value(), 1ns);
}

TEST(Delay, NeverRoundsANegativeDurationDown) {
  EXPECT_EQ(Delay(std::chrono::duration<double, std::nano>(-1.5)).value(), -1ns);
}

TEST(Delay, RemembersNanUntilItIsChecked) {
  const Delay delay{Seconds(std::numeric_limits<double>::quiet_NaN())};

  EXPECT_TRUE(delay.is_nan());
  try {
    static_cast<void>(delay.checked("sleep"));
    FAIL();
  } catch (const ValueError& error) {
    EXPECT_STREQ(error.what(), "sleep: delay is NaN");
  }
}

TEST(Delay, IsInfiniteFromInfinity) {
  EXPECT_TRUE(Delay(Seconds(std::numeric_limits<double>::infinity())).is_infinite());
  EXPECT_TRUE(
      Delay(std::chrono::duration<float>(std::numeric_limits<float>::infinity())).is_infinite());
  EXPECT_TRUE(Delay::infinite().is_infinite());
}

TEST(Delay, IsInfiniteWhenTheDurationDoesNotFit) {
  EXPECT_TRUE(Delay(std::chrono::hours::max()).is_infinite());
  EXPECT_TRUE(Delay(std::chrono::nanoseconds::max()).is_infinite());
  EXPECT_TRUE(Delay(Seconds(1e300)).is_infinite());
}

TEST(Delay, IsTheLeastDurationWhenANegativeOneDoesNotFit) {
  EXPECT_EQ(Delay(std::chrono::hours::min()).value(), Duration::min());
  EXPECT_EQ(Delay(Seconds(-std::numeric_limits<double>::infinity())).value(), Duration::min());
}

TEST(Delay, TakesAlmostTheLongestDurationAsItIs) {
  EXPECT_EQ(Delay(std::chrono::hours(24 * 365 * 200)).value(), std::chrono::hours(24 * 365 * 200));
}

TEST(Delay, TakesUnsignedAndCoarseUnits) {
  EXPECT_EQ(Delay(std::chrono::duration<std::uint32_t>(4'000'000'000U)).value(), 4'000'000'000s);
  EXPECT_EQ(Delay(std::chrono::duration<std::int8_t, std::ratio<60>>(2)).value(), 2min);
}

TEST(AddSaturated, NeverOverflows) {
  const TimePoint now(5s);

  EXPECT_EQ(detail::add_saturated(now, 1s), TimePoint(6s));
  EXPECT_EQ(detail::add_saturated(now, -7s), TimePoint(-2s));
  EXPECT_EQ(detail::add_saturated(now, Duration::max()), TimePoint::max());
  EXPECT_EQ(detail::add_saturated(TimePoint(-5s), Duration::min()), TimePoint::min());
}

}  // namespace
}  // namespace aster
