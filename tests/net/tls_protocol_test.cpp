// SPDX-License-Identifier: MIT
// Protocols over TLS, and start_tls for them.
#include "net/protocol_fixture.hpp"
#include "net/tls_peer.hpp"

#include <sys/socket.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace aster::net_tests {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

/// Connects two Recorders by TLS, named "c:" and "s:" in the log.
Coroutine<ProtocolPair> tls_protocol_pair(Log& log, const Contexts& contexts) {
  EventLoop& loop = get_running_loop();
  ProtocolPair pair(log);
  ServerOptions serving;
  serving.ssl = &contexts.server;
  auto starting =
      loop.create_server([made = pair.server] { return made; }, "127.0.0.1", 0, serving);
  Server server = co_await std::move(starting);
  const int port = server.sockets().front().getsockname().port();
  ConnectOptions options;
  options.ssl = &contexts.client;
  auto connecting =
      loop.create_connection([made = pair.client] { return made; }, "127.0.0.1", port, options);
  auto link = co_await std::move(connecting);
  auto accepting = until([made = pair.server] { return made->transport != nullptr; });
  co_await std::move(accepting);
  server.close();
  pair.client_transport = link.transport().ref();
  pair.server_transport = pair.server->transport->ref();
  co_return pair;
}

class TlsProtocols : public NetTest {
 protected:
  /// Bytes that no socket takes at once.
  [[nodiscard]] std::size_t more_than_fits() const {
    return net.is_simulated() ? std::size_t{256} << 10U : std::size_t{8} << 20U;
  }
  Contexts contexts;
  Log log;
};
INSTANTIATE_TEST_SUITE_P(Systems, TlsProtocols, ::testing::ValuesIn(all_systems()), name_of);

// TLS-6, TR-21
TEST_P(TlsProtocols, AreToldInOrderAndCloseTogether) {
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    pair.server->keeps_open = true;  // Which TLS does not heed.
    pair.client_transport->write("hello ");
    pair.client_transport->writelines({"you ", "there"});
    co_await until([&] { return pair.server->received == "hello you there"; });
    pair.server_transport->write("answer");
    co_await until([&] { return pair.client->received == "answer"; });
    log.clear();
    pair.client_transport->close();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    EXPECT_THAT(log, ::testing::UnorderedElementsAre("s:eof", "s:lost", "c:lost"));
  };
  run(test());
}

// TR-8, TLS-10
TEST_P(TlsProtocols, NothingIsHandedOverWhilePaused) {
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    pair.server->on_data = [&](std::string_view) { pair.server_transport->pause_reading(); };
    const std::string sent = pattern(200000);
    pair.client_transport->write(sent);
    std::size_t before = 0;
    for (int i = 0; i < 2000 && pair.server->received.size() < sent.size(); ++i) {
      co_await sleep(1ms);
      const int calls = pair.server->data_calls;
      co_await turns(2);
      EXPECT_EQ(pair.server->data_calls, calls);
      before = pair.server->received.size();
      pair.server_transport->resume_reading();
      if (before < sent.size() && i % 64 == 0) pair.server->on_data = {};
    }
    co_await until([&] { return pair.server->received.size() == sent.size(); });
    EXPECT_TRUE(pair.server->received == sent);
    pair.client_transport->close();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
  };
  run(test());
}

// TR-15, TR-16, TR-17, TLS-9
TEST_P(TlsProtocols, MarksMeanTheUsersBytes) {
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    const WriteBufferLimits expected{131072, 524288};
    EXPECT_EQ(pair.client_transport->get_write_buffer_limits(), expected);
    pair.client_transport->set_write_buffer_limits(1000);
    pair.client_transport->set_write_buffer_limits();
    EXPECT_EQ(pair.client_transport->get_write_buffer_limits(), expected);
    pair.server_transport->pause_reading();
    const std::size_t size = 4 * flood_size();
    std::size_t written = 0;
    while (written < size && !pair.client->is_paused) {
      pair.client_transport->write(pattern(50000));
      written += 50000;
      co_await yield_now();
      EXPECT_LE(pair.client_transport->get_write_buffer_size(), written);
    }
    EXPECT_TRUE(pair.client->is_paused);
    // Between the mark and a write more, whatever the records add.
    EXPECT_GT(pair.client_transport->get_write_buffer_size(), 524288u);
    EXPECT_LE(pair.client_transport->get_write_buffer_size(), 524288u + 50000u);
    pair.server_transport->resume_reading();
    co_await until([&] { return pair.server->received.size() == written; });
    co_await until([&] { return !pair.client->is_paused; });
    EXPECT_EQ(pair.client_transport->get_write_buffer_size(), 0u);
    pair.client_transport->abort();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
  };
  run(test());
}

