// SPDX-License-Identifier: MIT
// Sends back whatever it is sent, to one client at a time: no loop, no threads.
// Try: nc 127.0.0.1 8888, twice
#include <aster/aster.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>

#include <sys/socket.h>

void echo(aster::Socket client) {
  for (;;) {
    std::string data = client.recv(65536);  // Waits; meanwhile nobody else is served.
    if (data.empty()) break;
    client.sendall(data);
  }
}

int main(int argc, char** argv) try {
  aster::Socket listener{AF_INET, SOCK_STREAM};
  listener.setblocking(true);
  listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
  listener.bind(aster::Address{"127.0.0.1", argc > 1 ? std::atoi(argv[1]) : 8888});
  listener.listen(5);
  std::cout << "listening on " << listener.getsockname().str() << std::endl;
  for (;;) {
    aster::Accepted accepted = listener.accept();
    try {
      echo(std::move(accepted.socket));
    } catch (const std::exception& error) {
      std::cerr << accepted.address.str() << ": " << error.what() << '\n';
    }
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
