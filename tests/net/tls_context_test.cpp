// SPDX-License-Identifier: MIT
// What an SSLContext can be told, and what a connection tells of it.
#include "net/tls_peer.hpp"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace aster::net_tests {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

/// What is thrown.
template <class F>
std::string error_in(F&& function) {
  try {
    function();
  } catch (...) {
    return describe(std::current_exception());
  }
  return "";
}

class TlsContexts : public ::testing::Test {
 protected:
  template <class A>
  auto run(A&& awaitable) {
    return net.run(std::forward<A>(awaitable));
  }
  /// Connects, and ends; the client's error and then the server's are in `errors`.
  Coroutine<SSLObject> connect(const SSLContext& client, const SSLContext& server,
                               std::string_view host = "localhost") {
    ConnectOptions options;
    options.server_hostname = host;
    net_tests::Pair pair = co_await tls_pair(client, server, options);
    SSLObject tls = pair.client.writer.ssl_object();
    server_tls = pair.server.writer.ssl_object();
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first + errors.second, "");
    co_return tls;
  }
  /// The error with which a client is refused, at once or with its first read.
  Coroutine<std::string> refused(const SSLContext& client, const SSLContext& server) {
    TlsListening listening(server);
    co_await listening.start();
    ConnectOptions options;
    options.ssl = &client;
    auto connecting = outcome(open_connection("127.0.0.1", listening.port(), options));
    auto link = co_await std::move(connecting);
    std::string error;
    if (link.has_value()) {
      error = co_await error_of(link.value().reader.read());
      link.value().writer.abort();
    } else {
      error = describe(link.exception());
    }
    EXPECT_EQ(listening.waiting(), 0u);
    listening.server().close();
    co_await listening.server().wait_closed();
    co_return error;
  }
  Net net;
  SSLObject server_tls;
};

// CON-9, CON-21, TLS-2, TLS-3, TLS-4
TEST_F(TlsContexts, ImpossibleOptionsAreValueErrors) {
  const auto test = []() -> Coroutine<> {
    const Contexts contexts;
    const auto dial = [](ConnectOptions options) {
      return error_in([&] { static_cast<void>(open_connection("127.0.0.1", 1, options)); });
    };
    EXPECT_EQ(dial({.server_hostname = "x"}),
              "aster::ValueError: open_connection: server_hostname is only meaningful with ssl");
    EXPECT_THAT(dial({.ssl_handshake_timeout = 1s}), HasSubstr("only meaningful with ssl"));
    EXPECT_THAT(dial({.ssl_shutdown_timeout = 1s}), HasSubstr("only meaningful with ssl"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .ssl_handshake_timeout = 0s}),
                HasSubstr("ValueError: open_connection: ssl_handshake_timeout should be"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .ssl_shutdown_timeout = -1s}),
                HasSubstr("ValueError: open_connection: ssl_shutdown_timeout should be"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .server_hostname = ""}),
                HasSubstr("ValueError: open_connection: server_hostname is empty"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .server_hostname = std::string_view("a\0b", 3)}),
                HasSubstr("ValueError"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .server_hostname = ".test"}),
                HasSubstr("ValueError"));
    EXPECT_THAT(dial({.ssl = &contexts.client, .server_hostname = std::string(254, 'a')}),
                HasSubstr("ValueError"));
    EXPECT_THAT(dial({.ssl = &contexts.server}), HasSubstr("ValueError"));

    const auto serve = [](ServerOptions options) {
      return error_of(start_server([](StreamReader, StreamWriter) {}, "127.0.0.1", 0, options));
    };
    const SSLContext empty{SSLPurpose::client_auth};
    EXPECT_THAT(co_await serve({.ssl = &contexts.client}), HasSubstr("ValueError"));
    EXPECT_THAT(co_await serve({.ssl = &empty}), HasSubstr("no certificate"));
    EXPECT_THAT(co_await serve({.ssl_handshake_timeout = 1s}), HasSubstr("only meaningful"));
    EXPECT_THAT(co_await serve({.ssl = &contexts.server, .ssl_handshake_timeout = 0s}),
                HasSubstr("ValueError: start_server: ssl_handshake_timeout"));
  };
  run(test());
}

