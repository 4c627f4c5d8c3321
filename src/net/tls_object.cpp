// SPDX-License-Identifier: MIT
// The public faces: SSLContext, SSLObject, SSLSession.
#include "net/tls_certificate.hpp"
#include "net/tls_engine.hpp"

#include <aster/base/error.hpp>

#include <openssl/err.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace aster::inline v0 {
namespace detail {
namespace {

std::string read_file(const std::string& what, const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.is_open() || file.bad()) throw_system_error(errno != 0 ? errno : EIO, what);
  return text;
}

/// Forgets a text that held a key.
class Secret {
 public:
  explicit Secret(std::string text) noexcept : text_(std::move(text)) {}
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { OPENSSL_cleanse(text_.data(), text_.size()); }
  [[nodiscard]] std::string_view view() const noexcept { return text_; }

 private:
  std::string text_;
};

std::string subject(const char* call, std::string_view path) {
  return std::string(call) + " " + std::string(path);
}

int openssl_version(TLSVersion version) noexcept {
  return version == TLSVersion::TLSv1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

}  // namespace

KeptTls::KeptTls(const SSLContext* given)
    : context(given != nullptr ? TlsContext::of(*given) : nullptr) {}

}  // namespace detail

// SSLContext ------------------------------------------------------------------------

SSLContext::SSLContext(SSLPurpose purpose)
    : state_(std::make_shared<detail::TlsContext>(purpose)) {}
SSLContext::SSLContext(SSLContext&&) noexcept = default;
SSLContext& SSLContext::operator=(SSLContext&&) noexcept = default;
SSLContext::~SSLContext() = default;

SSLContext create_default_context(SSLPurpose purpose) {
  SSLContext context(purpose);
  context.set_default_verify_paths();
  return context;
}

void SSLContext::load_cert_chain(std::string_view cert_file, std::string_view key_file,
                                 std::string_view password) {
  if (cert_file.empty()) throw ValueError("load_cert_chain: no file is named");
  if (key_file.empty()) key_file = cert_file;
  const std::string cert_what = detail::subject("load_cert_chain", cert_file);
  const std::string key_what = detail::subject("load_cert_chain", key_file);
  const detail::Secret cert(detail::read_file(cert_what, std::string(cert_file)));
  const detail::Secret key(detail::read_file(key_what, std::string(key_file)));
  detail::TlsContext::of(*this)->use_cert(cert_what, cert.view(), key.view(), password);
}

void SSLContext::load_cert_chain_pem(std::string_view cert, std::string_view key,
                                     std::string_view password) {
  detail::TlsContext::of(*this)->use_cert("load_cert_chain_pem", cert, key.empty() ? cert : key,
                                          password);
}

void SSLContext::load_verify_locations(std::string_view path) {
  const std::string what = detail::subject("load_verify_locations", path);
  const std::string name(path);
  const auto& context = detail::TlsContext::of(*this);
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored)) return context->trust_folder(what, name);
  context->trust(what, detail::read_file(what, name), false);
}

void SSLContext::load_verify_pem(std::string_view pem) {
  detail::TlsContext::of(*this)->trust("load_verify_pem", pem, false);
}

void SSLContext::set_default_verify_paths() {
  ERR_clear_error();
  if (SSL_CTX_set_default_verify_paths(detail::TlsContext::of(*this)->get()) != 1) {
    detail::throw_tls_error("set_default_verify_paths");
  }
}

void SSLContext::load_crl(std::string_view path, bool whole_chain) {
  const std::string what = detail::subject("load_crl", path);
  const auto& context = detail::TlsContext::of(*this);
  context->trust(what, detail::read_file(what, std::string(path)), true);
  context->check_revocation(whole_chain);
}

void SSLContext::load_crl_pem(std::string_view pem, bool whole_chain) {
  const auto& context = detail::TlsContext::of(*this);
  context->trust("load_crl_pem", pem, true);
  context->check_revocation(whole_chain);
}

void SSLContext::set_verify(SSLVerify verify) { detail::TlsContext::of(*this)->set_verify(verify); }

SSLVerify SSLContext::verify() const noexcept {
  return state_ != nullptr ? state_->verify() : SSLVerify::required;
}

