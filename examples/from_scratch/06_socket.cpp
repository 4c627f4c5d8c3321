// SPDX-License-Identifier: MIT
// Step 6: sockets. A connect that does not block, then reading what the server sends.
#include <aster/coro/generator.hpp>
#include <aster/io/socket.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

struct Event {  // A socket that is writable, or has data to read.
  int fd;
  bool write;
  std::size_t size;
};
Event AsyncWritable(int fd) { return {fd, true, 0}; }
Event AsyncRecv(int fd, std::size_t size) { return {fd, false, size}; }
using Coroutine = aster::Generator<Event, std::string>;  // Is sent what was received.

// One coroutine is enough to see it; step 5 has several.
void run(Coroutine coroutine, Event event) {
  for (bool goes_on = true; goes_on;) {
    fd_set sets[2];
    for (fd_set& set : sets) FD_ZERO(&set);
    FD_SET(event.fd, &sets[event.write]);
    ::select(FD_SETSIZE, &sets[0], &sets[1], nullptr, nullptr);  // The only place that waits.
    std::string data(event.size, '\0');
    const auto got = event.write ? 0 : ::recv(event.fd, data.data(), data.size(), 0);
    data.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    const auto next = coroutine.try_send(std::move(data));
    goes_on = next.has_value();
    if (next) event = *next;
  }
}

Coroutine client(aster::Address server) {
  const aster::Socket socket(AF_INET, SOCK_STREAM);  // Never blocks.
  ::connect(socket.fileno(), static_cast<const sockaddr*>(server.data()), server.size());
  co_yield AsyncWritable(socket.fileno());  // Then it is connected, or not:
  const int error = socket.getsockopt(SOL_SOCKET, SO_ERROR);
  std::cout << (error == 0 ? "connected\n" : "cannot connect\n");
  for (;;) {
    const std::string data = co_yield AsyncRecv(socket.fileno(), 100);
    if (data.empty()) break;
    std::cout << "received " << data << '\n';
  }
}

void serve(aster::Socket listener) {  // In a thread, with plain blocking calls.
  const int connection = ::accept(listener.fileno(), nullptr, nullptr);
  for (const std::string word : {"one ", "two ", "three "}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::send(connection, word.data(), word.size(), MSG_NOSIGNAL);
  }
  ::close(connection);
}

int main() {
  aster::Socket listener(AF_INET, SOCK_STREAM);
  listener.bind(aster::Address("127.0.0.1", 0));
  listener.listen();
  listener.setblocking(true);
  Coroutine coroutine = client(listener.getsockname());
  const Event first = coroutine.next();
  std::thread server(serve, std::move(listener));
  run(std::move(coroutine), first);
  server.join();
}
