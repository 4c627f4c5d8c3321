// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/function.hpp>
#include <aster/base/time.hpp>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// TLS: the counterparts of what asyncio takes from Python's `ssl` module.
///
///     SSLContext ctx = create_default_context();
///     Connection c = co_await open_connection("example.org", 443, {.ssl = &ctx});
///
///     SSLContext srv{SSLPurpose::client_auth};
///     srv.load_cert_chain("cert.pem", "key.pem");
///     Server server = co_await start_server(handle, "", 443, {.ssl = &srv});
///
/// What is not said is safe: TLS 1.2 or later, the peer's chain and host name are
/// verified, no renegotiation, no compression, no early data. docs/tls.md has the rest.
namespace aster::inline v0 {

namespace detail {
class TlsContext;
class TlsEngine;
struct TlsSession;
}  // namespace detail

/// Whom a context authenticates, as Python's ssl.Purpose: a client's context servers, a
/// server's its clients.
enum class SSLPurpose : std::uint8_t {
  server_auth,  ///< For clients.
  client_auth,  ///< For servers.
};

/// What is asked of the peer's certificate.
enum class SSLVerify : std::uint8_t {
  none_i_accept_the_risk,           ///< Nothing: anybody may be at the other end.
  any_host_name_i_accept_the_risk,  ///< Clients: a trusted chain, of any host.
  optional,                         ///< Servers: a trusted one if there is any.
  required,                         ///< A trusted one; for clients, of the host.
};

/// A version of the protocol; older ones are not spoken.
enum class TLSVersion : std::uint8_t { TLSv1_2, TLSv1_3 };

/// What a peer has shown, as `SSLObject::getpeercert` gives it.
struct SSLCertificate {
  /// Attributes in order: {"countryName", "DE"}, {"commonName", "example.org"}.
  using Name = std::vector<std::pair<std::string, std::string>>;

  Name subject;
  Name issuer;
  /// Kind and value: {"DNS", "example.org"}, {"IP Address", "127.0.0.1"}.
  Name subject_alt_name;
  std::string serial_number;  ///< Hexadecimal.
  std::chrono::system_clock::time_point not_before;
  std::chrono::system_clock::time_point not_after;
  std::string der;  ///< All of it, as DER.
};

/// The cipher of a connection: "TLS_AES_256_GCM_SHA384", "TLSv1.3", 256.
struct SSLCipher {
  std::string name;
  std::string protocol;  ///< The version that brought it.
  int bits = 0;          ///< Of the key.
};

/// What a client needs to come back without a full handshake; a copyable handle. Used
/// only with the context and for the host name that it was made with; another
/// connection ignores it. The certificate it stands for is checked again.
///
///     SSLSession session = writer.ssl_object().session();
///     auto again = open_connection(host, 443, {.ssl = &ctx, .ssl_session = &session});
///
/// With TLS 1.3 a server hands it out behind the handshake: take it after a read.
class ASTER_API SSLSession {
 public:
  /// None.
  SSLSession() noexcept = default;
  /// Whether there is one, and the server lets it be used again.
  [[nodiscard]] bool is_resumable() const noexcept;
  explicit operator bool() const noexcept { return is_resumable(); }

 private:
  friend class SSLObject;
  friend class detail::TlsEngine;
  explicit SSLSession(std::shared_ptr<const detail::TlsSession> state) noexcept
      : state_(std::move(state)) {}
  std::shared_ptr<const detail::TlsSession> state_;
};

/// The TLS of a connection, for questions: what `writer.ssl_object()` and
/// `transport.ssl_object()` give. A handle, good also after the connection's end; for a
/// connection without TLS it is empty, and all members but the conversion to bool are a
/// precondition violation (checked). Thread rule: the loop's thread.
///
///     if (auto tls = writer.ssl_object()) log(tls.version(), tls.cipher().name);
class ASTER_API SSLObject {
 public:
  /// Of no TLS.
  SSLObject() noexcept = default;
  explicit operator bool() const noexcept { return engine_ != nullptr; }
  /// So that it reads as a pointer, too.
  const SSLObject* operator->() const noexcept { return this; }
  /// The same.
  const SSLObject& operator*() const noexcept { return *this; }

  /// "TLSv1.3"
  [[nodiscard]] std::string version() const;
  /// The cipher in use.
  [[nodiscard]] SSLCipher cipher() const;
  /// What both ends have agreed on; nothing when they have not.
  [[nodiscard]] std::optional<std::string> selected_alpn_protocol() const;
  /// The name that the client asked for or verified; "" when there was none.
  [[nodiscard]] std::string server_hostname() const;
  /// Always nothing: compression is off.
  [[nodiscard]] std::optional<std::string> compression() const;
  /// Whether this is the server's end.
  [[nodiscard]] bool server_side() const noexcept;

  /// The peer's certificate; nothing when it has shown none.
  [[nodiscard]] std::optional<SSLCertificate> getpeercert() const;
  /// The chain from the peer's certificate to the trusted one; empty without verification.
  [[nodiscard]] std::vector<SSLCertificate> get_verified_chain() const;
  /// The certificates as the peer has sent them.
  [[nodiscard]] std::vector<SSLCertificate> get_unverified_chain() const;

  /// For `.ssl_session` of a later connection; an empty one on servers.
  [[nodiscard]] SSLSession session() const;
  /// Whether an earlier session was taken up.
  [[nodiscard]] bool session_reused() const noexcept;

