// SPDX-License-Identifier: MIT
#include "net/echo_protocol.hpp"
#include "net/protocol_fixture.hpp"
#include "support/kept_port.hpp"

#include <sys/socket.h>

#include <concepts>
#include <thread>

namespace aster::net_tests {
namespace {

class Protocols : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, Protocols, ::testing::ValuesIn(all_systems()), name_of);

class RealProtocols : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, RealProtocols, ::testing::ValuesIn(real_systems()), name_of);

/// A server that only waits for its clients to go.
Coroutine<Server> idle_server() {
  auto serving =
      get_running_loop().create_server([] { return std::make_unique<Protocol>(); }, "127.0.0.1", 0);
  co_return co_await std::move(serving);
}

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

/// Both ends are over.
Coroutine<> both_lost(const ProtocolPair& pair) {
  auto waiting = until([c = pair.client, s = pair.server] { return c->is_lost && s->is_lost; });
  co_await std::move(waiting);
}

// TR-1.
static_assert(std::derived_from<Transport, ReadTransport> &&
              std::derived_from<Transport, WriteTransport> &&
              std::derived_from<ReadTransport, BaseTransport> &&
              std::derived_from<WriteTransport, BaseTransport> &&
              std::derived_from<DatagramTransport, BaseTransport>);

// CON-1, CON-15: the form of the documentation.
TEST_P(Protocols, EchoesWhatItReceives) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto serving = loop.create_server(make_echo, "127.0.0.1", 0);
    Server server = co_await std::move(serving);
    const int port = port_of(server);
    auto connecting = loop.create_connection([&log] { return std::make_unique<Recorder>(log); },
                                             "127.0.0.1", port, {.interleave = 1});
    auto link = co_await std::move(connecting);
    auto& [transport, protocol] = link;
    static_assert(std::is_same_v<decltype(transport), Transport&>);
    const std::string sent = pattern(100000);

    transport.write(sent);

    auto waiting = until([p = &protocol, &sent] { return p->received.size() == sent.size(); });
    co_await std::move(waiting);
    EXPECT_EQ(protocol.received, sent);
    transport.close();
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  Log log;
  run(work(log));
}

// CON-2: the factory after the connect, connection_made, then the caller.
TEST_P(Protocols, ConnectionMadeComesBeforeTheCallerGoesOn) {
  const auto work = [](Log& log) -> Coroutine<> {
    Server server = co_await idle_server();
    EventLoop& loop = get_running_loop();
    auto connecting = loop.create_connection(
        [&log] {
          log.emplace_back("factory");
          return std::make_unique<Recorder>(log);
        },
        "127.0.0.1", port_of(server));
    auto link = co_await std::move(connecting);
    log.emplace_back("caller");
    EXPECT_EQ(link.protocol().transport, &link.transport());
    link.transport().abort();
    auto waiting = until([&link] { return link.protocol().is_lost; });
    co_await std::move(waiting);
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "factory made caller lost");
}

// TR-2, TR-5, PR-1: close flushes, and tells in a later turn.
TEST_P(Protocols, CloseSendsWhatIsWrittenAndTellsLater) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    const std::string sent = pattern(300000);

    pair.client->transport->write(sent);
    pair.client->transport->close();
    pair.client->transport->close();

    EXPECT_TRUE(pair.client->transport->is_closing());
    EXPECT_FALSE(pair.client->is_lost);
    auto waiting = both_lost(pair);
    co_await std::move(waiting);
    EXPECT_EQ(pair.server->received, sent);
    EXPECT_EQ(pair.client->lost_error, "");
    EXPECT_EQ(pair.server->lost_error, "");
  };
  Log log;
  run(work(log));
}

// TR-3, TR-4: abort drops what is buffered.
TEST_P(Protocols, AbortDropsWhatIsBuffered) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->transport->pause_reading();
    pair.client->transport->write(pattern(flood_size()));
    EXPECT_GT(pair.client->transport->get_write_buffer_size(), 0U);

    pair.client->transport->abort();

    EXPECT_FALSE(pair.client->is_lost);
    pair.server->transport->resume_reading();
    auto waiting = both_lost(pair);
    co_await std::move(waiting);
    EXPECT_LT(pair.server->received.size(), flood_size());
    EXPECT_EQ(pair.client->lost_error, "");
  };
  Log log;
  run(work(log));
}

