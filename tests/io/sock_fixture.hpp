// SPDX-License-Identifier: MIT
#pragma once

#include <aster/aster.hpp>
#include <aster/testing/faults.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/net_fixture.hpp"

namespace aster::sock_tests {

using namespace std::chrono_literals;
using net_tests::all_systems;
using net_tests::error_of;
using net_tests::name_of;
using net_tests::Net;
using net_tests::NetTest;
using net_tests::pattern;
using net_tests::real_systems;
using net_tests::simulated_systems;
using net_tests::turns;
using testing::Faults;
using ::testing::HasSubstr;
using testing::SimBackend;
using testing::SimCall;
using testing::SysCall;

inline Address loopback(int port = 0) { return Address{"127.0.0.1", port}; }

/// A suite of sockets on every system.
class SockTest : public NetTest {
 protected:
  SockTest() { loop().set_strict_order(true); }

  EventLoop& loop() { return net.loop(); }

  /// A TCP socket of the suite's system.
  Socket tcp() {
    if (net.is_simulated()) return Socket(loop().backend(), AF_INET, SOCK_STREAM);
    return Socket(AF_INET, SOCK_STREAM);
  }
  Socket listening() {
    Socket listener = tcp();
    listener.bind(loopback());
    listener.listen(128);
    return listener;
  }

  /// Two connected sockets.
  struct Ends {
    Socket client;
    Socket server;
  };
  Coroutine<> connect(Ends& ends) {
    Socket listener = listening();
    ends.client = tcp();
    auto accepting = create_task(loop().sock_accept(listener));
    auto connecting = loop().sock_connect(ends.client, listener.getsockname());
    co_await std::move(connecting);
    Accepted accepted = co_await std::move(accepting);
    ends.server = std::move(accepted.socket);
  }
  Ends connected() {
    Ends ends;
    run(connect(ends));
    return ends;
  }

  std::string error(Coroutine<> coroutine) { return run(error_of(std::move(coroutine))); }
  template <class T>
  std::string error(Coroutine<T> coroutine) {
    return run(error_of(std::move(coroutine)));
  }

  /// Reads so many bytes, or to the end.
  Coroutine<std::string> receive(Socket& socket, std::size_t size) {
    std::string all;
    while (all.size() < size) {
      const std::size_t wanted = std::min<std::size_t>(size - all.size(), 65536);
      std::string some = co_await loop().sock_recv(socket, wanted);
      if (some.empty()) break;
      all += some;
    }
    co_return all;
  }
};

}  // namespace aster::sock_tests
