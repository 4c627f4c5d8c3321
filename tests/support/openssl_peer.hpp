// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/ssl.h>

#include <string>
#include <string_view>
#include <utility>

namespace aster::support {

/// The other end of a TLS connection, by OpenSSL alone, with whatever is asked for: it
/// refuses nothing by itself. It moves no bytes: it is given what was received, and gives
/// what is to be sent.
class OpenSslPeer {
 public:
  struct Options {
    bool is_server = true;
    std::string cert = {};  // With its chain; PEM.
    std::string key = {};
    int version = 0;  // TLS1_VERSION … TLS1_3_VERSION; 0: any.
    std::string ciphers = "ALL:@SECLEVEL=0";
    std::string server_name = {};  // Clients: asked for.
    std::string alpn = {};         // Clients: as on the wire.
    bool wants_cert = false;       // Servers: asks for one, and takes any.
  };

  explicit OpenSslPeer(const Options& options);
  OpenSslPeer(const OpenSslPeer&) = delete;
  OpenSslPeer& operator=(const OpenSslPeer&) = delete;
  ~OpenSslPeer();

  /// Takes what has come; what is to be sent.
  std::string step(std::string_view received = {});
  std::string write(std::string_view data);
  /// Says goodbye.
  std::string shutdown();
  /// New keys (TLS 1.3), for both directions.
  std::string update_keys();
  /// Asks for another handshake (TLS 1.2).
  std::string renegotiate();

  [[nodiscard]] bool is_established() const { return SSL_is_init_finished(ssl_) == 1; }
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// All that the other end has said.
  [[nodiscard]] const std::string& received() const { return received_; }
  [[nodiscard]] std::string take() { return std::exchange(received_, {}); }
  /// Why it has failed; "" when it has not.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] SSL* ssl() const { return ssl_; }

 private:
  std::string output();
  void note(int result);

  SSL_CTX* context_;
  SSL* ssl_;
  BIO* in_;
  BIO* out_;
  bool ended_ = false;
  std::string received_;
  std::string error_;
};

}  // namespace aster::support