// TR-21: a false answer closes.
TEST_P(Protocols, TheEndOfThePeerClosesUnlessTheProtocolSaysOtherwise) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    log.clear();
    pair.client->transport->write_eof();
    auto waiting = both_lost(pair);
    co_await std::move(waiting);
  };
  Log log;
  run(work(log));
  EXPECT_EQ(log.front(), "s:eof");
  EXPECT_EQ(std::count(log.begin(), log.end(), "s:lost"), 1);
  EXPECT_EQ(std::count(log.begin(), log.end(), "c:lost"), 1);
}

// TR-13, TR-21: half-close both ways; a true answer keeps the writing half.
TEST_P(Protocols, AHalfClosedConnectionGoesOnInTheOtherDirection) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->keeps_open = true;
    EXPECT_TRUE(pair.client->transport->can_write_eof());
    const std::string sent = pattern(200000);
    pair.client->transport->write(sent);
    pair.client->transport->write_eof();
    pair.client->transport->write_eof();
    EXPECT_THROW(pair.client->transport->write("x"), RuntimeError);  // TR-10
    auto ending = until([&pair] { return pair.server->has_ended; });
    co_await std::move(ending);
    EXPECT_EQ(pair.server->received, sent);
    EXPECT_FALSE(pair.server->transport->is_closing());
    EXPECT_FALSE(pair.server->transport->is_reading());

    pair.server->transport->write("and back");
    pair.server->transport->close();

    auto waiting = both_lost(pair);
    co_await std::move(waiting);
    EXPECT_EQ(pair.client->received, "and back");
  };
  Log log;
  run(work(log));
}

// TR-8: nothing comes while paused, everything afterwards, in order.
TEST_P(Protocols, PausedReadingHandsNothingOver) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& transport = *pair.server->transport;
    EXPECT_TRUE(transport.is_reading());
    transport.pause_reading();
    transport.pause_reading();
    EXPECT_FALSE(transport.is_reading());
    const std::string sent = pattern(200000);
    pair.client->transport->write(sent);
    auto some = turns(20);
    co_await std::move(some);
    EXPECT_EQ(pair.server->received, "");

    transport.resume_reading();
    transport.resume_reading();

    EXPECT_TRUE(transport.is_reading());
    EXPECT_EQ(pair.server->received, "");  // Not inside the call.
    auto waiting = until([&] { return pair.server->received.size() >= 1000; });
    co_await std::move(waiting);
    pair.server->on_data = [&](std::string_view) { transport.pause_reading(); };
    for (int i = 0; i < 3; ++i) {
      transport.resume_reading();
      const int calls = pair.server->data_calls;
      auto more =
          until([&] { return pair.server->data_calls > calls || pair.server->received == sent; });
      co_await std::move(more);
      auto rest = turns(5);
      co_await std::move(rest);
      EXPECT_LE(pair.server->data_calls, calls + 1);
    }
    pair.server->on_data = nullptr;
    transport.resume_reading();
    auto all = until([&] { return pair.server->received == sent; });
    co_await std::move(all);
    pair.client->transport->abort();
    auto lost = both_lost(pair);
    co_await std::move(lost);
    transport.pause_reading();  // Ignored.
  };
  Log log;
  run(work(log));
}

// TR-14 to TR-18: the marks, and calls that alternate and never come from `write`.
TEST_P(Protocols, WritersArePausedAboveTheMarkAndResumedBelow) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& transport = *pair.client->transport;
    EXPECT_EQ(transport.get_write_buffer_limits(), (WriteBufferLimits{16384, 65536}));
    transport.set_write_buffer_limits({}, 1000);
    EXPECT_EQ(transport.get_write_buffer_limits(), (WriteBufferLimits{1000, 4000}));
    EXPECT_THROW(transport.set_write_buffer_limits(10, 11), ValueError);
    transport.set_write_buffer_limits(0);
    pair.server->transport->pause_reading();
    log.clear();
    std::size_t written = 0;
    while (transport.get_write_buffer_size() == 0 && written < (std::size_t{64} << 20)) {
      transport.write(pattern(65536));
      written += 65536;
    }
    EXPECT_EQ(join(log), "");
    auto pausing = until([&] { return !log.empty(); });
    co_await std::move(pausing);
    EXPECT_EQ(join(log), "c:pause");

    pair.server->transport->resume_reading();

    auto resuming = until([&] { return log.size() > 1; });
    co_await std::move(resuming);
    EXPECT_EQ(join(log), "c:pause c:resume");
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
    transport.abort();
    auto lost = both_lost(pair);
    co_await std::move(lost);
  };
  Log log;
  run(work(log));
}

