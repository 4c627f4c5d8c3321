// SPDX-License-Identifier: MIT
// open_connection, on every system.
#include "net/net_fixture.hpp"
#include "support/kept_port.hpp"

#include <aster/testing/faults.hpp>

#include <cerrno>

#include <netinet/in.h>
#include <sys/socket.h>

namespace aster::net_tests {
namespace {

class Connect : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, Connect, ::testing::ValuesIn(all_systems()), name_of);

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

Coroutine<std::string> greeting(std::string host, int port, ConnectOptions options = {}) {
  auto connecting = open_connection(host, port, options);
  Connection link = co_await std::move(connecting);
  std::string line = co_await link.reader.readline();
  co_return line;
}

Coroutine<Server> greeter(std::string host) {
  auto handler = [](StreamReader, StreamWriter writer) {
    writer.write(writer.peername()->str() + "\n");
  };
  auto starting = start_server(handler, host, 0);
  Server server = co_await std::move(starting);
  co_return server;
}

TEST_P(Connect, ARefusalNamesTheAddress) {  // CON-6
  run([]() -> Coroutine<> {
    const support::KeptPort port;

    std::string error = co_await error_of(open_connection("127.0.0.1", port.number()));

    EXPECT_THAT(error,
                ::testing::HasSubstr("connect " + port.address().str() + ": Connection refused"));
  }());
}

TEST_P(Connect, IPv6Works) {
  run([]() -> Coroutine<> {
    Server server = co_await greeter("::1");

    std::string line = co_await greeting("::1", port_of(server));

    EXPECT_THAT(line, ::testing::StartsWith("[::1]:"));
    server.close();
  }());
}

TEST_P(Connect, ImpossibleArgumentsAreValueErrors) {
  for (const int port : {-1, 0, 65536, 70000}) {
    EXPECT_THROW(static_cast<void>(open_connection("127.0.0.1", port)), ValueError);
  }
  EXPECT_THROW(static_cast<void>(open_connection("", 80)), ValueError);
  ConnectOptions options;
  options.limit = 0;
  EXPECT_THROW(static_cast<void>(open_connection("127.0.0.1", 80, options)), ValueError);
  run([]() -> Coroutine<> {
    ConnectOptions wrong;
    wrong.local_host = "127.0.0.1";
    wrong.local_port = 70000;
    std::string error = co_await error_of(open_connection("127.0.0.1", 80, wrong));
    EXPECT_THAT(error, ::testing::HasSubstr("ValueError"));
    wrong.local_port = 0;
    wrong.local_host = "not numeric";
    error = co_await error_of(open_connection("127.0.0.1", 80, wrong));
    EXPECT_THAT(error, ::testing::HasSubstr("ValueError"));
    ConnectOptions family;
    family.family = AF_INET6;
    error = co_await error_of(open_connection("127.0.0.1", 80, family));
    EXPECT_THAT(error, ::testing::HasSubstr("ValueError"));
    error = co_await error_of(open_connection(std::string(300, 'a'), 80));
    EXPECT_THAT(error, ::testing::HasSubstr("ValueError"));
  }());
}

TEST_P(Connect, TheLocalAddressCanBeChosen) {  // CON-7
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");
    const support::KeptPort kept;  // Of 127.0.0.1; the others of its number are free.
    const int local = kept.number();
    ConnectOptions options;
    options.local_host = "127.0.0.2";
    std::string line = co_await greeting("127.0.0.1", port_of(server), options);
    EXPECT_THAT(line, ::testing::StartsWith("127.0.0.2:"));

    options.local_host = "127.9.8.7";  // Which no other test binds.
    options.local_port = local;
    line = co_await greeting("127.0.0.1", port_of(server), options);
    EXPECT_EQ(line, "127.9.8.7:" + std::to_string(local) + "\n");

    options.local_host = "::1";
    options.local_port = 0;
    std::string error = co_await error_of(open_connection("127.0.0.1", port_of(server), options));
    EXPECT_THAT(error, ::testing::HasSubstr("no address of a usable family"));
    server.close();
  }());
}

TEST_P(Connect, ALocalAddressThatCannotBeBoundIsNamed) {  // CON-7
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");
    ConnectOptions options;
    options.local_host = "127.0.0.1";
    options.local_port = port_of(server);

    std::string error = co_await error_of(open_connection("127.0.0.1", port_of(server), options));

    EXPECT_THAT(error, ::testing::HasSubstr("bind 127.0.0.1:" + std::to_string(port_of(server)) +
                                            ": Address already in use"));
    server.close();
  }());
}

TEST_P(Connect, CancellingItAtAnyStepClosesTheSocket) {  // CON-10, CAN-20, C7
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");
    for (int delay = 0; delay < 8; ++delay) {
      auto connecting = create_task(error_of(open_connection("127.0.0.1", port_of(server))));
      co_await turns(delay);
      connecting.cancel();
      auto ended = co_await outcome(std::move(connecting));
      static_cast<void>(ended);
    }
    server.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(Connect, ManyAtOnce) {
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");
    std::vector<Task<std::string>> clients;
    for (int i = 0; i < 90; ++i) {
      clients.push_back(create_task(greeting("127.0.0.1", port_of(server))));
      if (i % 3 == 1) clients.back().cancel();
    }
    std::size_t greeted = 0;
    for (auto& client : clients) {
      auto ended = co_await outcome(client);
      if (ended.has_value() && !ended.value().empty()) ++greeted;
    }
    EXPECT_EQ(greeted, 60U);
    server.close();
  }());
}

