// SPDX-License-Identifier: MIT
// Step 4: a heap, a dispatch table for kinds of events, and return values.
#include <aster/coro/generator.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
struct AsyncSleep {
  std::chrono::milliseconds time;
};
struct AsyncPrint {
  explicit AsyncPrint(std::string text) : line(std::move(text)) {}
  std::string line;
};
using Event = std::variant<AsyncSleep, AsyncPrint>;
using Coroutine = aster::Generator<Event, int, int>;  // Is sent the number of the printed line.

struct Task {
  Clock::time_point wake_up;
  Coroutine coroutine;
  std::size_t number;
  std::optional<int> answer;  // To its last event; none before the first.
};

// For each kind of event, in the order of `Event`: when the task goes on and with what answer.
void (*const handlers[])(const Event&, Task&) = {
    [](const Event& event, Task& task) {
      task.wake_up += std::get<AsyncSleep>(event).time;  // Counts from when it was due.
      task.answer = 0;
    },
    [](const Event& event, Task& task) {
      static int lines = 0;
      task.answer = ++lines;
      std::cout << lines << ": " << std::get<AsyncPrint>(event).line << '\n';
    }};

std::vector<int> run(std::vector<Coroutine> coroutines) {
  const auto later = [](const Task& a, const Task& b) { return a.wake_up > b.wake_up; };
  std::vector<int> results(coroutines.size());
  std::vector<Task> heap;
  const auto start = Clock::now();
  for (Coroutine& each : coroutines) heap.push_back({start, std::move(each), heap.size(), {}});
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Task& task = heap.back();
    std::this_thread::sleep_until(task.wake_up);
    try {
      const Event event = task.answer ? task.coroutine.send(*task.answer) : task.coroutine.next();
      handlers[event.index()](event, task);
      std::push_heap(heap.begin(), heap.end(), later);
    } catch (const aster::StopIteration& stop) {
      results[task.number] = stop.value<int>();
      heap.pop_back();
    }
  }
  return results;
}

Coroutine sleepy(std::string name, std::chrono::milliseconds pause) {
  co_yield AsyncSleep(pause);
  const int line = co_yield AsyncPrint(name + " wakes up");
  co_return 10 * line;
}

int main() {
  std::vector<Coroutine> both;
  both.push_back(sleepy("late", 200ms));
  both.push_back(sleepy("early", 0ms));
  for (const int result : run(std::move(both))) std::cout << "returned " << result << '\n';
}
