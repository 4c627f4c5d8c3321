// SPDX-License-Identifier: MIT
// Step 6: sockets. A connect that does not block, then reading what the server sends.
#include <aster/coro/generator.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

struct Event {  // A socket that is writable, or has data to read.
  int fd = -1;
  bool write = false;
  std::size_t size = 0;
};
Event AsyncWritable(int fd) { return {fd, true, 0}; }
Event AsyncRecv(int fd, std::size_t size) { return {fd, false, size}; }
using Coroutine = aster::Generator<Event, std::string>;  // Is sent what was received.

struct Task {
  Coroutine coroutine;
  Event event{};
  bool step(std::string data) try {  // To its next event; false when it has ended.
    event = data.empty() ? coroutine.next() : coroutine.send(data);
    return true;
  } catch (const aster::StopIteration&) {
    return false;
  }
};

void run(std::vector<Task> tasks) {
  std::erase_if(tasks, [](Task& task) { return !task.step(""); });
  while (!tasks.empty()) {
    fd_set sets[2];
    for (fd_set& set : sets) FD_ZERO(&set);
    for (const Task& task : tasks) FD_SET(task.event.fd, &sets[task.event.write]);
    ::select(FD_SETSIZE, &sets[0], &sets[1], nullptr, nullptr);
    std::erase_if(tasks, [&](Task& task) {
      if (!FD_ISSET(task.event.fd, &sets[task.event.write])) return false;
      std::string data(task.event.size, '\0');
      const auto size = data.empty() ? 0 : ::recv(task.event.fd, data.data(), data.size(), 0);
      return !task.step(data.substr(0, static_cast<std::size_t>(std::max<ssize_t>(size, 0))));
    });
  }
}

Coroutine client(std::string name, aster::Address server) {
  aster::Socket socket(AF_INET, SOCK_STREAM);  // Does not block.
  ::connect(socket.fileno(), static_cast<const sockaddr*>(server.data()), server.size());
  co_yield AsyncWritable(socket.fileno());  // Connected, or not:
  const int error = socket.getsockopt(SOL_SOCKET, SO_ERROR);
  std::cout << name << (error == 0 ? " is connected\n" : " cannot connect\n");
  for (;;) {
    const std::string data = co_yield AsyncRecv(socket.fileno(), 100);
    if (data.empty()) break;
    std::cout << name << " hears " << data << '\n';
  }
}

void serve(aster::Socket listener) {  // In a thread, with plain blocking calls.
  int clients[2];
  for (int& each : clients) each = ::accept(listener.fileno(), nullptr, nullptr);
  for (const std::string word : {"one ", "two ", "three "}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (const int each : clients) ::send(each, word.data(), word.size(), MSG_NOSIGNAL);
  }
  for (const int each : clients) ::close(each);
}

int main() {
  aster::Socket listener(AF_INET, SOCK_STREAM);
  listener.bind(aster::Address("127.0.0.1", 0));
  listener.listen();
  listener.setblocking(true);
  std::vector<Task> tasks(2);
  tasks[0].coroutine = client("A", listener.getsockname());
  tasks[1].coroutine = client("B", listener.getsockname());
  std::thread server(serve, std::move(listener));
  run(std::move(tasks));
  server.join();
}
