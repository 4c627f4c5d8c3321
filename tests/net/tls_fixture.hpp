// SPDX-License-Identifier: MIT
#pragma once

#include "net/net_fixture.hpp"
#include "support/certificates.hpp"

#include <optional>
#include <string>
#include <utility>

namespace aster::net_tests {

using support::Authority;
using support::Certified;
using support::CertWish;

/// The root that the clients of these tests trust; made once.
inline const Authority& test_root() {
  static const Authority root;
  return root;
}

/// What the servers of these tests show, of localhost, 127.0.0.1 and example.test.
inline const Certified& test_cert() {
  static const Certified cert = test_root().issue();
  return cert;
}

inline SSLContext client_context() {
  SSLContext context;
  context.load_verify_pem(test_root().cert());
  return context;
}

inline SSLContext server_context(const Certified& cert = test_cert()) {
  SSLContext context{SSLPurpose::client_auth};
  context.load_cert_chain_pem(cert.chain, cert.key);
  return context;
}

/// Both, for one version of the protocol only.
struct Contexts {
  explicit Contexts(std::optional<TLSVersion> version = {}) {
    if (!version) return;
    for (SSLContext* context : {&client, &server}) {
      context->set_minimum_version(*version);
      context->set_maximum_version(*version);
    }
  }
  SSLContext client = client_context();
  SSLContext server = server_context();
};

/// A server that hands out the connections it accepts, by TLS.
class TlsListening {
 public:
  explicit TlsListening(const SSLContext& context, ServerOptions options = {}) : options_(options) {
    options_.ssl = &context;
  }
  Coroutine<> start() {
    auto starting = start_server(
        [this](StreamReader reader, StreamWriter writer) {
          accepted_.put_nowait(std::make_shared<Connection>(std::move(reader), std::move(writer)));
        },
        "127.0.0.1", 0, options_);
    Server made = co_await std::move(starting);
    server_.push_back(std::move(made));
  }
  Coroutine<Connection> accept() {
    std::shared_ptr<Connection> next = co_await accepted_.get();
    co_return std::move(*next);
  }
  [[nodiscard]] std::size_t waiting() const { return accepted_.qsize(); }
  Server& server() { return server_.front(); }
  int port() { return server().sockets().front().getsockname().port(); }

 private:
  ServerOptions options_;
  std::vector<Server> server_;
  Queue<std::shared_ptr<Connection>> accepted_;
};

/// Connects two streams by TLS; `options.ssl` is set here.
inline Coroutine<Pair> tls_pair(const SSLContext& client, const SSLContext& server,
                                ConnectOptions options = {}, ServerOptions serving = {}) {
  TlsListening listening(server, serving);
  co_await listening.start();
  options.ssl = &client;
  auto connecting = open_connection("127.0.0.1", listening.port(), options);
  Connection made = co_await std::move(connecting);
  Connection accepted = co_await listening.accept();
  listening.server().close();
  co_return Pair(std::move(made), std::move(accepted));
}

/// Closes both ends and waits; the errors of the client's and the server's end.
inline Coroutine<std::pair<std::string, std::string>> close_pair(Pair& pair) {
  pair.client.writer.close();
  pair.server.writer.close();
  std::string client = co_await error_of(detail::as_coroutine(pair.client.writer.wait_closed()));
  std::string server = co_await error_of(detail::as_coroutine(pair.server.writer.wait_closed()));
  co_return std::pair(std::move(client), std::move(server));
}

inline std::string version_name(const ::testing::TestParamInfo<TLSVersion>& info) {
  return info.param == TLSVersion::TLSv1_2 ? "tls12" : "tls13";
}

}  // namespace aster::net_tests