TEST_P(Connect, TheProtocolOfTheSocketMayBeGiven) {  // CON-1
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");
    const int port = port_of(server);
    Connection link = co_await open_connection("127.0.0.1", port, {.proto = IPPROTO_TCP});
    link.writer.close();
    const std::string error =
        co_await error_of(open_connection("127.0.0.1", port, {.proto = IPPROTO_UDP}));
    EXPECT_THAT(error, ::testing::HasSubstr("socket for 127.0.0.1:"));
    server.close();
  }());
}

class ConnectSim : public NetTest {
 protected:
  void add_host(std::string_view name, std::vector<Address> addresses) {
    net.loop().service<detail::ResolverService>().add_host(name, std::move(addresses));
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, ConnectSim, ::testing::ValuesIn(simulated_systems()), name_of);

TEST_P(ConnectSim, AnUnknownNameIsAGaiError) {
  try {
    run(open_connection("nowhere.example", 80));
    ADD_FAILURE();
  } catch (const std::system_error& error) {
    EXPECT_EQ(&error.code().category(), &gai_category());
    EXPECT_THAT(error.what(), ::testing::HasSubstr("getaddrinfo nowhere.example:80"));
  }
}

TEST_P(ConnectSim, TheNextAddressIsTriedWhenOneIsRefused) {  // CON-3
  add_host("two", {Address("127.0.0.9", 0), Address("127.0.0.1", 0)});
  run([]() -> Coroutine<> {
    Server server = co_await greeter("127.0.0.1");

    std::string line = co_await greeting("two", port_of(server));

    EXPECT_THAT(line, ::testing::StartsWith("127.0.0.1:"));
    server.close();
  }());
}

TEST_P(ConnectSim, SeveralErrorsAreListed) {  // CON-6
  add_host("two", {Address("127.0.0.9", 0), Address("127.0.0.8", 0)});
  const std::string error = run(error_of(open_connection("two", 81)));

  EXPECT_THAT(error,
              ::testing::HasSubstr("Multiple exceptions: connect 127.0.0.9:81: Connection refused, "
                                   "connect 127.0.0.8:81: Connection refused"));
}

TEST_P(ConnectSim, AllErrorsCanBeHadAsAGroup) {  // CON-6
  add_host("two", {Address("127.0.0.9", 0), Address("::1", 0)});
  ConnectOptions options;
  options.all_errors = true;
  std::vector<std::string> texts;

  try {
    run(open_connection("two", 81, options));
  } catch (const ExceptionGroup& group) {
    for (const std::exception_ptr& error : group.exceptions()) texts.push_back(describe(error));
  }

  ASSERT_EQ(texts.size(), 2U);
  EXPECT_THAT(texts[0], ::testing::HasSubstr("connect 127.0.0.9:81: Connection refused"));
  EXPECT_THAT(texts[1], ::testing::HasSubstr("connect [::1]:81: Connection refused"));
}

TEST_P(ConnectSim, AFamilyLimitsWhatIsTried) {
  add_host("both", {Address("127.0.0.1", 0), Address("::1", 0)});
  ConnectOptions options;
  options.family = AF_INET6;
  const std::string error = run(error_of(open_connection("both", 81, options)));

  EXPECT_THAT(error, ::testing::HasSubstr("connect [::1]:81: Connection refused"));
  EXPECT_THAT(error, ::testing::Not(::testing::HasSubstr("127.0.0.1")));
}

TEST_P(ConnectSim, CancellingItInABlackHoleClosesTheSocket) {  // CON-10, CAN-20
  net.sim().add_black_hole(Address("10.0.0.9", 0));
  for (int delay = 0; delay < 5; ++delay) {
    auto connecting = net.loop().create_task(open_connection("10.0.0.9", 80));
    net.turns(delay);
    connecting.cancel();
    const std::string error = run(error_of(std::move(connecting)));

    EXPECT_THAT(error, ::testing::HasSubstr("CancelledError"));
    EXPECT_EQ(net.sim().open_descriptors(), std::vector<native_socket>{});
  }
}

TEST_P(ConnectSim, ATimeoutEndsIt) {  // CAN-20
  net.sim().add_black_hole(Address("10.0.0.9", 0));
  const std::string error = run(error_of(aster::wait_for(open_connection("10.0.0.9", 80), 3s)));

  EXPECT_THAT(error, ::testing::HasSubstr("TimeoutError"));
  EXPECT_EQ(net.sim().open_descriptors(), std::vector<native_socket>{});
}

TEST_P(ConnectSim, ACancelInTheTurnOfTheSuccessClosesTheSocket) {  // CAN-20, C4
  Server server = run(greeter("127.0.0.1"));
  const std::size_t before = net.sim().open_descriptors().size();
  auto connecting = net.loop().create_task(open_connection("127.0.0.1", port_of(server)));
  net.turns(1);

  net.sim().advance(100ms);
  net.loop().call_soon([&] { connecting.cancel(); });  // Before what the poll will queue.
  net.turns(1);
  const std::string error = run(error_of(std::move(connecting)));
  run(sleep(1s));

  // On some systems the connect had ended in the first turn.
  if (!error.empty()) {
    EXPECT_THAT(error, ::testing::HasSubstr("CancelledError"));
  }
  EXPECT_EQ(net.sim().open_descriptors().size(), before);
  server.close();
}

TEST_P(ConnectSim, EveryFailingCallGivesTheSocketBack) {
  for (const SimCall call : {SimCall::open_socket, SimCall::connect}) {
    net.sim().fail_next(call, ENOBUFS);
    const std::string error = run(error_of(open_connection("127.0.0.1", 80)));

    EXPECT_THAT(error, ::testing::HasSubstr("127.0.0.1:80: No buffer space available"));
    EXPECT_EQ(net.sim().open_descriptors(), std::vector<native_socket>{});
  }
}

}  // namespace
}  // namespace aster::net_tests