// TR-15, ERR-25: its errors are told and end nothing.
TEST_P(Protocols, ErrorsOfFlowControlAreToldAndEndNothing) {
  net.expected_reports = {"protocol.pause_writing() failed: aster::ValueError: p",
                          "protocol.resume_writing() failed: aster::ValueError: r"};
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    pair.client->on_pause = [] { throw ValueError("p"); };
    pair.client->on_resume = [] { throw ValueError("r"); };
    pair.server->transport->pause_reading();
    pair.client->transport->write(pattern(flood_size()));
    auto pausing = until([&] { return pair.client->is_paused; });
    co_await std::move(pausing);
    pair.server->transport->resume_reading();
    auto resuming = until([&] { return !pair.client->is_paused; });
    co_await std::move(resuming);
    EXPECT_FALSE(pair.client->transport->is_closing());
    pair.client->transport->close();
    auto lost = both_lost(pair);
    co_await std::move(lost);
    EXPECT_EQ(pair.server->received.size(), flood_size());
  };
  Log log;
  run(work(log));
}

// TR-11: writes to a lost transport are ignored; TransportRef keeps it.
TEST_P(Protocols, ALostTransportAnswers) {
  const Logged logged;
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    const Address peer = *pair.client_transport->peername();
    pair.client_transport->abort();
    auto lost = both_lost(pair);
    co_await std::move(lost);
    for (int i = 0; i < 6; ++i) pair.client_transport->write("x");
    EXPECT_TRUE(pair.client_transport->is_closing());
    EXPECT_EQ(pair.client_transport->peername(), peer);
    EXPECT_EQ(pair.client_transport->get_protocol(), nullptr);
    EXPECT_EQ(pair.client_transport->str(), "<transport closed>");
    EXPECT_EQ(pair.client_transport->socket().fileno(), static_cast<native_socket>(-1));
  };
  Log log;
  run(work(log));
  EXPECT_TRUE(logged.contains("written to after"));
}

// TR-22, ERR-24: an error of a callback ends that connection.
TEST_P(Protocols, AnErrorOfACallbackIsFatalForItsConnection) {
  net.expected_reports = {
      "Fatal error: protocol.data_received() call failed.: aster::ValueError: d",
      "Fatal error: protocol.eof_received() call failed.: aster::ValueError: e"};
  const auto work = [](Log& log) -> Coroutine<> {
    {
      ProtocolPair pair = co_await protocol_pair(log);
      pair.server->on_data = [](std::string_view) { throw ValueError("d"); };
      pair.client->transport->write("x");
      auto lost = both_lost(pair);
      co_await std::move(lost);
      EXPECT_EQ(pair.server->lost_error, "aster::ValueError: d");
    }
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->on_eof = [] { throw ValueError("e"); };
    pair.client->transport->write_eof();
    auto lost = both_lost(pair);
    co_await std::move(lost);
    EXPECT_EQ(pair.server->lost_error, "aster::ValueError: e");
  };
  Log log;
  run(work(log));
}

TEST_P(Protocols, ErrorsOfConnectionMadeAndConnectionLostAreTold) {
  net.expected_reports = {
      "Fatal error: protocol.connection_made() call failed.: aster::ValueError: m",
      "Exception in callback protocol.connection_lost(): aster::ValueError: l"};
  const auto work = [](Log& log) -> Coroutine<> {
    Server server = co_await idle_server();
    const auto factory = [&log] {
      auto made = std::make_unique<Recorder>(log);
      made->on_made = [] { throw ValueError("m"); };
      made->on_lost = [] { throw ValueError("l"); };
      return made;
    };
    auto connecting = get_running_loop().create_connection(factory, "127.0.0.1", port_of(server));
    auto link = co_await std::move(connecting);
    EXPECT_TRUE(link.transport().is_closing());
    auto lost = until([&] { return link.protocol().is_lost; });
    co_await std::move(lost);
    EXPECT_EQ(link.protocol().lost_error, "aster::ValueError: m");
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  Log log;
  run(work(log));
}

// TR-7: the callbacks go to another protocol.
TEST_P(Protocols, AnotherProtocolMayTakeOver) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    auto next = std::make_shared<Recorder>(log, "n:");
    next->transport = pair.server->transport;
    pair.server->on_data = [&](std::string_view) { next->transport->set_protocol(next); };
    pair.client->transport->write("a");
    auto first = until([&] { return pair.server->received == "a"; });
    co_await std::move(first);
    EXPECT_EQ(next->transport->get_protocol(), next);
    EXPECT_THROW(next->transport->set_protocol(nullptr), TypeError);
    EXPECT_THROW(next->transport->set_protocol(std::make_shared<DatagramProtocol>()), TypeError);
    pair.client->transport->write("b");
    auto second = until([&] { return next->received == "b"; });
    co_await std::move(second);
    pair.client->transport->close();
    auto lost = until([&] { return next->is_lost && pair.client->is_lost; });
    co_await std::move(lost);
    EXPECT_FALSE(pair.server->is_lost);
  };
  Log log;
  run(work(log));
}