/// Has room for a few bytes at a time.
class SmallRoom : public BufferedProtocol {
 public:
  void connection_made(Transport& made) override { transport = made.ref(); }
  std::span<char> get_buffer(std::size_t /*hint*/) override { return room; }
  void buffer_updated(std::size_t count) override {
    EXPECT_FALSE(is_paused);
    received.append(room, count);
    if (received.size() % 2 == 0) {
      is_paused = true;
      transport->pause_reading();
    }
  }
  bool eof_received() override { return false; }
  void connection_lost(std::exception_ptr error) override {
    EXPECT_EQ(error, nullptr);
    is_lost = true;
  }
  TransportRef<Transport> transport;
  std::string received;
  bool is_paused = false;
  bool is_lost = false;
  char room[7];
};

// PR-3
TEST_P(TlsProtocols, BufferedOnesGetTheirBytesAndMayPauseBetween) {
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto protocol = std::make_shared<SmallRoom>();
    ServerOptions serving;
    serving.ssl = &contexts.server;
    auto starting = loop.create_server([protocol] { return protocol; }, "127.0.0.1", 0, serving);
    Server server = co_await std::move(starting);
    const int port = server.sockets().front().getsockname().port();
    auto connecting = open_connection("127.0.0.1", port, {.ssl = &contexts.client});
    Connection link = co_await std::move(connecting);
    const std::string sent = pattern(301);
    link.writer.write(sent);
    for (int i = 0; i < 20000 && protocol->received.size() < sent.size(); ++i) {
      co_await sleep(i % 8 == 0 ? 1ms : 0ms);
      if (protocol->transport && std::exchange(protocol->is_paused, false)) {
        protocol->transport->resume_reading();
      }
    }
    EXPECT_EQ(protocol->received, sent);
    if (protocol->transport) protocol->transport->resume_reading();
    link.writer.close();
    co_await link.writer.wait_closed();
    co_await until([&] { return protocol->is_lost; });
    protocol->transport = {};
    server.close();
  };
  run(test());
}

// TR-6, TLS-13
TEST_P(TlsProtocols, TransportsTellOfTheirTls) {
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    const SSLObject tls = pair.client_transport->ssl_object();
    EXPECT_TRUE(tls);
    EXPECT_EQ(tls.version(), "TLSv1.3");
    EXPECT_FALSE(tls.server_side());
    EXPECT_TRUE(pair.server_transport->ssl_object().server_side());
    EXPECT_EQ(pair.client_transport->peername()->port(), pair.server_transport->sockname()->port());
    pair.client_transport->close();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    EXPECT_EQ(tls.version(), "TLSv1.3");  // Also after the end.
  };
  run(test());
}

// CON-24
TEST_P(TlsProtocols, FilesAreSentInBlocks) {
  std::FILE* const file = std::tmpfile();
  const std::string content = pattern(100000);
  std::fwrite(content.data(), 1, content.size(), file);
  std::fflush(file);
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    pair.client_transport->write("first ");
    const std::size_t sent =
        co_await get_running_loop().sendfile(*pair.client_transport, ::fileno(file));
    EXPECT_EQ(sent, content.size());
    co_await until([&] { return pair.server->received.size() == content.size() + 6; });
    EXPECT_TRUE(pair.server->received == "first " + content);
    const std::string refused = co_await error_of(get_running_loop().sendfile(
        *pair.client_transport, ::fileno(file), 0, {}, {.fallback = false}));
    EXPECT_THAT(refused, HasSubstr("SendfileNotAvailableError"));
    pair.client_transport->close();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    co_await get_running_loop().shutdown_default_executor();
  };
  if (!net.is_simulated()) run(test());  // A thread reads.
  std::fclose(file);
}

// start_tls ---------------------------------------------------------------------------

// CON-25, TR-7
TEST_P(TlsProtocols, BothEndsBeginTlsOnAPlainConnection) {
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    pair.client_transport->write("STARTTLS");
    co_await until([&] { return pair.server->received == "STARTTLS"; });
    auto server_protocol = std::make_shared<Recorder>(log, "t:");
    server_protocol->transport = pair.server->transport;
    auto serving = create_task(loop.start_tls(*pair.server_transport, server_protocol,
                                              contexts.server, {.server_side = true}));
    auto upgraded = co_await loop.start_tls(*pair.client_transport, *pair.client, contexts.client,
                                            {.server_hostname = "localhost"});
    EXPECT_EQ(upgraded.get(), pair.client_transport.get());
    co_await std::move(serving);
    upgraded->write("by TLS");
    co_await until([&] { return server_protocol->received == "by TLS"; });
    pair.server_transport->write("too");
    co_await until([&] { return pair.client->received == "too"; });
    EXPECT_EQ(pair.server->received, "STARTTLS");
    EXPECT_EQ(upgraded->ssl_object().server_hostname(), "localhost");
    upgraded->close();
    co_await until([&] { return server_protocol->is_lost && pair.client->is_lost; });
  };
  run(test());
}

