// SPDX-License-Identifier: MIT
// How TLS connections end, in good and in bad order; virtual time.
#include "net/tls_peer.hpp"

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

class TlsEnd : public ::testing::TestWithParam<TLSVersion> {
 protected:
  template <class A>
  auto run(A&& awaitable) {
    return net.run(std::forward<A>(awaitable));
  }
  [[nodiscard]] int openssl_version() const {
    return GetParam() == TLSVersion::TLSv1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
  }
  /// What OpenSSL's end is like.
  [[nodiscard]] OpenSslPeer::Options peer_options(bool is_server) const {
    OpenSslPeer::Options options;
    options.is_server = is_server;
    options.version = openssl_version();
    if (is_server) {
      options.cert = test_cert().chain;
      options.key = test_cert().key;
    }
    return options;
  }
  Net net;
  Contexts contexts{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Versions, TlsEnd,
                         ::testing::Values(TLSVersion::TLSv1_2, TLSVersion::TLSv1_3), version_name);

/// Our client and OpenSSL's server.
struct Ends {
  std::shared_ptr<Connection> ours;
  std::shared_ptr<PeerLink> theirs;
};

Coroutine<Ends> client_to_peer(const SSLContext& context, OpenSslPeer::Options options,
                               std::optional<Delay> shutdown_timeout = {}) {
  PeerListening listening(std::move(options));
  co_await listening.start();
  ConnectOptions how;
  how.ssl = &context;
  how.ssl_shutdown_timeout = shutdown_timeout;
  auto connecting = create_task(open_connection("127.0.0.1", listening.port(), how));
  Ends ends;
  ends.theirs = co_await listening.accept();
  const bool done = co_await ends.theirs->established();
  EXPECT_TRUE(done) << ends.theirs->peer().error();
  Connection made = co_await std::move(connecting);
  ends.ours = std::make_shared<Connection>(std::move(made));
  listening.server().close();
  co_return ends;
}

Coroutine<std::string> closed(StreamWriter& writer) {
  std::string error = co_await error_of(detail::as_coroutine(writer.wait_closed()));
  co_return error;
}

// TR-21, TLS-8
TEST_P(TlsEnd, AGoodbyeIsTheEndOfTheStreamAndCloses) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    pair.client.writer.write("last words");
    pair.client.writer.close();
    const std::string received = co_await pair.server.reader.read();
    EXPECT_EQ(received, "last words");
    EXPECT_TRUE(pair.server.reader.at_eof());
    EXPECT_TRUE(pair.server.writer.is_closing());
    const std::string server = co_await closed(pair.server.writer);
    const std::string client = co_await closed(pair.client.writer);
    EXPECT_EQ(server, "");
    EXPECT_EQ(client, "");
  };
  run(test());
}

// ST-24
TEST_P(TlsEnd, WhatCameBeforeTheGoodbyeMayStillBeAnswered) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    OpenSslPeer& peer = ends.theirs->peer();
    std::string bytes = peer.write("question\n");
    bytes += peer.shutdown();
    ends.theirs->send(bytes);
    const std::string line = co_await ends.ours->reader.readline();
    EXPECT_EQ(line, "question\n");
    ends.ours->writer.write("answer");
    const bool answered = co_await ends.theirs->until([&] { return peer.received() == "answer"; });
    EXPECT_TRUE(answered);
    const std::string rest = co_await ends.ours->reader.read();
    EXPECT_EQ(rest, "");
    const std::string error = co_await closed(ends.ours->writer);
    EXPECT_EQ(error, "");
  };
  run(test());
}

TEST_P(TlsEnd, AnEndWithoutGoodbyeIsAnErrorBehindTheData) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    ends.theirs->send(ends.theirs->peer().write("half"));
    ends.theirs->writer().write_eof();
    const std::string data = co_await ends.ours->reader.readexactly(4);
    EXPECT_EQ(data, "half");
    const std::string error = co_await error_of(ends.ours->reader.read(10));
    EXPECT_THAT(error, HasSubstr("SSLEOFError: TLS with 127.0.0.1:"));
    const std::string end = co_await closed(ends.ours->writer);
    EXPECT_THAT(end, HasSubstr("SSLEOFError"));
  };
  run(test());
}