// TR-6, TR-29, CON-11, FD-5, SOCK-12.
TEST_P(Protocols, TellsFactsAboutTheConnection) {
  const auto work = [](Log& log, bool simulated) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& transport = *pair.client->transport;
    EXPECT_EQ(transport.peername(), pair.server->transport->sockname());
    EXPECT_EQ(transport.sockname(), pair.server->transport->peername());
    EXPECT_EQ(transport.pipe(), std::nullopt);
    const native_socket fd = transport.socket().fileno();
    EXPECT_NE(transport.socket().getsockopt(6, 1), 0);  // TCP_NODELAY.
    EXPECT_THAT(to_string(transport), ::testing::HasSubstr("fd=" + std::to_string(fd)));
    EXPECT_THROW(loop.add_reader(fd, [] {}), RuntimeError);
    if (!simulated) {
      Socket stolen = Socket::adopt(fd);
      const std::string error = co_await error_of(loop.sock_recv(stolen, 1));
      EXPECT_THAT(error, ::testing::HasSubstr("is used by transport"));
      static_cast<void>(stolen.release());
    }
    transport.close();
    auto lost = both_lost(pair);
    co_await std::move(lost);
  };
  Log log;
  run(work(log, net.is_simulated()));
}

// FD-5: a transport that closes, but whose peer never reads, lets go of its descriptor.
TEST_P(Protocols, AClosingTransportIsEndedByAbortWhenThePeerNeverReads) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->transport->pause_reading();
    Transport& transport = *pair.client->transport;
    const native_socket fd = transport.socket().fileno();
    transport.write(pattern(flood_size()));
    transport.close();
    auto some = turns(20);
    co_await std::move(some);
    EXPECT_FALSE(pair.client->is_lost);
    loop.add_reader(fd, [] {});
    EXPECT_TRUE(loop.remove_reader(fd));
    transport.abort();
    EXPECT_FALSE(pair.client->is_lost);
    auto first = until([&] { return pair.client->is_lost; });
    co_await std::move(first);
    pair.server->transport->resume_reading();
    auto second = both_lost(pair);
    co_await std::move(second);
  };
  Log log;
  run(work(log));
}

// CON-10: cancelled while it connects, and before connection_made.
TEST_P(Protocols, ACancelledConnectLeavesNothingOpen) {
  const auto work = [](Log& log, int after) -> Coroutine<> {
    Server server = co_await idle_server();
    auto task = create_task(get_running_loop().create_connection(
        [&log] { return std::make_unique<Recorder>(log); }, "127.0.0.1", port_of(server)));
    auto some = turns(after);
    co_await std::move(some);
    task.cancel();
    auto result = co_await outcome(task);
    if (result.has_value()) std::move(result).value().transport().abort();
    auto rest = turns(10);
    co_await std::move(rest);
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  for (int after = 0; after < 8; ++after) {
    Log log;
    run(work(log, after));
    EXPECT_TRUE(join(log).empty() || join(log) == "made lost") << join(log);
  }
}

// CON-30: an error of the factory ends that connection only.
TEST_P(Protocols, AnErrorOfTheFactoryEndsThatConnectionOnly) {
  net.expected_reports = {
      "Error on transport creation for incoming connection: aster::ValueError: first"};
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    int made = 0;
    const auto factory = [&]() -> std::unique_ptr<Protocol> {
      if (++made == 1) throw ValueError("first");
      return std::make_unique<Echo>();
    };
    auto serving = loop.create_server(factory, "127.0.0.1", 0);
    Server server = co_await std::move(serving);
    const int port = server.sockets().front().getsockname().port();
    for (int i = 0; i < 2; ++i) {
      Connection link = co_await open_connection("127.0.0.1", port);
      link.writer.write("x");
      link.writer.write_eof();
      auto reading = co_await outcome(link.reader.read());
      if (i == 1) {
        EXPECT_EQ(std::move(reading).value(), "x");
      }
      link.writer.close();
    }
    log.push_back(std::to_string(made));
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "2");
}

