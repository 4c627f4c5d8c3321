// SPDX-License-Identifier: MIT
// Step 3: several coroutines at once, in the order of their wake-up times.
#include <aster/coro/generator.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct AsyncSleep {
  std::chrono::milliseconds time;
};
using Coroutine = aster::Generator<AsyncSleep>;

Coroutine sleepy(std::string name) {
  for (int step = 1; step <= 5; ++step) {
    co_yield AsyncSleep(100ms);
    std::cout << name << step << ' ' << std::flush;
  }
}

void run(std::vector<Coroutine> coroutines) {
  struct Sleeper {
    Clock::time_point wake_up;
    Coroutine coroutine;
  };
  std::vector<Sleeper> sleepers;  // Sorted by wake-up time.
  auto add = [&](Sleeper sleeper) {
    auto earlier = [](const Sleeper& a, const Sleeper& b) { return a.wake_up < b.wake_up; };
    auto place = std::upper_bound(sleepers.begin(), sleepers.end(), sleeper, earlier);
    sleepers.insert(place, std::move(sleeper));
  };
  for (Coroutine& coroutine : coroutines) add({Clock::now(), std::move(coroutine)});

  while (!sleepers.empty()) {
    Sleeper next = std::move(sleepers.front());
    sleepers.erase(sleepers.begin());
    std::this_thread::sleep_until(next.wake_up);
    if (auto event = next.coroutine.try_next()) {
      add({Clock::now() + event->time, std::move(next.coroutine)});
    }
  }
}

int main() {
  const auto start = Clock::now();
  std::vector<Coroutine> five;
  for (const char* name : {"A", "B", "C", "D", "E"}) five.push_back(sleepy(name));
  run(std::move(five));
  const std::chrono::duration<double> time = Clock::now() - start;
  std::cout << "\n25 sleeps of 0.1 s took " << time.count() << " s\n";
}