TEST_P(TlsEnd, AResetIsTheSystemsError) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    auto reading = create_task(pair.server.reader.read(10));
    co_await turns(3);
    net.sim().cut_after(pair.client.writer.socket().fileno(), 0, SimBackend::Cut::reset);
    const std::string error = co_await error_of(std::move(reading));
    EXPECT_THAT(error, HasSubstr("Connection reset by peer"));
    pair.client.writer.abort();
  };
  run(test());
}

TEST_P(TlsEnd, ARecordThatWasChangedEndsTheConnection) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    std::string record = ends.theirs->peer().write("secret");
    record[record.size() - 3] ^= 1;
    ends.theirs->send(record);
    const std::string error = co_await error_of(ends.ours->reader.read(10));
    EXPECT_THAT(error, HasSubstr("SSLError: TLS with 127.0.0.1: decryption failed or bad record"));
    co_await ends.theirs->drained();
    EXPECT_THAT(ends.theirs->peer().error(), HasSubstr("bad record mac"));  // It was told.
  };
  run(test());
}

TEST_P(TlsEnd, PlainBytesInsteadOfRecordsEndTheConnection) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    ends.theirs->send("these are no records");
    const std::string error = co_await error_of(ends.ours->reader.read(10));
    EXPECT_THAT(error, HasSubstr("SSLError: TLS with 127.0.0.1: "));
    co_await ends.theirs->drained();
  };
  run(test());
}

// TLS-5, K-5
TEST_P(TlsEnd, ACloseThatIsNeverAnsweredEndsAfterItsTime) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    const TimePoint begin = get_running_loop().time();
    ends.ours->writer.write("bye");
    ends.ours->writer.close();
    const std::string error = co_await closed(ends.ours->writer);
    EXPECT_THAT(error, HasSubstr("TimeoutError: SSL shutdown timed out"));
    EXPECT_EQ(get_running_loop().time() - begin, 30s);
    co_await ends.theirs->drained();
    EXPECT_EQ(ends.theirs->peer().received(), "bye");
    EXPECT_TRUE(ends.theirs->peer().has_ended());
  };
  run(test());
}

TEST_P(TlsEnd, TheTimeOfACloseCanBeChosen) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true), 3s);
    const TimePoint begin = get_running_loop().time();
    ends.ours->writer.close();
    const std::string error = co_await closed(ends.ours->writer);
    EXPECT_THAT(error, HasSubstr("TimeoutError"));
    EXPECT_EQ(get_running_loop().time() - begin, 3s);
  };
  run(test());
}

TEST_P(TlsEnd, ACloseWhosePeerDoesNotReadEndsAfterItsTime) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true), 5s);
    ends.ours->writer.write(pattern(1 << 20));
    ends.ours->writer.close();
    const std::string error = co_await closed(ends.ours->writer);
    EXPECT_THAT(error, HasSubstr("TimeoutError: SSL shutdown timed out"));
  };
  run(test());
}

// After our goodbye nothing of ours is missing, so its end in whatever form is the end.
TEST_P(TlsEnd, ACloseIsOverWhenThePeerGoesWithoutAGoodbye) {
  for (const bool is_reset : {false, true}) {
    const auto test = [&]() -> Coroutine<> {
      Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
      ends.ours->writer.write("all");
      ends.ours->writer.close();
      const bool ended =
          co_await ends.theirs->until([&] { return ends.theirs->peer().has_ended(); });
      EXPECT_TRUE(ended);
      EXPECT_EQ(ends.theirs->peer().received(), "all");
      if (is_reset) {
        net.sim().cut_after(ends.theirs->writer().socket().fileno(), 0, SimBackend::Cut::reset);
      } else {
        ends.theirs->writer().close();
      }
      const std::string error = co_await closed(ends.ours->writer);
      EXPECT_EQ(error, "");
      ends.theirs->writer().abort();
    };
    run(test());
  }
}

