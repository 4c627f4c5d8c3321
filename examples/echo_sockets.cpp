// SPDX-License-Identifier: MIT
// Sends back whatever it is sent: a coroutine for each client, on plain sockets.
// Try: nc 127.0.0.1 8888, twice
#include <aster/aster.hpp>

#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include <sys/socket.h>

aster::Coroutine<> echo(aster::Socket client) {
  aster::EventLoop& loop = aster::get_running_loop();
  for (;;) {
    std::string data = co_await loop.sock_recv(client, 65536);  // Only this task waits.
    if (data.empty()) break;
    co_await loop.sock_sendall(client, data);
  }
}

aster::Coroutine<> serve(int port) {
  aster::EventLoop& loop = aster::get_running_loop();
  aster::Socket listener{AF_INET, SOCK_STREAM};
  listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
  listener.bind(aster::Address{"127.0.0.1", port});
  listener.listen(128);
  std::cout << "listening on " << listener.getsockname().str() << std::endl;
  for (;;) {
    aster::Accepted accepted = co_await loop.sock_accept(listener);
    aster::create_task(echo(std::move(accepted.socket)));
  }
}

int main(int argc, char** argv) { return aster::main(serve(argc > 1 ? std::atoi(argv[1]) : 8888)); }
