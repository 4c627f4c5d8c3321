// SPDX-License-Identifier: MIT
// Sessions that are taken up again, tickets, new keys, renegotiation, memory.
#include "net/tls_peer.hpp"
#include "support/sanitizers.hpp"

#include <malloc.h>

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

class TlsSessions : public ::testing::TestWithParam<TLSVersion> {
 protected:
  /// What came of one connection.
  struct Visit {
    SSLSession session;
    bool reused = false;
  };
  /// Connects with a session, if any, reads once, and ends.
  Coroutine<Visit> visit(const SSLContext& client, const SSLSession& session,
                         std::string_view host = "localhost") {
    ConnectOptions options;
    options.server_hostname = host;
    options.ssl_session = &session;
    Pair pair = co_await tls_pair(client, contexts.server, options);
    pair.server.writer.write("x");
    EXPECT_EQ(co_await pair.client.reader.readexactly(1), "x");
    const SSLObject tls = pair.client.writer.ssl_object();
    EXPECT_EQ(tls.session_reused(), pair.server.writer.ssl_object().session_reused());
    EXPECT_FALSE(pair.server.writer.ssl_object().session());
    Visit made{tls.session(), tls.session_reused()};
    EXPECT_TRUE(tls.getpeercert());
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first + errors.second, "");
    co_return made;
  }
  Net net;
  Contexts contexts{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Versions, TlsSessions,
                         ::testing::Values(TLSVersion::TLSv1_2, TLSVersion::TLSv1_3), version_name);

TEST_P(TlsSessions, AreTakenUpForTheSameNameAndContextOnly) {
  const auto test = [this]() -> Coroutine<> {
    const SSLSession none;
    const Visit first = co_await visit(contexts.client, none);
    EXPECT_FALSE(first.reused);
    EXPECT_TRUE(first.session.is_resumable());
    const Visit second = co_await visit(contexts.client, first.session);
    EXPECT_TRUE(second.reused);
    const Visit third = co_await visit(contexts.client, second.session);
    EXPECT_TRUE(third.reused);
    const Visit elsewhere = co_await visit(contexts.client, third.session, "example.test");
    EXPECT_FALSE(elsewhere.reused);
    Contexts others(GetParam());
    const Visit other = co_await visit(others.client, third.session);
    EXPECT_FALSE(other.reused);
  };
  net.run(test());
}

TEST_P(TlsSessions, TicketsLastForOneRotationOfTheKeys) {
  const auto test = [this]() -> Coroutine<> {
    const SSLSession none;
    const Visit first = co_await visit(contexts.client, none);
    contexts.server.rotate_ticket_keys();
    const Visit second = co_await visit(contexts.client, first.session);
    EXPECT_TRUE(second.reused);
    contexts.server.rotate_ticket_keys();
    const Visit stale = co_await visit(contexts.client, first.session);
    EXPECT_FALSE(stale.reused);
    const Visit renewed = co_await visit(contexts.client, second.session);
    EXPECT_TRUE(renewed.reused);
    // By themselves they are changed every twelve hours.
    co_await sleep(12h);
    const Visit aged = co_await visit(contexts.client, renewed.session);
    EXPECT_TRUE(aged.reused);
    co_await sleep(12h);
    const Visit too_old = co_await visit(contexts.client, renewed.session);
    EXPECT_FALSE(too_old.reused);
  };
  net.run(test());
}

TEST_P(TlsSessions, ServersMayGoWithoutTickets) {
  const auto test = [this]() -> Coroutine<> {
    contexts.server.set_session_tickets(false);
    const SSLSession none;
    const Visit first = co_await visit(contexts.client, none);
    EXPECT_EQ(first.session.is_resumable(), GetParam() == TLSVersion::TLSv1_2);
    contexts.server.set_session_tickets(true);
    const Visit second = co_await visit(contexts.client, none);
    EXPECT_TRUE(second.session.is_resumable());
  };
  net.run(test());
}

// A ticket of TLS 1.3 is for one use, so whoever came back with one needs another.
TEST(TlsChanges, EachResumedConnectionHandsOutANewTicket) {
  Net net;
  const auto test = []() -> Coroutine<> {
    const SSLContext server = server_context();
    TlsListening listening(server);
    co_await listening.start();
    SSL_SESSION* session = nullptr;
    for (int i = 0; i < 4; ++i) {
      auto connecting = connect_peer(listening.port(), TLS1_3_VERSION);
      const auto connected = co_await std::move(connecting);
      PeerLink& client = *connected;
      if (session != nullptr) SSL_set_session(client.peer().ssl(), session);
      EXPECT_TRUE(co_await client.established());
      Connection served = co_await listening.accept();
      served.writer.write("x");
      EXPECT_TRUE(co_await client.until([&] { return client.peer().received() == "x"; }));
      EXPECT_EQ(SSL_session_reused(client.peer().ssl()), i > 0 ? 1 : 0);
      SSL_SESSION* const next = SSL_get1_session(client.peer().ssl());
      EXPECT_NE(next, session);
      SSL_SESSION_free(std::exchange(session, next));
      client.send(client.peer().shutdown());  // Else OpenSSL spoils the session.
      served.writer.abort();
      client.writer().abort();
    }
    SSL_SESSION_free(session);
    listening.server().close();
  };
  net.run(test());
}

/// A server whose name "guarded.test" asks for certificates, and others for none.
struct Guarded {
  Guarded() {
    guarded.load_verify_pem(test_root().cert());
    guarded.set_verify(SSLVerify::required);
    server.set_sni_callback(
        [this](std::string_view name) { return name == "guarded.test" ? &guarded : nullptr; });
  }
  SSLContext guarded = server_context();
  SSLContext server = server_context();
};