TEST_F(TlsContexts, ACallKeepsWhatItNeedsOfAContext) {
  const auto test = []() -> Coroutine<> {
    auto contexts = std::make_unique<Contexts>();
    TlsListening listening(contexts->server);
    co_await listening.start();
    ConnectOptions options;
    std::string host = "localhost";
    options.ssl = &contexts->client;
    options.server_hostname = host;
    auto connecting = open_connection("127.0.0.1", listening.port(), options);
    contexts.reset();
    host = "overwritten";
    Connection client = co_await std::move(connecting);
    Connection server = co_await listening.accept();
    client.writer.abort();
    server.writer.abort();
    listening.server().close();
  };
  run(test());
}

// TLS-13
TEST_F(TlsContexts, AConnectionTellsWhoIsAtItsOtherEnd) {
  const auto test = [this]() -> Coroutine<> {
    CertWish wish;
    wish.common_name = "Example";
    wish.alt_names = "DNS:example.test,IP:127.0.0.1,IP:::1,email:a@example.test";
    const Authority between(test_root(), "Between");
    const SSLContext server = server_context(between.issue(wish));
    const SSLContext client = client_context();
    const SSLObject tls = co_await connect(client, server, "example.test");
    const std::optional<SSLCertificate> cert = tls.getpeercert();
    EXPECT_THAT(cert->subject, ElementsAre(Pair("organizationName", "aster tests"),
                                           Pair("commonName", "Example")));
    EXPECT_THAT(cert->issuer, ElementsAre(Pair("organizationName", "aster tests"),
                                          Pair("commonName", "Between")));
    EXPECT_THAT(cert->subject_alt_name,
                ElementsAre(Pair("DNS", "example.test"), Pair("IP Address", "127.0.0.1"),
                            Pair("IP Address", "::1"), Pair("email", "a@example.test")));
    const auto now = std::chrono::system_clock::now();
    EXPECT_LT(cert->not_before, now - 23h);
    EXPECT_GT(cert->not_before, now - 25h);
    EXPECT_GT(cert->not_after, now + 29 * 24h);
    EXPECT_LT(cert->not_after, now + 31 * 24h);
    EXPECT_FALSE(cert->serial_number.empty());
    EXPECT_EQ(cert->der[0], '\x30');
    EXPECT_EQ(tls.get_verified_chain().size(), 3u);
    EXPECT_EQ(tls.get_unverified_chain().size(), 2u);
    EXPECT_EQ(tls.get_verified_chain().back().subject.back().second, "Test Root");
    EXPECT_EQ(tls.server_hostname(), "example.test");
    EXPECT_EQ(server_tls.server_hostname(), "example.test");
    EXPECT_FALSE(server_tls.getpeercert());
    EXPECT_EQ(server_tls.get_verified_chain().size(), 0u);
    EXPECT_FALSE(tls.compression());
  };
  run(test());
}

TEST_F(TlsContexts, VersionsAndCiphersCanBeChosen) {
  const auto test = [this]() -> Coroutine<> {
    Contexts newest;
    newest.client.set_ciphersuites("TLS_CHACHA20_POLY1305_SHA256");
    const SSLObject three = co_await connect(newest.client, newest.server);
    EXPECT_EQ(three->version(), "TLSv1.3");
    EXPECT_EQ(three.cipher().name, "TLS_CHACHA20_POLY1305_SHA256");
    EXPECT_EQ(three.cipher().bits, 256);
    Contexts older(TLSVersion::TLSv1_2);
    older.client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256");
    const SSLObject two = co_await connect(older.client, older.server);
    EXPECT_EQ(two.version(), "TLSv1.2");
    EXPECT_EQ(two.cipher().name, "ECDHE-ECDSA-AES128-GCM-SHA256");
    EXPECT_EQ(two.cipher().protocol, "TLSv1.2");

    newest.client.set_minimum_version(TLSVersion::TLSv1_3);
    EXPECT_THAT(co_await refused(newest.client, older.server), HasSubstr("SSLError"));
    EXPECT_THAT(error_in([&] { newest.client.set_ciphers("nonsense"); }),
                HasSubstr("SSLError: set_ciphers \"nonsense\": no cipher match"));
    EXPECT_THAT(error_in([&] { newest.client.set_ciphersuites("nonsense"); }),
                HasSubstr("SSLError"));
  };
  run(test());
}

