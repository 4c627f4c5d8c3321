// SPDX-License-Identifier: MIT
#pragma once

#include "net/tls_fixture.hpp"
#include "support/openssl_peer.hpp"

#include <memory>
#include <string>
#include <utility>

namespace aster::net_tests {

using support::OpenSslPeer;

/// An OpenSslPeer at the end of a plain stream.
class PeerLink {
 public:
  PeerLink(Connection link, const OpenSslPeer::Options& options)
      : link_(std::move(link)), peer_(options) {}

  OpenSslPeer& peer() { return peer_; }
  StreamWriter& writer() { return link_.writer; }
  void send(const std::string& bytes) {
    if (!bytes.empty()) link_.writer.write(bytes);
  }
  /// Receives and answers until `done()`, or the end; whether it was done.
  template <class Done>
  Coroutine<bool> until(Done done) {
    send(peer_.step());
    while (!done()) {
      auto reading = outcome(link_.reader.read(65536));
      auto piece = co_await std::move(reading);
      if (!piece.has_value() || piece.value().empty()) co_return done();
      send(peer_.step(piece.value()));
    }
    co_return true;
  }
  Coroutine<bool> established() {
    return until([this] { return peer_.is_established() || !peer_.error().empty(); });
  }
  /// What has come, without giving it to the peer.
  Coroutine<std::string> receive() {
    std::string piece = co_await link_.reader.read(65536);
    co_return piece;
  }
  /// Until the other end is gone.
  Coroutine<> drained() {
    auto receiving = until([] { return false; });
    co_await std::move(receiving);
  }

 private:
  Connection link_;
  OpenSslPeer peer_;
};

/// A plain listener whose connections an OpenSslPeer takes.
class PeerListening {
 public:
  explicit PeerListening(OpenSslPeer::Options options) : options_(std::move(options)) {}
  Coroutine<> start() { return listening_.start(); }
  Coroutine<std::shared_ptr<PeerLink>> accept() {
    Connection made = co_await listening_.accept();
    co_return std::make_shared<PeerLink>(std::move(made), options_);
  }
  Server& server() { return listening_.server(); }
  int port() { return listening_.port(); }

 private:
  OpenSslPeer::Options options_;
  Listening listening_;
};

inline constexpr int any_version = 0;

/// A client that is OpenSSL itself, before its handshake.
inline Coroutine<std::unique_ptr<PeerLink>> connect_peer(int port, int version = any_version) {
  auto connecting = open_connection("127.0.0.1", port);
  Connection plain = co_await std::move(connecting);
  OpenSslPeer::Options options;
  options.is_server = false;
  options.version = version;
  co_return std::make_unique<PeerLink>(std::move(plain), options);
}

}  // namespace aster::net_tests
