// SPDX-License-Identifier: MIT
// Sends back whatever it is sent: a thread for each client.
// Try: nc 127.0.0.1 8888, twice
#include <aster/aster.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

#include <sys/socket.h>

void echo(aster::Accepted client) {
  try {
    for (;;) {
      std::string data = client.socket.recv(65536);  // Only this thread waits.
      if (data.empty()) break;
      client.socket.sendall(data);
    }
  } catch (const std::exception& error) {
    std::cerr << client.address.str() + ": " + error.what() + "\n";
  }
}

int main(int argc, char** argv) try {
  aster::Socket listener{AF_INET, SOCK_STREAM};
  listener.setblocking(true);
  listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
  listener.bind(aster::Address{"127.0.0.1", argc > 1 ? std::atoi(argv[1]) : 8888});
  listener.listen(128);
  std::cout << "listening on " << listener.getsockname().str() << std::endl;
  for (;;) {
    std::thread(echo, listener.accept()).detach();
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
