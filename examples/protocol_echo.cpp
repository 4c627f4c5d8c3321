// SPDX-License-Identifier: MIT
// Sends back whatever it is sent, by callbacks. Try: nc 127.0.0.1 8888
#include <aster/aster.hpp>

#include <cstdlib>
#include <iostream>
#include <memory>

struct Echo : aster::Protocol {
  aster::Transport* transport = nullptr;

  void connection_made(aster::Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override { transport->write(data); }

  // A client that does not read is not read from either.
  void pause_writing() override { transport->pause_reading(); }
  void resume_writing() override { transport->resume_reading(); }
};

aster::Coroutine<> serve(int port) {
  aster::EventLoop& loop = aster::get_running_loop();
  auto make = [] { return std::make_unique<Echo>(); };
  aster::Server server = co_await loop.create_server(make, "127.0.0.1", port);
  std::cout << "listening on " << server.sockets().front().getsockname().str() << std::endl;
  co_await server.serve_forever();
}

int main(int argc, char** argv) { return aster::main(serve(argc > 1 ? std::atoi(argv[1]) : 8888)); }