// What is written during the handshake waits for it; what was paused stays so.
TEST_P(TlsProtocols, PausesAndWritesCarryOver) {
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server_transport->pause_reading();
    auto serving = create_task(loop.start_tls(*pair.server_transport, *pair.server, contexts.server,
                                              {.server_side = true}));
    auto connecting = create_task(loop.start_tls(
        *pair.client_transport, *pair.client, contexts.client, {.server_hostname = "localhost"}));
    co_await yield_now();
    pair.client_transport->write("early");
    co_await std::move(serving);
    co_await std::move(connecting);
    co_await sleep(5ms);
    EXPECT_EQ(pair.server->received, "");
    EXPECT_FALSE(pair.server_transport->is_reading());
    pair.server_transport->resume_reading();
    co_await until([&] { return pair.server->received == "early"; });
    pair.client_transport->close();
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
  };
  run(test());
}

TEST_P(TlsProtocols, AFailedUpgradeClosesAndTellsBoth) {
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    const SSLContext trusts_nobody;
    auto serving = create_task(loop.start_tls(*pair.server_transport, *pair.server, contexts.server,
                                              {.server_side = true}));
    const std::string error = co_await error_of(loop.start_tls(
        *pair.client_transport, *pair.client, trusts_nobody, {.server_hostname = "localhost"}));
    EXPECT_THAT(error, HasSubstr("SSLCertVerificationError"));
    const std::string other = co_await error_of(std::move(serving));
    // Nobody waits until the alert is sent, if the system does not take all of it at once.
    EXPECT_THAT(other, AnyOf(HasSubstr("SSLError: TLS: "), HasSubstr("TLS handshake with")));
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    EXPECT_EQ(pair.client->lost_error, error);
    EXPECT_EQ(pair.client->received + pair.server->received, "");
  };
  run(test());
}

TEST(TlsUpgrade, IsRefusedWhereItMakesNoSense) {
  Net net;
  const Contexts contexts;
  Log log;
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& client = *pair.client_transport;
    EXPECT_THROW(static_cast<void>(loop.start_tls(client, *pair.server, contexts.client)),
                 ValueError);
    EXPECT_THROW(static_cast<void>(loop.start_tls(client, *pair.client, contexts.client)),
                 ValueError);  // No name.
    EXPECT_THROW(static_cast<void>(loop.start_tls(client, *pair.client, contexts.server,
                                                  {.server_hostname = "localhost"})),
                 ValueError);
    EXPECT_THROW(static_cast<void>(
                     loop.start_tls(client, *pair.client, contexts.client,
                                    {.server_hostname = "localhost", .ssl_handshake_timeout = 0s})),
                 ValueError);  // TLS-4
    EXPECT_THROW(static_cast<void>(loop.start_tls(client, nullptr, contexts.client,
                                                  {.server_hostname = "localhost"})),
                 TypeError);
    client.write_eof();
    const std::string half = co_await error_of(
        loop.start_tls(client, *pair.client, contexts.client, {.server_hostname = "localhost"}));
    EXPECT_THAT(half, HasSubstr("RuntimeError: start_tls"));
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    const std::string late = co_await error_of(
        loop.start_tls(client, pair.client, contexts.client, {.server_hostname = "localhost"}));
    EXPECT_THAT(late, HasSubstr("start_tls"));
  };
  net.run(test());
}

// CON-12, CON-22
TEST_P(TlsProtocols, UnixSocketsHaveTlsToo) {
  const std::string path =
      net.is_simulated() ? "/tls"
                         : ::testing::TempDir() + "aster_tls_socket_" + std::to_string(::getpid());
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto server = std::make_shared<Recorder>(log, "s:");
    auto client = std::make_shared<Recorder>(log, "c:");
    const auto make_server = [&server] { return server; };
    const auto make_client = [&client] { return client; };
    UnixServerOptions serving;
    serving.ssl = &contexts.server;
    Server listening = co_await loop.create_unix_server(make_server, path, serving);
    UnixConnectOptions options;
    options.ssl = &contexts.client;
    EXPECT_THROW(static_cast<void>(loop.create_unix_connection(make_client, path, options)),
                 ValueError);  // There is no host that could be the name.
    EXPECT_THROW(static_cast<void>(open_unix_connection(path, options)), ValueError);
    options.server_hostname = "example.test";
    auto link = co_await loop.create_unix_connection(make_client, path, options);
    link.transport().write("local");
    co_await until([&] { return server->received == "local"; });
    link.transport().close();
    co_await until([&] { return server->is_lost && client->is_lost; });
    listening.close();
  };
  run(test());
}