TEST_F(TlsContexts, AlpnAgreesOrRefuses) {
  const auto test = [this]() -> Coroutine<> {
    Contexts contexts;
    SSLObject tls = co_await connect(contexts.client, contexts.server);
    EXPECT_EQ(tls.selected_alpn_protocol(), std::nullopt);
    contexts.server.set_alpn_protocols({"h2", "http/1.1"});
    tls = co_await connect(contexts.client, contexts.server);
    EXPECT_EQ(tls.selected_alpn_protocol(), std::nullopt);  // The client has not asked.
    contexts.client.set_alpn_protocols({"http/1.1", "h2"});
    tls = co_await connect(contexts.client, contexts.server);
    EXPECT_EQ(tls.selected_alpn_protocol(), "h2");  // The server's first.
    EXPECT_EQ(server_tls.selected_alpn_protocol(), "h2");
    contexts.client.set_alpn_protocols({"http/1.1"});
    tls = co_await connect(contexts.client, contexts.server);
    EXPECT_EQ(tls.selected_alpn_protocol(), "http/1.1");
    contexts.client.set_alpn_protocols({"spdy/3"});
    EXPECT_THAT(co_await refused(contexts.client, contexts.server),
                HasSubstr("SSLError: TLS with 127.0.0.1: tlsv1 alert no application protocol"));
    EXPECT_THROW(contexts.client.set_alpn_protocols({""}), ValueError);
    EXPECT_THROW(contexts.client.set_alpn_protocols({std::string(256, 'a')}), ValueError);
  };
  run(test());
}

TEST_F(TlsContexts, ServersMayAskForCertificates) {
  const auto test = [this]() -> Coroutine<> {
    for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
      Contexts contexts(version);
      const Certified mine = test_root().issue({.common_name = "a client"});
      contexts.server.load_verify_pem(test_root().cert());
      contexts.server.set_verify(SSLVerify::optional);
      co_await connect(contexts.client, contexts.server);
      EXPECT_FALSE(server_tls.getpeercert());
      contexts.server.set_verify(SSLVerify::required);
      EXPECT_THAT(co_await refused(contexts.client, contexts.server), HasSubstr("SSLError"));
      contexts.client.load_cert_chain_pem(mine.chain, mine.key);
      co_await connect(contexts.client, contexts.server);
      EXPECT_EQ(server_tls.getpeercert()->subject.back().second, "a client");
      EXPECT_EQ(server_tls.get_unverified_chain().size(), 1u);
      EXPECT_EQ(server_tls.get_verified_chain().size(), 2u);
      // Of a stranger: refused, asked for or not.
      const Certified strange = Authority("Stranger").issue();
      SSLContext other = client_context();
      other.load_cert_chain_pem(strange.chain, strange.key);
      EXPECT_THAT(co_await refused(other, contexts.server), HasSubstr("alert unknown ca"));
      contexts.server.set_verify(SSLVerify::optional);
      EXPECT_THAT(co_await refused(other, contexts.server), HasSubstr("alert unknown ca"));
    }
  };
  run(test());
}

TEST_F(TlsContexts, TurningVerificationOffTakesAnUglyWord) {
  const auto test = [this]() -> Coroutine<> {
    const SSLContext server = server_context(support::self_signed({.alt_names = "DNS:other"}));
    SSLContext client;
    EXPECT_EQ(client.verify(), SSLVerify::required);
    EXPECT_THAT(co_await refused(client, server), HasSubstr("SSLCertVerificationError"));
    client.set_verify(SSLVerify::none_i_accept_the_risk);
    co_await connect(client, server);
    co_await connect(client, server, "");
    SSLContext trusting = client_context();
    trusting.set_verify(SSLVerify::any_host_name_i_accept_the_risk);
    co_await connect(trusting, server_context(), "who.knows");
    EXPECT_THAT(co_await refused(trusting, server), HasSubstr("SSLCertVerificationError"));
    SSLContext serving{SSLPurpose::client_auth};
    EXPECT_EQ(serving.verify(), SSLVerify::none_i_accept_the_risk);
    EXPECT_THROW(serving.set_verify(SSLVerify::any_host_name_i_accept_the_risk), ValueError);
  };
  run(test());
}

