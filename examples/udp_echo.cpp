// SPDX-License-Identifier: MIT
// Sends every datagram back to where it came from. Try: nc -u 127.0.0.1 8888
#include <aster/aster.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string_view>

struct UdpEcho : aster::DatagramProtocol {
  aster::DatagramTransport* transport = nullptr;

  void connection_made(aster::DatagramTransport& made) override {
    transport = &made;
    std::cout << "listening on " << made.sockname()->str() << std::endl;
  }
  void datagram_received(std::string_view data, const aster::Address& from) override {
    transport->sendto(data, from);
  }
  void error_received(std::exception_ptr error) override {  // Of one datagram; the others go on.
    std::cerr << aster::describe(error) << '\n';
  }
};

std::unique_ptr<UdpEcho> make_echo() { return std::make_unique<UdpEcho>(); }

aster::Coroutine<> serve(int port) {
  aster::EventLoop& loop = aster::get_running_loop();
  co_await loop.create_datagram_endpoint(make_echo, aster::Address{"127.0.0.1", port});
  co_await loop.create_future<>();  // Until Ctrl-C.
}

int main(int argc, char** argv) { return aster::main(serve(argc > 1 ? std::atoi(argv[1]) : 8888)); }