 private:
  friend class detail::TlsEngine;
  explicit SSLObject(std::shared_ptr<detail::TlsEngine> engine) noexcept
      : engine_(std::move(engine)) {}
  [[nodiscard]] detail::TlsEngine& engine() const noexcept;
  std::shared_ptr<detail::TlsEngine> engine_;
};

/// Keys, trust and rules for TLS connections: the counterpart of Python's
/// ssl.SSLContext. Movable; connections keep what they need of it, so it may go once the
/// call that it was given to has returned. Set it up first: what is changed later holds
/// for later connections. Then any number of loops in any threads may use it.
///
/// Bad keys and certificates are an SSLError, files that cannot be read a
/// `std::system_error`, impossible arguments a ValueError.
class ASTER_API SSLContext {
 public:
  /// Trusts nobody yet: see `create_default_context` and `load_verify_locations`.
  explicit SSLContext(SSLPurpose purpose = SSLPurpose::server_auth);
  SSLContext(SSLContext&&) noexcept;
  SSLContext& operator=(SSLContext&&) noexcept;
  SSLContext(const SSLContext&) = delete;
  SSLContext& operator=(const SSLContext&) = delete;
  ~SSLContext();

  /// Our own certificate, with its chain behind it, and its private key, both PEM; the
  /// key may be in the same file. `password` is for an encrypted key; nobody is asked.
  /// Several may be loaded when their keys are of different kinds.
  void load_cert_chain(std::string_view cert_file, std::string_view key_file = {},
                       std::string_view password = {});
  /// The same from memory.
  void load_cert_chain_pem(std::string_view cert, std::string_view key = {},
                           std::string_view password = {});

  /// Trusts the certificates of a PEM file, or of a folder with OpenSSL's hashed names. A
  /// server names them to its clients.
  void load_verify_locations(std::string_view path);
  /// Trusts the certificates of a PEM text.
  void load_verify_pem(std::string_view pem);
  /// Trusts what the system trusts.
  void set_default_verify_paths();
  /// Refuses what the PEM file's revocation lists name. From then on every peer's
  /// issuer needs a valid list; with `whole_chain` so does every issuer above.
  void load_crl(std::string_view path, bool whole_chain = false);
  /// The same from memory.
  void load_crl_pem(std::string_view pem, bool whole_chain = false);

  /// What is asked of the peer. At first clients have `required`, servers ask nothing.
  /// ValueError for `any_host_name_i_accept_the_risk` on servers.
  void set_verify(SSLVerify verify);
  /// What is asked of the peer.
  [[nodiscard]] SSLVerify verify() const noexcept;

  /// The protocols to speak over TLS, the best first: "h2", "http/1.1". A server picks
  /// its first that the client has, and refuses a client that offers others only.
  void set_alpn_protocols(std::span<const std::string_view> protocols);
  /// The same for a list in braces.
  void set_alpn_protocols(std::initializer_list<std::string_view> protocols) {
    set_alpn_protocols(std::span<const std::string_view>(protocols.begin(), protocols.size()));
  }

  /// The oldest version that is spoken; at first TLS 1.2.
  void set_minimum_version(TLSVersion version);
  /// The newest version that is spoken; at first the newest there is.
  void set_maximum_version(TLSVersion version);
  /// The ciphers of TLS 1.2, in OpenSSL's notation; SSLError when none is known.
  void set_ciphers(std::string_view ciphers);
  /// Those of TLS 1.3: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256".
  void set_ciphersuites(std::string_view ciphersuites);

  /// What `set_sni_callback` takes.
  using SniCallback = Function<const SSLContext*(std::string_view server_name)>;
  /// Is told the name that a client asks for ("" for none) before the server's certificate
  /// is chosen; gives the context whose certificate, ALPN list and demands hold, or null
  /// for this one. What it throws ends the handshake and goes to the exception handler.
  /// It is called from inside the loop: it must not wait. Where loops of several threads
  /// serve with the context, it may be called in all of them at once.
  void set_sni_callback(SniCallback callback);

  /// Whether a server hands out tickets by which clients come back; at first it does.
  void set_session_tickets(bool enabled);
  /// New keys for tickets; those of the former are taken once more, and replaced. Done
  /// by itself every 12 hours of use. Any thread.
  void rotate_ticket_keys();

 private:
  friend class detail::TlsContext;
  std::shared_ptr<detail::TlsContext> state_;
};

/// A context with the system's trust store: what to use for clients of the public
/// internet. The counterpart of ssl.create_default_context.
[[nodiscard]] ASTER_API SSLContext
create_default_context(SSLPurpose purpose = SSLPurpose::server_auth);

namespace detail {

/// What a call keeps of the context that it was given; empty for none.
class ASTER_API KeptTls {
 public:
  explicit KeptTls(const SSLContext* context);
  std::shared_ptr<TlsContext> context;
};

}  // namespace detail

/// Options of `EventLoop::start_tls` and `StreamWriter::start_tls`.
struct StartTlsOptions {
  /// `EventLoop::start_tls` only: this is the server's end. (A stream knows.)
  bool server_side = false;
  /// Clients: the name that the server's certificate must have.
  std::optional<std::string_view> server_hostname = {};
  /// How long the handshake may take; empty: 60 s.
  std::optional<Delay> ssl_handshake_timeout = {};
  /// How long the goodbye may take once the connection closes; empty: 30 s.
  std::optional<Delay> ssl_shutdown_timeout = {};
  /// Clients: an earlier session to take up.
  const SSLSession* ssl_session = nullptr;
};

}  // namespace aster::inline v0