TEST_F(TlsContexts, EachNameOfAServerHasItsOwnRevocationList) {
  const auto test = []() -> Coroutine<> {
    const Certified good = test_root().issue();
    const Certified revoked = test_root().issue();
    SSLContext strict = server_context();
    strict.load_verify_pem(test_root().cert());
    strict.load_crl_pem(test_root().revoke({revoked.cert}));
    strict.set_verify(SSLVerify::required);
    SSLContext server = server_context();
    server.set_sni_callback([&](std::string_view) -> const SSLContext* { return &strict; });
    for (const Certified* mine : {&good, &revoked}) {
      SSLContext client = client_context();
      client.load_cert_chain_pem(mine->chain, mine->key);
      for (const SSLContext* serving : {&strict, &server}) {
        TlsListening listening(*serving);
        co_await listening.start();
        ConnectOptions options;
        options.ssl = &client;
        options.server_hostname = "example.test";
        auto connecting = outcome(open_connection("127.0.0.1", listening.port(), options));
        auto connected = co_await std::move(connecting);
        std::string error;
        if (connected.has_value()) {
          // TLS 1.3 tells of a refusal with the first read.
          auto reading = create_task(connected.value().reader.read(1));
          while (!reading.done() && listening.waiting() == 0) co_await sleep(1ms);
          if (listening.waiting() > 0) {
            Connection accepted = co_await listening.accept();
            accepted.writer.write("x");
            error = co_await error_of(reading);
            accepted.writer.abort();
          } else {
            error = co_await error_of(reading);
          }
          connected.value().writer.abort();
        } else {
          error = describe(connected.exception());
        }
        EXPECT_EQ(error.empty(), mine == &good) << error;
        listening.server().close();
      }
    }
  };
  run(test());
}

TEST_F(TlsContexts, AServerMayHaveSeveralNames) {
  const auto test = [this]() -> Coroutine<> {
    SSLContext first = server_context(test_root().issue({.alt_names = "DNS:one.test"}));
    SSLContext second = server_context(test_root().issue({.alt_names = "DNS:two.test"}));
    second.set_alpn_protocols({"second"});
    std::string asked;
    first.set_sni_callback([&](std::string_view name) -> const SSLContext* {
      asked = name;
      if (name == "bad.test") throw ValueError("no such name");
      return name == "two.test" ? &second : nullptr;
    });
    SSLContext client = client_context();
    client.set_alpn_protocols({"second"});
    const SSLObject one = co_await connect(client, first, "one.test");
    EXPECT_EQ(asked, "one.test");
    EXPECT_EQ(one.selected_alpn_protocol(), std::nullopt);
    const SSLObject two = co_await connect(client, first, "two.test");
    EXPECT_EQ(two.getpeercert()->subject_alt_name.front().second, "two.test");
    EXPECT_EQ(two.selected_alpn_protocol(), "second");
    EXPECT_THAT(co_await refused(client, first), HasSubstr("SSLCertVerificationError"));
    EXPECT_EQ(asked, "");  // No name was asked for.

    TlsListening listening(first);
    co_await listening.start();
    ConnectOptions options;
    options.ssl = &client;
    options.server_hostname = "bad.test";
    const std::string error =
        co_await error_of(open_connection("127.0.0.1", listening.port(), options));
    EXPECT_THAT(error, HasSubstr("alert internal error"));
    listening.server().close();
    co_await listening.server().wait_closed();
  };
  run(test());
  // An error of the user's is told, in whatever mode.
  net.expected_reports = {
      "Error on transport creation for incoming connection: aster::ValueError: no such name"};
}

