// SPDX-License-Identifier: MIT
// StreamWriter::start_tls: plain text first, TLS then, and nothing in between.
#include "net/tls_peer.hpp"

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

class TlsStreamUpgrade : public NetTest {
 protected:
  Contexts contexts;
};
INSTANTIATE_TEST_SUITE_P(Systems, TlsStreamUpgrade, ::testing::ValuesIn(all_systems()), name_of);

/// The server's half of the usual exchange.
Coroutine<> serve_upgrade(Connection& server, const SSLContext& context) {
  EXPECT_EQ(co_await server.reader.readline(), "STARTTLS\n");
  server.writer.write("go ahead\n");
  co_await server.writer.start_tls(context);
}

// ST-19, VER-1, VER-5
TEST_P(TlsStreamUpgrade, ReaderAndWriterStayWhatTheyAre) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto serving = create_task(serve_upgrade(pair.server, contexts.server));
    EXPECT_FALSE(pair.client.writer.ssl_object());
    pair.client.writer.write("STARTTLS\n");
    EXPECT_EQ(co_await pair.client.reader.readline(), "go ahead\n");
    co_await pair.client.writer.start_tls(contexts.client, {.server_hostname = "example.test"});
    co_await std::move(serving);
    EXPECT_TRUE(pair.client.writer.ssl_object());
    pair.client.writer.write("secret\n");
    EXPECT_EQ(co_await pair.server.reader.readline(), "secret\n");
    pair.server.writer.write("answer\n");
    EXPECT_EQ(co_await pair.client.reader.readline(), "answer\n");
    pair.client.writer.close();
    EXPECT_EQ(co_await pair.server.reader.read(), "");
    co_await pair.server.writer.wait_closed();
    co_await pair.client.writer.wait_closed();
  };
  run(test());
}

// Much was written before, and not yet sent: it goes first, as it is.
TEST_P(TlsStreamUpgrade, WhatWasWrittenBeforeGoesPlain) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string before = pattern(300000);
    auto upgrading = create_task([&]() -> Coroutine<> {
      pair.client.writer.set_write_buffer_limits(1 << 24);
      pair.client.writer.write(before);
      co_await pair.client.writer.start_tls(contexts.client, {.server_hostname = "localhost"});
      pair.client.writer.write("secret");
    });
    EXPECT_TRUE(co_await pair.server.reader.readexactly(before.size()) == before);
    co_await pair.server.writer.start_tls(contexts.server);
    EXPECT_EQ(co_await pair.server.reader.readexactly(6), "secret");
    co_await std::move(upgrading);
    pair.client.writer.close();
    EXPECT_EQ(co_await pair.server.reader.read(), "");
    co_await pair.client.writer.wait_closed();
  };
  run(test());
}

// The command and the first message of the handshake may come in one piece, cut anywhere.
TEST(TlsUpgradeSplits, TheServerGivesWhatItHasReadAheadToTheHandshake) {
  const Contexts contexts;
  OpenSslPeer::Options options;
  options.is_server = false;
  std::size_t length = 1;
  for (std::size_t cut = 0; cut < length; ++cut) {
    Net net;
    const auto test = [&]() -> Coroutine<> {
      Pair pair = co_await connected_pair();
      PeerLink client(std::move(pair.client), options);
      const std::string bytes = "STARTTLS\n" + client.peer().step();
      length = bytes.size() + 1;
      client.send(bytes.substr(0, cut));
      auto serving = create_task([&]() -> Coroutine<> {
        EXPECT_EQ(co_await pair.server.reader.readline(), "STARTTLS\n");
        co_await pair.server.writer.start_tls(contexts.server);
        EXPECT_EQ(co_await pair.server.reader.readline(), "secret\n");
      });
      co_await sleep(1ms);
      client.send(bytes.substr(cut));
      EXPECT_TRUE(co_await client.established()) << cut;
      client.send(client.peer().write("secret\n"));
      co_await std::move(serving);
      pair.server.writer.abort();
      client.writer().abort();
    };
    net.run(test());
  }
}

// TLS-12
TEST_P(TlsStreamUpgrade, TlsGoesInsideTlsToo) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(200000);
    for (int depth = 0; depth < 3; ++depth) {
      pair.client.writer.write("STARTTLS\n");
      auto serving = create_task([&]() -> Coroutine<> {
        EXPECT_EQ(co_await pair.server.reader.readline(), "STARTTLS\n");
        co_await pair.server.writer.start_tls(contexts.server);
      });
      co_await pair.client.writer.start_tls(contexts.client, {.server_hostname = "localhost"});
      co_await std::move(serving);
      auto sending = create_task([&]() -> Coroutine<> {
        pair.client.writer.write(sent);
        co_await pair.client.writer.drain();
      });
      EXPECT_TRUE(co_await pair.server.reader.readexactly(sent.size()) == sent);
      co_await std::move(sending);
      pair.server.writer.write("answer");
      EXPECT_EQ(co_await pair.client.reader.readexactly(6), "answer");
    }
    pair.client.writer.close();
    EXPECT_EQ(co_await pair.server.reader.read(), "");
    EXPECT_EQ(co_await error_of(detail::as_coroutine(pair.server.writer.wait_closed())), "");
    EXPECT_EQ(co_await error_of(detail::as_coroutine(pair.client.writer.wait_closed())), "");
  };
  run(test());
}

