// SPDX-License-Identifier: MIT
// Step 7: one event for all I/O; what is to be done is a function that comes with it.
#include <aster/coro/generator.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <sys/select.h>
#include <unistd.h>

// When the descriptor is ready, do the I/O and send in what it gives.
struct Event {
  Event(int on, bool writes, std::function<std::string()> io)
      : fd(on), write(writes), perform(std::move(io)) {}
  int fd;
  bool write;
  std::function<std::string()> perform;
};
using Coroutine = aster::Generator<Event, std::string>;

// The loop knows of readiness, and of no kind of I/O.
void run(std::vector<Coroutine> coroutines) {
  std::vector<std::pair<Coroutine, Event>> tasks;
  for (Coroutine& each : coroutines) {
    Event first = each.next();
    tasks.emplace_back(std::move(each), std::move(first));
  }
  while (!tasks.empty()) {
    fd_set sets[2];
    for (fd_set& set : sets) FD_ZERO(&set);
    for (auto& [coroutine, event] : tasks) FD_SET(event.fd, &sets[event.write]);
    ::select(FD_SETSIZE, &sets[0], &sets[1], nullptr, nullptr);
    std::erase_if(tasks, [&](auto& task) {
      auto& [coroutine, event] = task;
      if (!FD_ISSET(event.fd, &sets[event.write])) return false;
      auto next = coroutine.try_send(event.perform());
      if (next) event = std::move(*next);
      return !next;
    });
  }
}

// Kinds of I/O, made outside of the loop.
Event async_read(int fd, std::size_t size) {
  return Event(fd, false, [fd, size] {
    std::string data(size, '\0');
    const auto got = ::read(fd, data.data(), size);
    return data.substr(0, static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  });
}
Event async_write(int fd, std::string data) {
  return Event(fd, true, [=] { return std::to_string(::write(fd, data.data(), data.size())); });
}
Coroutine reader(int fd) {
  for (std::string data = "?"; !data.empty();) {
    data = co_yield async_read(fd, 100);
    std::cout << "read '" << data << "'\n";
  }
}
Coroutine writer(int fd) {
  for (const char* word : {"one", "two", "three"}) {
    const std::string size = co_yield async_write(fd, word);
    std::cout << "wrote " << size << " bytes\n";
  }
  ::close(fd);
}

int main() {
  int ends[2];
  if (::pipe(ends) != 0) return 1;
  std::vector<Coroutine> both(2);
  both[0] = reader(ends[0]);
  both[1] = writer(ends[1]);
  run(std::move(both));
}
