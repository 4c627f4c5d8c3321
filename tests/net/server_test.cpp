// SPDX-License-Identifier: MIT
// Servers: their life, on every system.
#include "net/net_fixture.hpp"
#include "support/kept_port.hpp"

#include <array>
#include <set>

#include <sys/socket.h>

namespace aster::net_tests {
namespace {

class Servers : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, Servers, ::testing::ValuesIn(all_systems()), name_of);

Coroutine<> echo_lines(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string line = co_await reader.readline();
    if (line.empty()) co_return;
    writer.write(line);
    co_await writer.drain();
  }
}

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

Coroutine<std::string> ask(std::string host, int port, std::string question) {
  auto connecting = open_connection(host, port);
  Connection link = co_await std::move(connecting);
  link.writer.write(question);
  std::string answer = co_await link.reader.readline();
  link.writer.close();
  co_await link.writer.wait_closed();
  co_return answer;
}

TEST_P(Servers, HandlersOfManyConnectionsRunAtOnce) {  // ST-2
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    std::vector<Task<std::string>> clients;
    for (int i = 0; i < 40; ++i) {
      clients.push_back(
          create_task(ask("127.0.0.1", port_of(server), "line " + std::to_string(i) + "\n")));
    }

    for (int i = 0; i < 40; ++i) {
      std::string answer = co_await clients[static_cast<std::size_t>(i)];
      EXPECT_EQ(answer, "line " + std::to_string(i) + "\n");
    }
    server.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

ContextVar<std::string> tenant{"tenant", "none"};

Coroutine<> tell_tenant(StreamReader, StreamWriter writer) {
  writer.write(tenant.get() + "\n");
  tenant.set("a handler's own");
  co_await writer.drain();
}

TEST_P(Servers, HandlersRunInCopiesOfTheContextOfStartServer) {  // CTX-7
  run([]() -> Coroutine<> {
    auto starting = [] {
      auto scope = tenant.scoped("server");
      return create_task(start_server(tell_tenant, "127.0.0.1", 0));
    }();
    Server server = co_await std::move(starting);
    tenant.set("client");
    for (int i = 0; i < 2; ++i) {
      std::string answer = co_await ask("127.0.0.1", port_of(server), "?");
      EXPECT_EQ(answer, "server\n");
    }
    server.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(Servers, EveryHostGetsItsOwnPort) {  // CON-15, CON-19
  run([]() -> Coroutine<> {
    std::vector<std::string> hosts{"127.0.0.1", "::1", "127.0.0.1"};
    auto starting = start_server(echo_lines, std::move(hosts), 0);
    Server server = co_await std::move(starting);

    const std::vector<SocketView> sockets = server.sockets();
    EXPECT_EQ(sockets.size(), 2U);  // Duplicates are bound once.
    for (const SocketView& socket : sockets) {
      const Address address = socket.getsockname();
      EXPECT_GT(address.port(), 0);
      std::string answer = co_await ask(address.host(), address.port(), "hello\n");
      EXPECT_EQ(answer, "hello\n");
    }
    server.close();
  }());
}

TEST_P(Servers, NoHostMeansAllInterfacesOfBothFamilies) {  // CON-15, CON-18
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "", 0);
    Server server = co_await std::move(starting);
    std::set<std::string> hosts;
    for (const SocketView& socket : server.sockets()) hosts.insert(socket.getsockname().host());

    EXPECT_EQ(hosts, (std::set<std::string>{"0.0.0.0", "::"}));
    for (const SocketView& socket : server.sockets()) {
      const Address address = socket.getsockname();
      const std::string host = address.family() == AF_INET ? "127.0.0.1" : "::1";
      std::string answer = co_await ask(host, address.port(), "hello\n");
      EXPECT_EQ(answer, "hello\n");
    }
    server.close();
  }());
}

TEST_P(Servers, AFamilyLimitsWhatIsBound) {  // CON-15
  run([]() -> Coroutine<> {
    ServerOptions options;
    options.family = AF_INET6;
    auto starting = start_server(echo_lines, "", 0, options);
    Server server = co_await std::move(starting);

    EXPECT_EQ(server.sockets().size(), 1U);
    EXPECT_EQ(server.sockets().front().getsockname().family(), AF_INET6);
    server.close();
  }());
}

TEST_P(Servers, CloseEmptiesTheSocketsAndFreesTheAddress) {  // SRV-3, SRV-7
  run([]() -> Coroutine<> {
    const support::KeptPort kept;
    const int port = kept.number();
    auto starting = start_server(echo_lines, "127.0.0.1", port);
    Server server = co_await std::move(starting);
    EXPECT_TRUE(server.is_serving());
    EXPECT_EQ(&server.get_loop(), &get_running_loop());

    server.close();
    server.close();

    EXPECT_FALSE(server.is_serving());
    EXPECT_TRUE(server.sockets().empty());
    std::string refused = co_await error_of(ask("127.0.0.1", port, "x\n"));
    EXPECT_THAT(refused, ::testing::HasSubstr("Connection refused"));
    auto again = start_server(echo_lines, "127.0.0.1", port);
    Server next = co_await std::move(again);
    EXPECT_EQ(port_of(next), port);
    next.close();
  }());
}

TEST_P(Servers, WithoutStartServingItRefusesUntilStarted) {  // SRV-1
  run([]() -> Coroutine<> {
    ServerOptions options;
    options.start_serving = false;
    auto starting = start_server(echo_lines, "127.0.0.1", 0, options);
    Server server = co_await std::move(starting);
    EXPECT_FALSE(server.is_serving());
    EXPECT_EQ(server.sockets().size(), 1U);
    std::string refused = co_await error_of(ask("127.0.0.1", port_of(server), "x\n"));
    EXPECT_THAT(refused, ::testing::HasSubstr("Connection refused"));

    co_await server.start_serving();
    co_await server.start_serving();  // Idempotent.

    EXPECT_TRUE(server.is_serving());
    std::string answer = co_await ask("127.0.0.1", port_of(server), "x\n");
    EXPECT_EQ(answer, "x\n");
    server.close();
    std::string error = co_await error_of(server.start_serving());
    EXPECT_EQ(error, "aster::RuntimeError: start_serving: server is closed");
  }());
}

TEST_P(Servers, ServeForeverEndsWhenItIsCancelled) {  // SRV-2, CAN-19
  run([]() -> Coroutine<> {
    ServerOptions options;
    options.start_serving = false;
    auto starting = start_server(echo_lines, "127.0.0.1", 0, options);
    Server server = co_await std::move(starting);
    auto serving = create_task(server.serve_forever());
    co_await turns(2);
    const int port = port_of(server);
    auto connecting = open_connection("127.0.0.1", port);
    Connection link = co_await std::move(connecting);
    link.writer.write("a\n");
    std::string answer = co_await link.reader.readline();
    EXPECT_EQ(answer, "a\n");

    serving.cancel();
    co_await turns(1);
    EXPECT_FALSE(server.is_serving());
    answer = co_await link.reader.readline();
    EXPECT_EQ(answer, "");  // The connection was closed, as CPython does from 3.13.1 on.
    std::string error = co_await error_of(serving);

    EXPECT_THAT(error, ::testing::HasSubstr("CancelledError"));
    EXPECT_TRUE(serving.cancelled());
  }());
}

TEST_P(Servers, ServeForeverEndsWhenSomebodyElseCloses) {  // SRV-2
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto serving = create_task(server.serve_forever());
    co_await turns(2);

    std::string twice = co_await error_of(server.serve_forever());
    server.close();
    std::string error = co_await error_of(serving);
    std::string later = co_await error_of(server.serve_forever());

    EXPECT_EQ(twice, "aster::RuntimeError: serve_forever: server is already being awaited on");
    EXPECT_THAT(error, ::testing::HasSubstr("CancelledError"));
    EXPECT_EQ(later, "aster::RuntimeError: serve_forever: server is closed");
  }());
}