// The end of what it goes through is not its own.
TEST_P(TlsStreamUpgrade, TheOuterGoodbyeIsNotTheInnerOne) {
  const auto test = [&]() -> Coroutine<> {
    OpenSslPeer::Options options;
    options.is_server = false;
    TlsListening listening(contexts.server);
    co_await listening.start();
    Connection plain = co_await open_connection("127.0.0.1", listening.port());
    PeerLink client(std::move(plain), options);
    EXPECT_TRUE(co_await client.established());
    Connection served = co_await listening.accept();
    auto serving = create_task(served.writer.start_tls(contexts.server));
    OpenSslPeer inner(options);
    client.send(client.peer().write(inner.step()));
    for (int i = 0; i < 20 && !inner.is_established(); ++i) {
      EXPECT_TRUE(co_await client.until([&] { return !client.peer().received().empty(); }));
      client.send(client.peer().write(inner.step(client.peer().take())));
    }
    co_await std::move(serving);
    client.send(client.peer().write(inner.write("half")));
    EXPECT_EQ(co_await served.reader.readexactly(4), "half");
    client.send(client.peer().shutdown());
    EXPECT_THAT(co_await error_of(served.reader.read(10)), HasSubstr("SSLEOFError"));
    client.writer().abort();
    listening.server().close();
  };
  run(test());
}

// What follows the command in plain text is no part of the protected stream.
TEST_P(TlsStreamUpgrade, InjectedPlainTextIsNeverTakenForProtected) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    // To the server: it takes it for a handshake, which it is not.
    pair.client.writer.write("STARTTLS\nEVIL COMMAND\n");
    EXPECT_EQ(co_await pair.server.reader.readline(), "STARTTLS\n");
    const std::string server = co_await error_of(pair.server.writer.start_tls(contexts.server));
    EXPECT_THAT(server, HasSubstr("SSLError"));
    EXPECT_TRUE(pair.server.writer.is_closing());
    pair.client.writer.close();

    // To the client: it refuses to begin.
    Pair other = co_await connected_pair();
    other.server.writer.write("go ahead\nEVIL ANSWER\n");
    EXPECT_EQ(co_await other.client.reader.readexactly(9), "go ahead\n");
    co_await sleep(5ms);
    const std::string client = co_await error_of(
        other.client.writer.start_tls(contexts.client, {.server_hostname = "localhost"}));
    EXPECT_THAT(client, HasSubstr("SSLError"));
    EXPECT_TRUE(other.client.writer.is_closing());
    const std::string rest = co_await error_of(other.client.reader.read(100));
    EXPECT_EQ(rest.find("EVIL"), std::string::npos);
    other.server.writer.close();
  };
  run(test());
}

TEST(TlsUpgradeSplits, IsRefusedWhereItMakesNoSense) {
  Net net;
  const Contexts contexts;
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    EXPECT_THROW(static_cast<void>(pair.client.writer.start_tls(contexts.client)), ValueError);
    EXPECT_THROW(static_cast<void>(pair.server.writer.start_tls(contexts.client)), ValueError);
    EXPECT_THROW(static_cast<void>(pair.server.writer.start_tls(contexts.server,
                                                                {.server_hostname = "localhost"})),
                 ValueError);
    auto reading = create_task(pair.server.reader.read(10));
    co_await turns(3);
    const std::string error = co_await error_of(pair.server.writer.start_tls(contexts.server));
    EXPECT_EQ(error, "aster::RuntimeError: start_tls: a read is waiting for plain bytes");
    static_cast<void>(co_await outcome(std::move(reading)));
    pair.client.writer.close();
  };
  net.run(test());
}

TEST(TlsUpgradeSplits, CancelledItCloses) {  // CAN-20
  Net net;
  const Contexts contexts;
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto upgrading = create_task(pair.server.writer.start_tls(contexts.server));
    co_await turns(3);
    upgrading.cancel("why");
    EXPECT_EQ(co_await error_of(std::move(upgrading)), "aster::CancelledError: why");
    EXPECT_TRUE(pair.server.writer.is_closing());
    EXPECT_EQ(co_await pair.client.reader.read(), "");
    pair.client.writer.close();
  };
  net.run(test());
}

}  // namespace
}  // namespace aster::net_tests