// CON-1: an error of a client's factory is the caller's.
TEST_P(Protocols, AnErrorOfAClientsFactoryIsThrown) {
  const auto work = []() -> Coroutine<> {
    Server server = co_await idle_server();
    const auto fails = []() -> std::unique_ptr<Protocol> { throw ValueError("no"); };
    const auto gives_none = []() -> std::unique_ptr<Protocol> { return nullptr; };
    EventLoop& loop = get_running_loop();
    const std::string first =
        co_await error_of(loop.create_connection(fails, "127.0.0.1", port_of(server)));
    EXPECT_EQ(first, "aster::ValueError: no");
    const std::string second =
        co_await error_of(loop.create_connection(gives_none, "127.0.0.1", port_of(server)));
    EXPECT_THAT(second, ::testing::HasSubstr("gave no protocol"));
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  run(work());
}

// CON-8, CON-23: a socket that is there already.
TEST_P(Protocols, TakesOverASocket) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    Listening listening;
    co_await listening.start();
    IoBackend* own = loop.backend().is_system() ? nullptr : &loop.backend();
    Socket socket =
        own != nullptr ? Socket(*own, AF_INET, SOCK_STREAM) : Socket(AF_INET, SOCK_STREAM);
    auto connecting = loop.sock_connect(socket, Address("127.0.0.1", listening.port()));
    co_await std::move(connecting);
    auto taking = loop.create_connection([&log] { return std::make_unique<Recorder>(log); },
                                         std::move(socket));
    auto link = co_await std::move(taking);
    Connection other = co_await listening.accept();
    other.writer.write("hello");
    other.writer.close();
    auto lost = until([&] { return link.protocol().is_lost; });
    co_await std::move(lost);
    EXPECT_EQ(link.protocol().received, "hello");
    listening.server().close();
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "made eof lost");
}

// PR-8, PR-7: one for each connection, all called by the loop's thread and callbacks.
TEST_P(Protocols, EveryConnectionHasAProtocolOfItsOwn) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    std::vector<std::shared_ptr<Recorder>> made;
    const auto factory = [&] {
      made.push_back(std::make_shared<Recorder>(log, std::to_string(made.size()) + ":"));
      Recorder& one = *made.back();
      one.on_data = [thread = std::this_thread::get_id()](std::string_view) {
        EXPECT_EQ(std::this_thread::get_id(), thread);
        EXPECT_FALSE(static_cast<bool>(current_task()));
      };
      return made.back();
    };
    auto serving = loop.create_server(factory, "127.0.0.1", 0);
    Server server = co_await std::move(serving);
    for (int i = 0; i < 3; ++i) {
      Connection link = co_await open_connection("127.0.0.1", port_of(server));
      link.writer.write(std::string(3, static_cast<char>('a' + i)));
      link.writer.close();
      auto closed = link.writer.wait_closed();
      co_await std::move(closed);
      auto lost = until([&] { return made.size() == std::size_t(i) + 1 && made.back()->is_lost; });
      co_await std::move(lost);
    }
    server.close();
    EXPECT_EQ(made[0]->received + made[1]->received + made[2]->received, "aaabbbccc");
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "0:made 0:eof 0:lost 1:made 1:eof 1:lost 2:made 2:eof 2:lost");  // PR-2
}

// CON-8: other sockets are refused, and closed.
TEST_P(RealProtocols, RefusesSocketsThatAreNoStreams) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    const auto factory = [&log] { return std::make_unique<Recorder>(log); };
    auto connecting = loop.create_connection(factory, Socket(AF_INET, SOCK_DGRAM));
    const std::string client = co_await error_of(std::move(connecting));
    EXPECT_THAT(client, ::testing::HasSubstr("is not of type SOCK_STREAM"));
    auto serving = loop.create_server(factory, Socket(AF_INET, SOCK_DGRAM));
    const std::string server = co_await error_of(std::move(serving));
    EXPECT_THAT(server, ::testing::HasSubstr("is not of type SOCK_STREAM"));
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "");
}