void SSLContext::set_alpn_protocols(std::span<const std::string_view> protocols) {
  std::string wire;
  for (const std::string_view protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      throw ValueError("set_alpn_protocols: a protocol's name has 1 to 255 bytes, not " +
                       std::to_string(protocol.size()));
    }
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  if (wire.size() > 65535) throw ValueError("set_alpn_protocols: more than 65535 bytes");
  detail::TlsContext::of(*this)->set_alpn(std::move(wire));
}

void SSLContext::set_minimum_version(TLSVersion version) {
  SSL_CTX_set_min_proto_version(detail::TlsContext::of(*this)->get(),
                                detail::openssl_version(version));
}

void SSLContext::set_maximum_version(TLSVersion version) {
  SSL_CTX_set_max_proto_version(detail::TlsContext::of(*this)->get(),
                                detail::openssl_version(version));
}

void SSLContext::set_ciphers(std::string_view ciphers) {
  ERR_clear_error();
  const std::string text(ciphers);
  if (SSL_CTX_set_cipher_list(detail::TlsContext::of(*this)->get(), text.c_str()) != 1) {
    detail::throw_tls_error("set_ciphers \"" + text + "\"");
  }
}

void SSLContext::set_ciphersuites(std::string_view ciphersuites) {
  ERR_clear_error();
  const std::string text(ciphersuites);
  if (SSL_CTX_set_ciphersuites(detail::TlsContext::of(*this)->get(), text.c_str()) != 1) {
    detail::throw_tls_error("set_ciphersuites \"" + text + "\"");
  }
}

void SSLContext::set_sni_callback(SniCallback callback) {
  const auto& context = detail::TlsContext::of(*this);
  if (!context->is_server()) throw ValueError("set_sni_callback: it is for servers");
  context->set_sni_callback(std::move(callback));
}

void SSLContext::set_session_tickets(bool enabled) {
  SSL_CTX* const context = detail::TlsContext::of(*this)->get();
  if (enabled) {
    SSL_CTX_clear_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 2);
  } else {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
}

void SSLContext::rotate_ticket_keys() { detail::TlsContext::of(*this)->rotate_ticket_keys(); }

// SSLSession ------------------------------------------------------------------------

bool SSLSession::is_resumable() const noexcept {
  return state_ != nullptr && SSL_SESSION_is_resumable(state_->session.get()) == 1;
}

// SSLObject -------------------------------------------------------------------------

detail::TlsEngine& SSLObject::engine() const noexcept {
  ASTER_REQUIRE(engine_ != nullptr, "this SSLObject is of a connection without TLS");
  return *engine_;
}

std::string SSLObject::version() const { return SSL_get_version(engine().ssl()); }

SSLCipher SSLObject::cipher() const {
  const SSL_CIPHER* const cipher = SSL_get_current_cipher(engine().ssl());
  if (cipher == nullptr) return {};
  return {SSL_CIPHER_get_name(cipher), SSL_CIPHER_get_version(cipher),
          SSL_CIPHER_get_bits(cipher, nullptr)};
}

std::optional<std::string> SSLObject::selected_alpn_protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(engine().ssl(), &name, &size);
  if (name == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(name), size);
}

std::string SSLObject::server_hostname() const { return engine().server_hostname(); }
std::optional<std::string> SSLObject::compression() const { return {}; }
bool SSLObject::server_side() const noexcept { return engine().is_server(); }

std::optional<SSLCertificate> SSLObject::getpeercert() const {
  X509* const cert = SSL_get0_peer_certificate(engine().ssl());
  if (cert == nullptr) return {};
  return detail::certificate_of(*cert);
}

std::vector<SSLCertificate> SSLObject::get_verified_chain() const {
  return detail::certificates_of(SSL_get0_verified_chain(engine().ssl()));
}

std::vector<SSLCertificate> SSLObject::get_unverified_chain() const {
  std::vector<SSLCertificate> chain =
      detail::certificates_of(SSL_get_peer_cert_chain(engine().ssl()));
  // On servers OpenSSL leaves the peer's own out.
  if (std::optional<SSLCertificate> own = getpeercert(); own && server_side()) {
    chain.insert(chain.begin(), std::move(*own));
  }
  return chain;
}

SSLSession SSLObject::session() const { return engine().session(); }
bool SSLObject::session_reused() const noexcept { return SSL_session_reused(engine().ssl()) == 1; }

}  // namespace aster::inline v0
