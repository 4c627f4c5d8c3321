// SPDX-License-Identifier: MIT
// Step 7: one event for everything; what I/O it does is a function that comes with it.
#include <aster/coro/generator.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <sys/select.h>
#include <unistd.h>

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Wait until `time` or, with a descriptor, until that is ready; then do the I/O.
struct Event {
  Event() = default;
  Event(Clock::time_point when, int on, bool writes, std::function<std::string()> io)
      : time(when), fd(on), write(writes), perform(std::move(io)) {}
  Clock::time_point time{};
  int fd = -1;
  bool write = false;
  std::function<std::string()> perform = [] { return std::string(); };
};
using Coroutine = aster::Generator<Event, std::string>;

// The loop knows of time and readiness, and of no kind of I/O.
void run(std::vector<std::pair<Coroutine, Event>> tasks) {
  while (!tasks.empty()) {
    fd_set sets[2];
    for (fd_set& set : sets) FD_ZERO(&set);
    Clock::duration wait = 999ms;
    for (auto& [coroutine, event] : tasks) {
      if (event.fd >= 0) FD_SET(event.fd, &sets[event.write]);
      if (event.fd < 0) wait = std::min(wait, event.time - Clock::now());
    }
    timeval limit{0, std::max(std::chrono::ceil<std::chrono::microseconds>(wait), 0us).count()};
    ::select(FD_SETSIZE, &sets[0], &sets[1], nullptr, &limit);
    std::erase_if(tasks, [&](auto& task) {
      auto& [coroutine, event] = task;
      if (event.fd >= 0 ? !FD_ISSET(event.fd, &sets[event.write]) : event.time > Clock::now()) return false;
      try {
        const std::string answer = event.perform();
        event = answer.empty() ? coroutine.next() : coroutine.send(answer);
        return false;
      } catch (const aster::StopIteration&) {
        return true;
      }
    });
  }
}

// Kinds of events, made outside of the loop.
Event sleep(std::chrono::milliseconds time) {
  return {Clock::now() + time, -1, false, [] { return std::string(); }};
}
Event read(int fd, std::size_t size) {
  return {{}, fd, false, [fd, size] {
            std::string data(size, '\0');
            const auto got = ::read(fd, data.data(), size);
            return data.substr(0, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
          }};
}
Event write(int fd, std::string data) {
  return {{}, fd, true, [fd, data = std::move(data)] {
            return std::to_string(::write(fd, data.data(), data.size()));
          }};
}

Coroutine writer(int fd) {
  for (int i = 1; i <= 3; ++i) {
    co_yield sleep(10ms);
    const std::string size = co_yield write(fd, "message " + std::to_string(i));
    std::cout << "wrote " << size << " bytes\n";
  }
  ::close(fd);
}
Coroutine reader(int fd) {
  for (;;) {
    const std::string data = co_yield read(fd, 100);
    if (data.empty()) break;
    std::cout << "read " << data << '\n';
  }
}

int main() {
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  std::vector<std::pair<Coroutine, Event>> tasks;
  tasks.emplace_back(reader(ends[0]), Event());
  tasks.emplace_back(writer(ends[1]), Event());
  run(std::move(tasks));
}