TEST_P(RealProtocols, AServerTakesOverABoundSocket) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    Socket bound(AF_INET, SOCK_STREAM);
    bound.bind(Address("127.0.0.1", 0));
    bound.setblocking(true);
    auto made = std::make_shared<Recorder>(log);
    auto serving = loop.create_server([made] { return made; }, std::move(bound));
    Server server = co_await std::move(serving);
    Connection link = co_await open_connection("127.0.0.1", port_of(server));
    link.writer.write("x");
    link.writer.close();
    auto lost = until([&] { return made->is_lost; });
    co_await std::move(lost);
    EXPECT_EQ(made->received, "x");
    server.close();
  };
  Log log;
  run(work(log));
}

// CON-6, CON-10 for protocols: nobody listens there.
TEST_P(Protocols, ARefusedConnectionMakesNoProtocol) {
  const auto work = [](Log& log) -> Coroutine<> {
    const support::KeptPort port;
    auto connecting = get_running_loop().create_connection(
        [&log] { return std::make_unique<Recorder>(log); }, "127.0.0.1", port.number());
    const std::string error = co_await error_of(std::move(connecting));
    EXPECT_THAT(error, ::testing::HasSubstr("Connection refused"));
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "");
}

// A callback that the note makes before it comes to received bytes may pause the reading.
TEST_P(Protocols, ReadingPausedInResumeWritingLosesNothing) {
  const auto work = [](Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& transport = *pair.client->transport;
    const std::string sent = pattern(flood_size());
    const std::string back = pattern(300000, 5);
    pair.client->on_resume = [&] { transport.pause_reading(); };
    pair.server->transport->pause_reading();
    transport.write(sent);
    pair.server->transport->write(back);
    auto pausing = until([&] { return pair.client->is_paused; });
    co_await std::move(pausing);
    pair.server->transport->resume_reading();
    for (int i = 0; i < 20000 && pair.client->received.size() < back.size(); ++i) {
      transport.resume_reading();
      co_await sleep(i % 50 == 0 ? 1ms : 0ms);
    }
    EXPECT_EQ(pair.client->received, back);
    pair.client_transport->close();
    auto lost = both_lost(pair);
    co_await std::move(lost);
    EXPECT_EQ(pair.server->received, sent);
  };
  Log log;
  run(work(log));
}

// SRV-4 to SRV-6 for protocols.
TEST_P(Protocols, AServerClosesAndAbortsItsTransports) {
  const auto work = [](Log& log, bool aborts) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto serving =
        loop.create_server([&log] { return std::make_unique<Recorder>(log); }, "127.0.0.1", 0);
    Server server = co_await std::move(serving);
    const int port = server.sockets().front().getsockname().port();
    Connection link = co_await open_connection("127.0.0.1", port);
    auto made = until([&] { return !log.empty(); });
    co_await std::move(made);
    server.close();
    aborts ? server.abort_clients() : server.close_clients();
    auto closing = server.wait_closed();
    co_await std::move(closing);
    log.emplace_back("closed");
    link.writer.close();
  };
  for (const bool aborts : {false, true}) {
    Log log;
    run(work(log, aborts));
    EXPECT_EQ(join(log), "made lost closed");
  }
}

// StreamWriter::transport and TR-7 for streams.
TEST_P(Protocols, AStreamsTransportIsToBeHad) {
  const auto work = []() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    Transport& transport = pair.client.writer.transport();
    transport.write("by the transport");
    const std::string got = co_await pair.server.reader.readexactly(16);
    EXPECT_EQ(got, "by the transport");
    EXPECT_EQ(transport.peername(), pair.client.writer.peername());
    EXPECT_THROW(transport.set_protocol(std::make_shared<Protocol>()), RuntimeError);
    EXPECT_EQ(pair.client.writer.get_write_buffer_limits(), transport.get_write_buffer_limits());
    const TransportRef<Transport> kept = transport.ref();
    pair.client.writer.close();
    auto closed = pair.client.writer.wait_closed();
    co_await std::move(closed);
    EXPECT_TRUE(kept->is_closing());
    pair.server.writer.close();
  };
  run(work());
}

}  // namespace
}  // namespace aster::net_tests
