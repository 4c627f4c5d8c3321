// SPDX-License-Identifier: MIT
#pragma once

#include "net/tls_openssl.hpp"

#include <aster/base/time.hpp>
#include <aster/net/options.hpp>
#include <aster/net/tls.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

/// What an SSLContext is a handle on; connections share it.
class TlsContext {
 public:
  explicit TlsContext(SSLPurpose purpose);
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext();

  /// ValueError when `context`, which was moved from, is none any more.
  [[nodiscard]] static const std::shared_ptr<TlsContext>& of(const SSLContext& context);

  [[nodiscard]] SSL_CTX* get() const noexcept { return context_.get(); }
  [[nodiscard]] bool is_server() const noexcept { return purpose_ == SSLPurpose::client_auth; }
  [[nodiscard]] bool checks_host() const noexcept {
    return !is_server() && (verify_ == SSLVerify::required || verify_ == SSLVerify::optional);
  }
  [[nodiscard]] SSLVerify verify() const noexcept { return verify_; }
  /// The same as OpenSSL's mode.
  [[nodiscard]] int verify_mode() const noexcept;
  void set_verify(SSLVerify verify);

  void use_cert(const std::string& what, std::string_view cert, std::string_view key,
                std::string_view password);
  /// Trusts the certificates and takes the revocation lists of `pem`; one of the first or,
  /// with `of_crls`, of the second there must be.
  void trust(const std::string& what, std::string_view pem, bool of_crls);
  void trust_folder(const std::string& what, const std::string& path);
  void check_revocation(bool whole_chain) noexcept;

  void set_alpn(std::string wire);
  [[nodiscard]] const std::string& alpn() const noexcept { return alpn_; }
  void set_sni_callback(SSLContext::SniCallback callback) { sni_ = std::move(callback); }
  /// Null for no other context. Throws what the callback throws.
  [[nodiscard]] std::shared_ptr<TlsContext> context_for(std::string_view server_name);
  [[nodiscard]] bool has_sni_callback() const noexcept { return static_cast<bool>(sni_); }

  void rotate_ticket_keys();

  void write_key_log(const char* line) const noexcept;

 private:
  struct TicketKey {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
  };
  static int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, int is_new);
  int find_ticket_key(TimePoint now, unsigned char* name, bool is_new, TicketKey& found);
  void rotate(TimePoint now);
  void open_key_log();

  OwnedSslContext context_;
  SSLPurpose purpose_;
  SSLVerify verify_;
  std::string alpn_;  // As on the wire.
  SSLContext::SniCallback sni_;
  int key_log_ = -1;
  std::mutex ticket_mutex_;               // Guards the next three.
  std::array<TicketKey, 2> ticket_keys_;  // The present one and the former.
  TimePoint ticket_time_{};               // The loop's, when the present one was first used.
};

/// What a connection is to be made with.
struct TlsSetup {
  std::shared_ptr<TlsContext> context;
  bool server_side = false;
  std::string server_hostname;  // "" for none.
  bool has_name = false;        // It is a name, not an address: goes into SNI.
  std::shared_ptr<const TlsSession> session;
  Duration handshake_timeout = std::chrono::seconds(60);
  Duration shutdown_timeout = std::chrono::seconds(30);
};

/// The two ends' setups of a call's options; ValueError for what cannot be. `host` is
/// what was connected to, nothing when that is no name.
[[nodiscard]] TlsSetup client_tls(const char* call, const SSLContext& context,
                                  std::optional<std::string_view> host,
                                  const StartTlsOptions& options);
[[nodiscard]] TlsSetup server_tls(const char* call, std::shared_ptr<TlsContext> context,
                                  const StartTlsOptions& options);
/// ValueError for options of TLS without a context (CON-9).
void refuse_tls_options(const char* call, const StartTlsOptions& options);

/// The parts of a call's options that are of TLS.
template <class Options>
[[nodiscard]] StartTlsOptions tls_options(const Options& options) noexcept {
  StartTlsOptions made;
  made.ssl_handshake_timeout = options.ssl_handshake_timeout;
  made.ssl_shutdown_timeout = options.ssl_shutdown_timeout;
  if constexpr (requires { options.ssl_session; }) {
    made.server_hostname = options.server_hostname;
    made.ssl_session = options.ssl_session;
  }
  return made;
}

/// Of a call that connects: its TLS, if it is to have any.
template <class Options>
[[nodiscard]] std::optional<TlsSetup> client_tls(const char* call, const Options& options,
                                                 std::optional<std::string_view> host) {
  if (options.ssl != nullptr) return client_tls(call, *options.ssl, host, tls_options(options));
  refuse_tls_options(call, tls_options(options));
  return {};
}

/// Of a call that serves.
template <class Options>
[[nodiscard]] std::optional<TlsSetup> server_tls(const char* call,
                                                 std::shared_ptr<TlsContext> context,
                                                 const Options& options) {
  if (context != nullptr) return server_tls(call, std::move(context), tls_options(options));
  refuse_tls_options(call, tls_options(options));
  return {};
}

}  // namespace aster::inline v0::detail