TEST_P(Servers, WaitClosedWaitsForCloseAndForConnectionsInEitherOrder) {  // SRV-4
  run([]() -> Coroutine<> {
    for (const bool close_first : {false, true}) {
      auto starting = start_server(echo_lines, "127.0.0.1", 0);
      Server server = co_await std::move(starting);
      auto connecting = open_connection("127.0.0.1", port_of(server));
      Connection link = co_await std::move(connecting);
      link.writer.write("a\n");
      co_await link.reader.readline();
      auto waiting = create_task(server.wait_closed());
      auto impatient = create_task(server.wait_closed());
      co_await turns(3);
      impatient.cancel();

      if (close_first) server.close();
      if (!close_first) {
        link.writer.close();
        co_await link.writer.wait_closed();
        co_await sleep(20ms);
      }
      co_await turns(5);
      EXPECT_FALSE(waiting.done());
      EXPECT_TRUE(impatient.cancelled());
      server.close();
      link.writer.close();
      co_await aster::wait_for(waiting, 10s);
      co_await server.wait_closed();  // At once.
    }
  }());
}

TEST_P(Servers, CloseLetsConnectionsGoOn) {  // SRV-3
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto connecting = open_connection("127.0.0.1", port_of(server));
    Connection link = co_await std::move(connecting);
    link.writer.write("a\n");
    co_await link.reader.readline();

    server.close();
    link.writer.write("b\n");
    std::string answer = co_await link.reader.readline();

    EXPECT_EQ(answer, "b\n");
    link.writer.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(Servers, WithClosesAndWaits) {  // SRV-8
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    std::string answer;
    auto body = [&answer](Server& entered) -> Coroutine<> {
      std::string got = co_await ask("127.0.0.1", port_of(entered), "x\n");
      answer = got;
    };
    co_await with(server, body);

    EXPECT_EQ(answer, "x\n");
    EXPECT_FALSE(server.is_serving());
    EXPECT_TRUE(server.sockets().empty());
  }());
}

