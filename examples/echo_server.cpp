// SPDX-License-Identifier: MIT
// Sends back whatever it is sent. Try: nc 127.0.0.1 8888
#include <aster/aster.hpp>

#include <cstdlib>
#include <iostream>

aster::Coroutine<> echo(aster::StreamReader reader, aster::StreamWriter writer) {
  for (;;) {
    std::string data = co_await reader.read(65536);
    if (data.empty()) break;  // The client has finished.
    writer.write(data);
    co_await writer.drain();
  }
  writer.close();
}

aster::Coroutine<> serve(int port) {
  aster::Server server = co_await aster::start_server(echo, "127.0.0.1", port);
  std::cout << "listening on " << server.sockets().front().getsockname().str() << std::endl;
  co_await server.serve_forever();
}

int main(int argc, char** argv) { return aster::main(serve(argc > 1 ? std::atoi(argv[1]) : 8888)); }