/// Servers whose SNI callback closes them, on a connection that has begun its handshake
/// before it is accepted: the callback is called while the server accepts.
class TlsServersClosedByName : public TlsProtocols {
 protected:
  TlsServersClosedByName() {
    contexts.server.set_sni_callback([this](std::string_view) -> const SSLContext* {
      server->close();
      return nullptr;
    });
  }
  Coroutine<> start(std::vector<std::string> hosts, bool start_serving) {
    ServerOptions options;
    options.ssl = &contexts.server;
    options.start_serving = start_serving;
    const auto factory = [this] { return made; };
    auto starting = net.loop().create_server(factory, std::move(hosts), 0, options);
    Server started = co_await std::move(starting);
    server.emplace(std::move(started));
  }
  /// Not yet serving, with a client that waits to be accepted.
  Coroutine<> listen_only() {
    auto starting = start({"127.0.0.1", "::1"}, false);
    co_await std::move(starting);
    const SocketView first = server->sockets().front();
    EXPECT_EQ(net.loop().backend().listen(first.fileno(), 10), 0);
    auto connecting = open_connection("127.0.0.1", first.getsockname().port());
    Connection plain = co_await std::move(connecting);
    client.emplace(std::move(plain), client_options());
    client->send(client->peer().step());
    co_await sleep(10ms);  // Until it is there.
  }
  static OpenSslPeer::Options client_options() {
    OpenSslPeer::Options options;
    options.is_server = false;
    options.server_name = "example.test";
    return options;
  }
  std::shared_ptr<Recorder> made = std::make_shared<Recorder>(log, "s:");
  std::optional<Server> server;
  std::optional<PeerLink> client;
};

/// Those that complete at once what need not wait.
std::vector<System> prompt_systems() {
  std::vector<System> systems = real_systems();
  systems.push_back(plain_sim());
  return systems;
}
INSTANTIATE_TEST_SUITE_P(Systems, TlsServersClosedByName, ::testing::ValuesIn(prompt_systems()),
                         name_of);

TEST_P(TlsServersClosedByName, BeginNoFurther) {
  const Logged logged;
  net.loop().set_debug(true);  // It would say where else it serves.
  const auto test = [&]() -> Coroutine<> {
    co_await listen_only();
    EXPECT_EQ(co_await error_of(server->start_serving()), "");
    EXPECT_FALSE(server->is_serving());

    // The connection itself is none the worse for it.
    EXPECT_TRUE(co_await client->established());
    client->send(client->peer().write("goes on"));
    co_await until([&] { return made->received == "goes on"; });
    client->send(client->peer().shutdown());
    client->writer().close();
    co_await until([&] { return made->is_lost; });
  };
  run(test());
  EXPECT_TRUE(logged.contains("serving on 127.0.0.1:"));
  EXPECT_FALSE(logged.contains("serving on [::1]:"));
}

TEST_P(TlsServersClosedByName, DoNotServeForever) {
  const auto test = [&]() -> Coroutine<> {
    co_await listen_only();
    auto serving = wait_for(server->serve_forever(), 10s);
    const std::string end = co_await error_of(std::move(serving));
    EXPECT_THAT(end, HasSubstr("CancelledError"));
  };
  run(test());
}

class RealTlsServersClosedByName : public TlsServersClosedByName {};
INSTANTIATE_TEST_SUITE_P(Systems, RealTlsServersClosedByName, ::testing::ValuesIn(real_systems()),
                         name_of);

// The accept that has ended is the server's, and still needed: told by AddressSanitizer. It is
// the last of some, as a deque keeps the memory of its first elements when it is cleared.
TEST_P(RealTlsServersClosedByName, AreNotFreedUnderTheAccept) {
  const auto test = [&]() -> Coroutine<> {
    std::vector<std::string> hosts;
    for (int i = 1; i <= 8; ++i) hosts.push_back("127.0.0." + std::to_string(i));
    co_await start(std::move(hosts), true);
    Socket waiting(AF_INET, SOCK_STREAM);
    waiting.setblocking(true);
    waiting.connect(server->sockets().back().getsockname());
    OpenSslPeer peer(client_options());
    waiting.sendall(peer.step());
    // In one poll it accepts and receives; this must not wait for another.
    for (int i = 0; i < 2; ++i) co_await yield_now();
    EXPECT_FALSE(server->is_serving());
  };
  run(test());
}