TEST_P(Servers, WithPassesTheErrorOfItsBody) {  // SRV-8
  run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto body = [](Server&) -> Coroutine<> {
      throw ValueError("body");
      co_return;
    };

    std::string error = co_await error_of(with(server, body));

    EXPECT_EQ(error, "aster::ValueError: body");
    EXPECT_FALSE(server.is_serving());
  }());
}

TEST_P(Servers, ADroppedServerKeepsServing) {  // Ground rule: ownership.
  run([]() -> Coroutine<> {
    int port = 0;
    {
      auto starting = start_server(echo_lines, "127.0.0.1", 0);
      Server server = co_await std::move(starting);
      port = port_of(server);
    }

    std::string answer = co_await ask("127.0.0.1", port, "x\n");

    EXPECT_EQ(answer, "x\n");
  }());
}

TEST_P(Servers, AnAddressInUseIsNamedInTheError) {  // CON-20
  run([]() -> Coroutine<> {
    const support::KeptPort kept(get_running_loop().backend(), "::");
    const int port = kept.number();
    auto starting = start_server(echo_lines, "127.0.0.1", port);
    Server server = co_await std::move(starting);
    std::vector<std::string> hosts{"::1", "127.0.0.1"};

    std::string error = co_await error_of(start_server(echo_lines, "127.0.0.1", port));
    std::string several = co_await error_of(start_server(echo_lines, std::move(hosts), port));

    const std::string address = "127.0.0.1:" + std::to_string(port);
    EXPECT_THAT(error, ::testing::HasSubstr(" " + address + ": Address already in use"));
    EXPECT_THAT(several, ::testing::HasSubstr(" " + address + ": Address already in use"));
    auto next = start_server(echo_lines, "::1", port);  // ::1 was given back.
    Server other = co_await std::move(next);
    other.close();
    server.close();
  }());
}

TEST_P(Servers, APortThatIsTakenBetweenBindAndListenIsNamedToo) {  // CON-20
  run([]() -> Coroutine<> {
    ServerOptions options;
    options.start_serving = false;
    auto starting = start_server(echo_lines, "127.0.0.1", 0, options);
    Server first = co_await std::move(starting);
    const std::string address = first.sockets().front().getsockname().str();
    auto again = start_server(echo_lines, "127.0.0.1", port_of(first), options);
    auto second = co_await outcome(std::move(again));
    EXPECT_TRUE(second.has_value());  // SO_REUSEADDR allows it until one listens.
    co_await first.start_serving();

    std::string error = co_await error_of(second.value().start_serving());

    EXPECT_THAT(error, ::testing::HasSubstr("listen " + address + ": Address already in use"));
    EXPECT_FALSE(second.value().is_serving());
    first.close();
    second.value().close();
  }());
}

