// SPDX-License-Identifier: MIT
#include <aster/net/endpoint.hpp>
#include <aster/process/subprocess_protocol.hpp>

struct Good : aster::Protocol {};
struct Bad {};
struct Datagrams : aster::DatagramProtocol {};
struct Child : aster::SubprocessProtocol {};

void connects(aster::EventLoop& loop) {
  static_cast<void>(loop.create_connection([] { return std::make_unique<Good>(); }, "::1", 80));
  static_cast<void>(loop.create_server([] { return std::make_shared<Good>(); }, "::1", 80));
#ifdef WRONG_1
  // ERROR: derived from Protocol or BufferedProtocol
  static_cast<void>(loop.create_connection([] { return std::make_unique<Bad>(); }, "::1", 80));
#endif
#ifdef WRONG_2
  // ERROR: derived from Protocol or BufferedProtocol
  static_cast<void>(loop.create_server([] { return std::make_unique<Datagrams>(); }, "::1", 80));
#endif
  static_cast<void>(loop.subprocess_exec([] { return std::make_unique<Child>(); }, {}, "true"));
#ifdef WRONG_3
  // ERROR: derived from SubprocessProtocol
  static_cast<void>(loop.subprocess_exec([] { return std::make_unique<Good>(); }, {}, "true"));
#endif
}