// A view of what one connection has received outlives the closing of another.
TEST_P(TlsProtocols, ClosingReceivesNothingInTheCallOfTheUsers) {
  const auto test = [&]() -> Coroutine<> {
    Pair plain = co_await connected_pair();
    Pair secure = co_await tls_pair(contexts.client, contexts.server);
    const std::string text(1000, 'p');
    plain.server.writer.write(text);
    secure.server.writer.write(std::string(1000, 's'));
    co_await sleep(10ms);
    auto reading = plain.client.reader.read_view(2000);
    const std::string_view view = co_await std::move(reading);
    const std::string before(view);
    secure.client.writer.close();
    EXPECT_EQ(view, before);
    const auto errors = co_await close_pair(secure);
    EXPECT_EQ(errors.first + errors.second, "");
    plain.client.writer.close();
    plain.server.writer.close();
    co_await plain.client.writer.wait_closed();
    co_await plain.server.writer.wait_closed();
  };
  run(test());
}

TEST_P(TlsProtocols, ClosingWhilePausedLosesNothingThatWasWritten) {
  const auto test = [&]() -> Coroutine<> {
    ProtocolPair pair = co_await tls_protocol_pair(log, contexts);
    pair.server_transport->pause_reading();
    pair.client_transport->write("never read");
    co_await sleep(10ms);
    const std::string text(more_than_fits(), 't');
    pair.server_transport->write(text);
    pair.server_transport->close();
    pair.client_transport->write("nor this");
    co_await until([&] { return pair.server->is_lost && pair.client->is_lost; });
    EXPECT_EQ(pair.client->received.size(), text.size());
    EXPECT_EQ(pair.server->received, "");
  };
  run(test());
}

// What was received and never read is read all the same: the goodbye comes behind it.
TEST_P(TlsProtocols, ClosingWithUnreadBytesLosesNothingThatWasWritten) {
  const auto test = [&]() -> Coroutine<> {
    TlsListening listening(contexts.server);
    co_await listening.start();
    auto connecting = connect_peer(listening.port());
    const auto client = co_await std::move(connecting);
    // The end of the handshake and data, in one piece.
    std::string more = client->peer().step();
    client->send(more);
    while (!client->peer().is_established()) {
      const std::string piece = co_await client->receive();
      if (piece.empty()) break;
      more = client->peer().step(piece);
      if (client->peer().is_established()) more += client->peer().write("never read");
      client->send(more);
    }
    Connection served = co_await listening.accept();
    const std::string text(more_than_fits(), 't');
    served.writer.write(text);
    served.writer.close();
    client->send(client->peer().write("nor this"));
    EXPECT_TRUE(co_await client->until([&] { return client->peer().has_ended(); }));
    EXPECT_EQ(client->peer().received().size(), text.size());
    client->send(client->peer().shutdown());
    const std::string error = co_await error_of(detail::as_coroutine(served.writer.wait_closed()));
    EXPECT_EQ(error, "");
    client->writer().abort();
    listening.server().close();
  };
  run(test());
}

// CON-23
TEST(TlsSockets, ConnectedOnesAreTakenOver) {
  Net net({"epoll", false, {}, Backend::epoll});
  const Contexts contexts;
  Log log;
  const auto test = [&]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    auto server = std::make_shared<Recorder>(log, "s:");
    auto client = std::make_shared<Recorder>(log, "c:");
    const auto make_server = [&server] { return server; };
    const auto make_client = [&client] { return client; };
    auto serving = create_task(loop.connect_accepted_socket(make_server, Socket::adopt(ends[0]),
                                                            {.ssl = &contexts.server}));
    ConnectOptions options;
    options.ssl = &contexts.client;
    options.server_hostname = "example.test";
    auto connecting = loop.create_connection(make_client, Socket::adopt(ends[1]), options);
    auto link = co_await std::move(connecting);
    auto accepted = co_await std::move(serving);
    EXPECT_TRUE(accepted.transport().ssl_object().server_side());
    link.transport().write("socket");
    co_await until([&] { return server->received == "socket"; });
    link.transport().close();
    co_await until([&] { return server->is_lost && client->is_lost; });
  };
  net.run(test());
}

}  // namespace
}  // namespace aster::net_tests