TEST_P(TlsEnd, WhatComesAfterACloseIsThrownAway) {
  const auto test = [&]() -> Coroutine<> {
    Ends ends = co_await client_to_peer(contexts.client, peer_options(true));
    ends.ours->writer.close();
    co_await turns(5);
    OpenSslPeer& peer = ends.theirs->peer();
    std::string bytes = peer.write(pattern(40000));
    bytes += peer.shutdown();
    ends.theirs->send(bytes);
    const std::string error = co_await closed(ends.ours->writer);
    EXPECT_EQ(error, "");
    EXPECT_EQ(co_await ends.ours->reader.read(), "");
  };
  run(test());
}

// Both have more on the way than fits: neither may wait for the other.
TEST_P(TlsEnd, BothCloseWithFullBuffers) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    pair.client.writer.write(pattern(1 << 20));
    pair.server.writer.write(pattern(1 << 20));
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first, "");
    EXPECT_EQ(errors.second, "");
  };
  run(test());
}

// TR-3
TEST_P(TlsEnd, AnAbortSaysNothing) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    auto reading = create_task(pair.server.reader.read(10));
    co_await turns(3);
    pair.client.writer.abort();
    const std::string error = co_await error_of(std::move(reading));
    // With TLS 1.3 there are tickets that it has not read, so that it is a reset.
    EXPECT_THAT(error, ::testing::AnyOf(HasSubstr("SSLEOFError"), HasSubstr("reset by peer")));
    EXPECT_EQ(co_await closed(pair.client.writer), "");
  };
  run(test());
}

// A peer that goes at once takes our tickets' way, not its request's.
TEST_P(TlsEnd, ARequestOfAPeerThatIsGoneIsStillRead) {
  const auto test = [&]() -> Coroutine<> {
    TlsListening listening(contexts.server);
    co_await listening.start();
    auto connecting = open_connection("127.0.0.1", listening.port());
    Connection plain = co_await std::move(connecting);
    PeerLink client(std::move(plain), peer_options(false));
    OpenSslPeer& peer = client.peer();
    client.send(peer.step());
    // The last message of the handshake, the request and the end, all at once.
    std::string last;
    while (!peer.is_established()) {
      std::string piece = co_await client.receive();
      last = peer.step(piece);
      if (!peer.is_established()) client.send(last);
    }
    last += peer.write("request\n");
    last += peer.shutdown();
    client.send(last);
    if (GetParam() == TLSVersion::TLSv1_3) client.writer().close();
    Connection served = co_await listening.accept();
    const std::string line = co_await served.reader.readline();
    EXPECT_EQ(line, "request\n");
    EXPECT_EQ(co_await served.reader.read(), "");
    client.writer().close();
    listening.server().close();
  };
  run(test());
}

// TLS-4: a silent peer is not waited for longer than that.
TEST_P(TlsEnd, AHandshakeThatIsNeverAnsweredEndsAfterItsTime) {
  const auto test = [&]() -> Coroutine<> {
    Listening listening;
    co_await listening.start();
    const TimePoint begin = get_running_loop().time();
    const std::string error = co_await error_of(
        open_connection("127.0.0.1", listening.port(), {.ssl = &contexts.client}));
    EXPECT_THAT(error, HasSubstr("TimeoutError: TLS handshake with 127.0.0.1:"));
    EXPECT_EQ(get_running_loop().time() - begin, 60s);
    const std::string sooner = co_await error_of(open_connection(
        "127.0.0.1", listening.port(), {.ssl = &contexts.client, .ssl_handshake_timeout = 2s}));
    EXPECT_THAT(sooner, HasSubstr("longer than 2.0"));
    listening.server().close();
    Connection first = co_await listening.accept();
    Connection second = co_await listening.accept();
    first.writer.close();
    second.writer.close();
  };
  run(test());
}

