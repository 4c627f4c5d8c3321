// SPDX-License-Identifier: MIT
// A listener of the real system and very many clients that connect and reset.
#include "net/echo_protocol.hpp"
#include "net/net_fixture.hpp"
#include "support/blocking_client.hpp"

#include <array>
#include <cstring>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace aster::net_tests {
namespace {

using support::close_with_reset;
using support::connect_blocking;
using support::cpu_time;

class ResetStormSlow : public ::testing::TestWithParam<System> {};
INSTANTIATE_TEST_SUITE_P(Systems, ResetStormSlow, ::testing::ValuesIn(real_systems()), name_of);

// C10: some are gone before they are accepted, some while they are served, some with
// an answer on its way. Then one who behaves is served, and waiting uses no time.
TEST_P(ResetStormSlow, AListenerSurvivesClientsThatConnectAndReset) {
  Net net(GetParam());
  Server server = net.run(net.loop().create_server(make_echo, "127.0.0.1", 0));
  const Address address = server.sockets().front().getsockname();
  constexpr int count = 100'000;
  std::array<int, 50> clients;  // At a time; they all fit into the listener's queue.
  int made = 0;
  for (int done = 0; done < count; done += static_cast<int>(clients.size())) {
    for (int& fd : clients) {
      fd = connect_blocking(address);
      if (fd >= 0) ++made;
    }
    for (std::size_t i = 0; i < clients.size(); i += 3) close_with_reset(clients[i]);
    net.turns(1);
    for (std::size_t i = 1; i < clients.size(); i += 3) {
      EXPECT_LE(::send(clients[i], "hello", 5, MSG_NOSIGNAL), 5);
    }
    net.turns(1);
    for (std::size_t i = 0; i < clients.size(); ++i) {
      if (i % 3 != 0) close_with_reset(clients[i]);
    }
    net.turns(2);
  }
  EXPECT_EQ(made, count);

  const auto ask = [](int port) -> Coroutine<std::string> {
    Connection link = co_await open_connection("127.0.0.1", port);
    link.writer.write("hello\n");
    std::string line = co_await link.reader.readline();
    link.writer.close();
    co_await link.writer.wait_closed();
    co_return line;
  };
  EXPECT_EQ(net.run(aster::wait_for(ask(address.port()), 10s)), "hello\n");
  net.run(sleep(50ms));
  const Duration before = cpu_time();
  net.run(sleep(1s));  // Real time: what is measured is what waiting costs.
  EXPECT_LT(cpu_time() - before, 50ms);
  server.close();
  net.run(aster::wait_for(server.wait_closed(), 10s));
}

}  // namespace
}  // namespace aster::net_tests