TEST_P(Servers, ImpossibleArgumentsAreValueErrors) {
  run([]() -> Coroutine<> {
    for (const int port : {-1, 65536, 70000}) {
      std::string error = co_await error_of(start_server(echo_lines, "127.0.0.1", port));
      EXPECT_THAT(error, ::testing::HasSubstr("ValueError: start_server: port must be 0 to 65535"));
    }
    ServerOptions options;
    options.limit = 0;
    std::string error = co_await error_of(start_server(echo_lines, "127.0.0.1", 0, options));
    EXPECT_THAT(error, ::testing::HasSubstr("ValueError: start_server: limit"));
    std::vector<std::string> none;
    error = co_await error_of(start_server(echo_lines, std::move(none), 0));
    EXPECT_THAT(error, ::testing::HasSubstr("could not bind on any address"));
  }());
}

TEST_P(Servers, OptionsOfTheListeningSocketsAreSet) {  // CON-16, CON-17
  run([]() -> Coroutine<> {
    ServerOptions options;
    options.reuse_port = true;
    options.keep_alive = true;
    auto starting = start_server(echo_lines, "127.0.0.1", 0, options);
    Server server = co_await std::move(starting);
    auto again = start_server(echo_lines, "127.0.0.1", port_of(server), options);
    Server second = co_await std::move(again);

    const SocketView socket = server.sockets().front();
    EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_REUSEADDR), 1);
    EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_REUSEPORT), 1);
    EXPECT_EQ(socket.getsockopt(SOL_SOCKET, SO_KEEPALIVE), 1);
    server.close();
    second.close();
  }());
}

TEST(ServersSim, AnAddressThatIsNotHereIsSkipped) {  // CON-20
  Net net;
  net.run([]() -> Coroutine<> {
    std::vector<std::string> hosts{"192.0.2.1", "127.0.0.1"};
    auto starting = start_server(echo_lines, std::move(hosts), 0);
    Server server = co_await std::move(starting);
    std::string error = co_await error_of(start_server(echo_lines, "192.0.2.1", 0));

    EXPECT_EQ(server.sockets().size(), 1U);
    EXPECT_THAT(error, ::testing::HasSubstr("could not bind on any address out of 192.0.2.1:0"));
    server.close();
  }());
}

TEST(ServersSim, AFailureWhileStartingGivesEverythingBack) {  // CON-20
  for (const SimCall call :
       {SimCall::open_socket, SimCall::set_option, SimCall::bind, SimCall::listen}) {
    Net net;
    net.sim().fail_next(call, EACCES);
    const std::string error = net.run(error_of(start_server(echo_lines, "127.0.0.1", 0)));

    EXPECT_THAT(error, ::testing::HasSubstr("127.0.0.1:")) << error;
    EXPECT_THAT(error, ::testing::HasSubstr("Permission denied"));
    EXPECT_EQ(net.sim().open_descriptors(), std::vector<native_socket>{});
  }
}

TEST(ServersSim, ANameIsResolved) {
  Net net;
  std::vector<Address> addresses{Address("127.0.0.1", 0), Address("::1", 0)};
  net.loop().service<detail::ResolverService>().add_host("here", addresses);
  net.run([]() -> Coroutine<> {
    auto starting = start_server(echo_lines, "here", 0);
    Server server = co_await std::move(starting);
    EXPECT_EQ(server.sockets().size(), 2U);
    std::string unknown = co_await error_of(start_server(echo_lines, "nowhere", 0));
    EXPECT_THAT(unknown, ::testing::HasSubstr("getaddrinfo nowhere:0"));
    server.close();
  }());
}

}  // namespace
}  // namespace aster::net_tests