TEST_P(TlsEnd, AServerEndsSilentClientsAfterItsTime) {
  const auto test = [&]() -> Coroutine<> {
    ServerOptions serving;
    serving.ssl_handshake_timeout = 7s;
    TlsListening listening(contexts.server, serving);
    co_await listening.start();
    auto connecting = open_connection("127.0.0.1", listening.port());
    Connection silent = co_await std::move(connecting);
    const TimePoint begin = get_running_loop().time();
    const std::string end = co_await silent.reader.read();
    EXPECT_EQ(end, "");
    EXPECT_EQ(get_running_loop().time() - begin, 7s);
    EXPECT_EQ(listening.waiting(), 0u);
    silent.writer.close();
    listening.server().close();
    co_await listening.server().wait_closed();
  };
  run(test());
}

// CAN-20
TEST_P(TlsEnd, ACancelledHandshakeClosesAndKeepsItsMessage) {
  const auto test = [&]() -> Coroutine<> {
    Listening listening;
    co_await listening.start();
    auto connecting =
        create_task(open_connection("127.0.0.1", listening.port(), {.ssl = &contexts.client}));
    Connection server = co_await listening.accept();
    co_await turns(3);
    connecting.cancel("no longer");
    const std::string error = co_await error_of(std::move(connecting));
    EXPECT_EQ(error, "aster::CancelledError: no longer");
    const std::string hello = co_await server.reader.read();
    EXPECT_EQ(hello[0], '\x16');  // A handshake record was all there was, then the end.
    server.writer.close();
    listening.server().close();
  };
  run(test());
}

TEST_P(TlsEnd, CancelledReadsDrainsAndClosesLoseNothing) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    auto reading = create_task(pair.server.reader.readexactly(8));
    pair.client.writer.write("1234");
    co_await sleep(1ms);
    reading.cancel();
    EXPECT_EQ(co_await error_of(std::move(reading)), "aster::CancelledError");
    pair.client.writer.write("5678");
    EXPECT_EQ(co_await pair.server.reader.readexactly(8), "12345678");

    const std::string flood = pattern(1 << 20);
    pair.client.writer.write(flood);
    auto draining = create_task(detail::as_coroutine(pair.client.writer.drain()));
    co_await turns(3);
    EXPECT_FALSE(draining.done());
    draining.cancel();
    EXPECT_EQ(co_await error_of(std::move(draining)), "aster::CancelledError");
    EXPECT_TRUE(co_await pair.server.reader.readexactly(flood.size()) == flood);

    pair.client.writer.close();
    auto closing = create_task(detail::as_coroutine(pair.client.writer.wait_closed()));
    co_await turns(1);
    closing.cancel();
    EXPECT_EQ(co_await error_of(std::move(closing)), "aster::CancelledError");
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first + errors.second, "");
  };
  run(test());
}

TEST_P(TlsEnd, ALoopMayCloseAtAnyMoment) {
  for (int moment = 0; moment < 40; ++moment) {
    Net other;
    other.settles = false;
    auto test = [&]() -> Coroutine<> {
      Pair pair = co_await tls_pair(contexts.client, contexts.server);
      pair.client.writer.write(pattern(200000));
      pair.client.writer.close();
      static_cast<void>(co_await pair.server.reader.read());
      static_cast<void>(co_await close_pair(pair));
    };
    // Which is told that a task was destroyed.
    other.loop().set_exception_handler([](EventLoop&, const ExceptionContext&) {});
    auto task = other.loop().create_task(test());
    other.turns(moment);
    other.close();  // Checks the accounts.
  }
}

// TR-13, TLS-14
TEST_P(TlsEnd, ThereIsNoHalfClose) {
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    EXPECT_FALSE(pair.client.writer.can_write_eof());
    EXPECT_THROW(pair.client.writer.write_eof(), RuntimeError);
    pair.client.writer.write("still open");
    EXPECT_EQ(co_await pair.server.reader.readexactly(10), "still open");
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first + errors.second, "");
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
