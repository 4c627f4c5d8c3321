// SPDX-License-Identifier: MIT
#include <aster/base/random.hpp>
#include <aster/task/timer_queue.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;

struct Alarm : detail::Timer {
  explicit Alarm(int number) : Timer(nullptr), id(number) {}
  int id;
};

int pop_id(detail::TimerQueue& queue) { return static_cast<Alarm&>(queue.pop()).id; }

TEST(TimerQueue, GivesTheEarliestFirst) {
  Alarm one(1), two(2), three(3);
  detail::TimerQueue queue;
  queue.add(two, TimePoint(2s));
  queue.add(three, TimePoint(3s));
  queue.add(one, TimePoint(1s));

  EXPECT_EQ(queue.earliest(), TimePoint(1s));
  EXPECT_EQ(pop_id(queue), 1);
  EXPECT_EQ(pop_id(queue), 2);
  EXPECT_EQ(pop_id(queue), 3);
  EXPECT_TRUE(queue.empty());
}

TEST(TimerQueue, GivesEqualDeadlinesInTheOrderTheyWereAdded) {
  std::deque<Alarm> alarms;
  detail::TimerQueue queue;
  for (int i = 0; i < 100; ++i) queue.add(alarms.emplace_back(i), TimePoint(5s));  // LOOP-5

  for (int i = 0; i < 100; ++i) EXPECT_EQ(pop_id(queue), i);
}

TEST(TimerQueue, AnAlarmAddedAgainGoesBehindItsEquals) {
  Alarm one(1), two(2);
  detail::TimerQueue queue;
  queue.add(one, TimePoint(1s));
  queue.add(two, TimePoint(1s));
  queue.remove(one);

  queue.add(one, TimePoint(1s));

  EXPECT_EQ(pop_id(queue), 2);
  EXPECT_EQ(pop_id(queue), 1);
}

TEST(TimerQueue, RemovingOneThatIsNotScheduledDoesNothing) {
  Alarm one(1);
  detail::TimerQueue queue;

  queue.remove(one);

  EXPECT_FALSE(one.is_scheduled());
}

TEST(TimerQueue, RemovedTimersKeepNoMemory) {
  detail::TimerQueue queue;
  Alarm alarm(1);

  for (int i = 0; i < 1000; ++i) {
    queue.add(alarm, TimePoint(1h));
    queue.remove(alarm);
  }

  EXPECT_EQ(queue.size(), 0U);  // LOOP-15
}

TEST(TimerQueue, TellsTheDeadlineOfATimer) {
  Alarm alarm(1);
  detail::TimerQueue queue;
  EXPECT_EQ(queue.deadline(alarm), TimePoint::max());

  queue.add(alarm, TimePoint(7s));

  EXPECT_EQ(queue.deadline(alarm), TimePoint(7s));
  queue.remove(alarm);
}

// Random additions, removals and pops against a sorted model.
TEST(TimerQueue, AgreesWithASortedModel) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    std::deque<Alarm> alarms;
    for (int i = 0; i < 200; ++i) alarms.emplace_back(i);
    std::map<std::pair<TimePoint, std::uint64_t>, int> model;
    std::vector<std::pair<TimePoint, std::uint64_t>> keys(alarms.size());
    detail::TimerQueue queue;
    std::uint64_t sequence = 0;

    for (int step = 0; step < 2000; ++step) {
      const std::size_t index = random.below(alarms.size());
      Alarm& alarm = alarms[index];
      if (random.chance(1, 3) && !model.empty()) {
        const int expected = model.begin()->second;
        model.erase(model.begin());
        ASSERT_EQ(pop_id(queue), expected);
      } else if (alarm.is_scheduled()) {
        model.erase(keys[index]);
        queue.remove(alarm);
      } else {
        keys[index] = {TimePoint(1s * random.below(20)), sequence++};
        model.emplace(keys[index], alarm.id);
        queue.add(alarm, keys[index].first);
      }
      ASSERT_EQ(queue.size(), model.size());
      if (!model.empty()) {
        ASSERT_EQ(queue.earliest(), model.begin()->first.first);
      }
    }
    while (!queue.empty()) queue.pop();
  }
}

}  // namespace
}  // namespace aster