// CON-30
TEST_F(TlsContexts, FailedClientsAreToldOfInDebugModeOnly) {
  const auto test = [this]() -> Coroutine<> {
    const SSLContext server = server_context();
    const SSLContext trusts_nobody;
    EXPECT_THAT(co_await refused(trusts_nobody, server), HasSubstr("SSLCertVerificationError"));
    EXPECT_THAT(net.reports, ElementsAre());
    get_running_loop().set_debug(true);
    EXPECT_THAT(co_await refused(trusts_nobody, server), HasSubstr("SSLCertVerificationError"));
    get_running_loop().set_debug(false);
    EXPECT_THAT(net.reports, ElementsAre(HasSubstr("incoming connection: aster::SSLError: TLS: ")));
  };
  run(test());
  net.expected_reports = net.reports;
}

TEST_F(TlsContexts, KeysAndCertificatesAreChecked) {
  const Certified& cert = test_cert();
  const std::string secret = support::encrypted(cert.key, "open sesame");
  SSLContext context{SSLPurpose::client_auth};
  context.load_cert_chain_pem(cert.chain, secret, "open sesame");
  context.load_cert_chain_pem(cert.chain + cert.key);
  EXPECT_THAT(error_in([&] { context.load_cert_chain_pem(cert.chain, secret, "wrong"); }),
              HasSubstr("SSLError: load_cert_chain_pem: the private key"));
  EXPECT_THAT(error_in([&] { context.load_cert_chain_pem(cert.chain, secret); }),
              HasSubstr("SSLError"));
  EXPECT_THAT(error_in([&] { context.load_cert_chain_pem(cert.chain, test_root().issue().key); }),
              HasSubstr("private key mismatch"));
  EXPECT_THAT(error_in([&] { context.load_cert_chain_pem("nonsense", cert.key); }),
              HasSubstr("SSLError: load_cert_chain_pem: no certificate: no start line"));
  EXPECT_THAT(error_in([&] { context.load_verify_pem("nonsense"); }), HasSubstr("SSLError"));
  EXPECT_THAT(error_in([&] { context.load_crl_pem(test_root().cert()); }),
              HasSubstr("no revocation list"));
  EXPECT_THAT(error_in([&] {
                const Certified weak = test_root().issue({.rsa_bits = 1024});
                context.load_cert_chain_pem(weak.chain, weak.key);
              }),
              HasSubstr("ee key too small"));
  const SSLContext taken = std::move(context);
  EXPECT_THROW(context.set_default_verify_paths(), ValueError);  // NOLINT: that is the test.
}

TEST_F(TlsContexts, FilesAreRead) {
  std::string made = ::testing::TempDir() + "aster_tls_XXXXXX";
  ASSERT_NE(::mkdtemp(made.data()), nullptr);
  const std::filesystem::path folder = made;
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / name) << text;
    return (folder / name).string();
  };
  const std::string cert = write("cert.pem", test_cert().chain);
  const std::string key = write("key.pem", test_cert().key);
  const std::string both = write("both.pem", test_cert().key + test_cert().chain);
  const std::string root = write("root.pem", test_root().cert());
  const std::string list = write("crl.pem", test_root().revoke({}));
  const auto test = [&]() -> Coroutine<> {
    SSLContext server{SSLPurpose::client_auth};
    server.load_cert_chain(cert, key);
    server.load_cert_chain(both);
    SSLContext client;
    client.load_verify_locations(root);
    client.load_crl(list);
    co_await connect(client, server);
  };
  run(test());
  SSLContext context;
  const std::string missing = (folder / "missing.pem").string();
  EXPECT_EQ(error_in([&] { context.load_cert_chain(missing); }),
            "std::system_error: load_cert_chain " + missing + ": No such file or directory");
  EXPECT_THAT(error_in([&] { context.load_verify_locations(missing); }),
              HasSubstr("No such file or directory"));
  EXPECT_THROW(context.load_cert_chain(""), ValueError);
  context.load_verify_locations(folder.string());  // A folder, of hashed names.

  // SSLKEYLOGFILE, for those who debug.
  const std::string log = (folder / "keys.log").string();
  ::setenv("SSLKEYLOGFILE", log.c_str(), 1);
  const auto logged = [&]() -> Coroutine<> {
    const Contexts contexts;
    co_await connect(contexts.client, contexts.server);
  };
  run(logged());
  ::unsetenv("SSLKEYLOGFILE");
  std::stringstream text;
  text << std::ifstream(log).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("CLIENT_TRAFFIC_SECRET_0 "));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace aster::net_tests
