// SPDX-License-Identifier: MIT
// Step 5: files too. `select` waits for the next timer and for all files at once.
#include <aster/coro/generator.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Event {  // The end of a sleep, or data to read.
  std::chrono::microseconds sleep{};
  int fd = -1;
  std::size_t size = 0;
};
Event AsyncSleep(std::chrono::microseconds time) { return {time, -1, 0}; }
Event AsyncRead(int fd, std::size_t size) { return {0us, fd, size}; }

struct Task {
  aster::Generator<Event, std::string> coroutine;  // Is sent what was read.
  Event event{};
  Clock::time_point wake_up{};
  bool step(std::string data) {  // To its next event; false when it has ended.
    const auto next = data.empty() ? coroutine.try_next() : coroutine.try_send(data);
    if (next) event = *next;
    wake_up = Clock::now() + event.sleep;
    return next.has_value();
  }
};

void run(std::vector<Task> tasks) {
  while (!tasks.empty()) {
    fd_set ready;
    FD_ZERO(&ready);
    Clock::duration wait = 999ms;
    for (const Task& task : tasks) {
      if (task.event.fd >= 0) FD_SET(task.event.fd, &ready);
      if (task.event.fd < 0) wait = std::min(wait, task.wake_up - Clock::now());
    }
    timeval limit{0, std::max(std::chrono::ceil<std::chrono::microseconds>(wait), 0us).count()};
    ::select(FD_SETSIZE, &ready, nullptr, nullptr, &limit);
    // One step for each that is ready: a file that always is cannot keep the timers waiting.
    std::erase_if(tasks, [&](Task& task) {
      if (task.event.fd < 0) return task.wake_up <= Clock::now() && !task.step("");
      if (!FD_ISSET(task.event.fd, &ready)) return false;
      std::string data(task.event.size, '\0');
      const auto size = ::read(task.event.fd, data.data(), data.size());
      return !task.step(data.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    });
  }
}

aster::Generator<Event, std::string> reading(int fd) {
  for (std::size_t total = 0; total < 32 * 1024;) {
    const std::string data = co_yield AsyncRead(fd, 8 * 1024);
    std::cout << "read " << (total += data.size()) / 1024 << " KiB\n";
  }
}
aster::Generator<Event, std::string> background() {
  for (int step = 1; step <= 5; ++step) {
    std::cout << "background " << step << '\n';
    co_yield AsyncSleep(0us);
  }
}

int main() {
  std::vector<Task> tasks(2);
  tasks[0].coroutine = background();
  tasks[1].coroutine = reading(::open("/dev/urandom", O_RDONLY));  // Always ready.
  run(std::move(tasks));
}