Coroutine<> answer_one(TlsListening& listening) {
  Connection served = co_await listening.accept();
  served.writer.write("y");
  static_cast<void>(co_await served.reader.read(1));
  served.writer.abort();
}

/// Asks for `name` with `session`, if any, which becomes the new one; whether it was answered.
Coroutine<bool> ask_for(const SSLContext& server, const char* name, SSL_SESSION*& session,
                        int version) {
  TlsListening listening(server);
  co_await listening.start();
  auto answering = create_task(answer_one(listening));
  auto connecting = connect_peer(listening.port(), version);
  const auto client = co_await std::move(connecting);
  SSL* const ssl = client->peer().ssl();
  SSL_set_tlsext_host_name(ssl, name);
  if (session != nullptr) SSL_set_session(ssl, session);
  auto asking = client->until([&] { return client->peer().received() == "y"; });
  const bool is_answered = co_await std::move(asking);
  if (is_answered) {
    SSL_SESSION_free(std::exchange(session, SSL_get1_session(ssl)));
    client->send(client->peer().shutdown());
  }
  client->writer().close();
  if (!is_answered) answering.cancel();
  static_cast<void>(co_await outcome(std::move(answering)));
  listening.server().close();
  co_return is_answered;
}

// OpenSSL takes the session up before the name's context is chosen.
TEST_P(TlsSessions, OfAnotherNameIsNoCertificate) {
  const auto test = []() -> Coroutine<> {
    const Guarded guarded;
    const int version = GetParam() == TLSVersion::TLSv1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_SESSION* session = nullptr;
    EXPECT_TRUE(co_await ask_for(guarded.server, "open.test", session, version));
    EXPECT_NE(session, nullptr);
    // TLS 1.2 goes on under the former name, and with its context.
    const bool is_answered = co_await ask_for(guarded.server, "guarded.test", session, version);
    EXPECT_EQ(is_answered, version == TLS1_2_VERSION);
    EXPECT_TRUE(co_await ask_for(guarded.server, "open.test", session, version));
    SSL_SESSION_free(std::exchange(session, nullptr));
    EXPECT_FALSE(co_await ask_for(guarded.server, "guarded.test", session, version));
  };
  net.run(test());
}

// TLS-11
TEST(TlsChanges, NewKeysAreAnsweredWhereverTheyComeFrom) {
  Net net;
  const auto test = []() -> Coroutine<> {
    const SSLContext server = server_context();
    TlsListening listening(server);
    co_await listening.start();
    auto connecting = connect_peer(listening.port(), any_version);
    const auto connected = co_await std::move(connecting);
    PeerLink& client = *connected;
    EXPECT_TRUE(co_await client.established());
    Connection served = co_await listening.accept();
    for (int i = 0; i < 20; ++i) {
      const std::string word = "word " + std::to_string(i) + "\n";
      std::string bytes = client.peer().update_keys();
      bytes += client.peer().write(word);
      client.send(bytes);
      EXPECT_EQ(co_await served.reader.readline(), word);
      served.writer.write(word);
      EXPECT_TRUE(co_await client.until([&] { return client.peer().received() == word; }));
      static_cast<void>(client.peer().take());
    }
    served.writer.abort();
    client.writer().abort();
    listening.server().close();
  };
  net.run(test());
}

TEST(TlsChanges, RenegotiationIsRefused) {
  Net net;
  const auto test = []() -> Coroutine<> {
    const SSLContext server = server_context();
    TlsListening listening(server);
    co_await listening.start();
    auto connecting = connect_peer(listening.port(), TLS1_2_VERSION);
    const auto connected = co_await std::move(connecting);
    PeerLink& client = *connected;
    EXPECT_TRUE(co_await client.established());
    Connection served = co_await listening.accept();
    client.send(client.peer().renegotiate());
    auto reading = create_task(served.reader.read(10));
    EXPECT_FALSE(co_await client.until([&] { return !client.peer().error().empty(); }) &&
                 client.peer().error().empty());
    EXPECT_THAT(client.peer().error(), HasSubstr("no renegotiation"));
    client.writer().abort();
    static_cast<void>(co_await outcome(std::move(reading)));
    served.writer.abort();
    listening.server().close();
  };
  net.run(test());
}

// What an idle connection costs is bounded: 20 KiB at each end.
TEST(TlsMemory, AnIdleConnectionOwnsNoBuffers) {
  if (support::has_address_sanitizer || support::has_thread_sanitizer) {
    GTEST_SKIP() << "the allocator does not count";
  }
  Net net({"epoll", false, {}, Backend::epoll});
  const auto test = []() -> Coroutine<> {
    const Contexts contexts;
    std::vector<Pair> pairs;
    pairs.reserve(200);
    const auto connect = [&](std::size_t count) -> Coroutine<> {
      for (std::size_t i = 0; i < count; ++i) {
        Pair pair = co_await tls_pair(contexts.client, contexts.server);
        pair.client.writer.write("x");
        EXPECT_EQ(co_await pair.server.reader.readexactly(1), "x");
        pair.server.writer.write("y");
        EXPECT_EQ(co_await pair.client.reader.readexactly(1), "y");
        pairs.push_back(std::move(pair));
      }
    };
    co_await connect(50);
    const std::size_t before = ::mallinfo2().uordblks;
    co_await connect(100);
    const std::size_t each = (::mallinfo2().uordblks - before) / 200;
    RecordProperty("bytes_each", std::to_string(each));
    EXPECT_LT(each, 20u * 1024u);
    for (Pair& pair : pairs) {
      pair.client.writer.abort();
      pair.server.writer.abort();
    }
  };
  net.run(test());
}

}  // namespace
}  // namespace aster::net_tests
