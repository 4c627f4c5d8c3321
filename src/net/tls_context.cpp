// SPDX-License-Identifier: MIT
#include "net/tls_context.hpp"

#include "net/tls_engine.hpp"

#include <aster/base/error.hpp>
#include <aster/io/address.hpp>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace aster::inline v0::detail {
namespace {

constexpr Duration ticket_key_life = std::chrono::hours(12);

/// Gives OpenSSL the password it was given; nobody is asked.
int give_password(char* buffer, int size, int /*rwflag*/, void* given) {
  const auto& password = *static_cast<const std::string_view*>(given);
  if (password.empty() || password.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(buffer, password.data(), password.size());
  return static_cast<int>(password.size());
}

int select_alpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size,
                const unsigned char* offered, unsigned offered_size, void* context) {
  const std::string& ours = static_cast<TlsContext*>(context)->alpn();
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int choose_context(SSL* ssl, int* alert, void* /*context*/) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  return TlsEngine::of(ssl).choose_context(name != nullptr ? name : "", *alert);
}

void log_key(const SSL* ssl, const char* line) {
  static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->write_key_log(line);
}

using OwnedChain =
    std::unique_ptr<STACK_OF(X509),
                    decltype([](STACK_OF(X509) * chain) { sk_X509_pop_free(chain, X509_free); })>;
using OwnedInfos = std::unique_ptr<STACK_OF(X509_INFO), decltype([](STACK_OF(X509_INFO) * infos) {
                                     sk_X509_INFO_pop_free(infos, X509_INFO_free);
                                   })>;

}  // namespace

TlsContext::TlsContext(SSLPurpose purpose)
    : context_(SSL_CTX_new(TLS_method())),
      purpose_(purpose),
      verify_(is_server() ? SSLVerify::none_i_accept_the_risk : SSLVerify::required) {
  SSL_CTX* const context = context_.get();
  if (context == nullptr || SSL_CTX_set_app_data(context, this) != 1) {
    throw_tls_error("SSLContext");
  }
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_security_level(context, std::max(2, SSL_CTX_get_security_level(context)));
  SSL_CTX_set_options(
      context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  // An idle connection keeps no record buffers.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_set_verify(context, verify_mode(), nullptr);
  X509_VERIFY_PARAM* const rules = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_flags(
      rules, X509_V_FLAG_X509_STRICT | X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  unsigned char id[16];
  if (RAND_bytes(id, sizeof id) != 1) throw_tls_error("SSLContext");
  SSL_CTX_set_session_id_context(context, id, sizeof id);
  SSL_CTX_set_session_cache_mode(context, is_server() ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
  rotate(TimePoint{});
  rotate(TimePoint{});
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
  SSL_CTX_set_tlsext_servername_callback(context, choose_context);
  open_key_log();
}

TlsContext::~TlsContext() {
  if (key_log_ >= 0) ::close(key_log_);
  OPENSSL_cleanse(ticket_keys_.data(), sizeof ticket_keys_);
}

const std::shared_ptr<TlsContext>& TlsContext::of(const SSLContext& context) {
  if (context.state_ == nullptr) throw ValueError("this SSLContext was moved from");
  return context.state_;
}

int TlsContext::verify_mode() const noexcept {
  switch (verify_) {
    case SSLVerify::none_i_accept_the_risk:
      return SSL_VERIFY_NONE;
    case SSLVerify::optional:
      return SSL_VERIFY_PEER;
    default:
      return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
}

void TlsContext::set_verify(SSLVerify verify) {
  if (is_server() && verify == SSLVerify::any_host_name_i_accept_the_risk) {
    throw ValueError("set_verify: a server's clients have no host name: use SSLVerify::required");
  }
  verify_ = verify;
  SSL_CTX_set_verify(get(), verify_mode(), nullptr);
}

void TlsContext::use_cert(const std::string& what, std::string_view cert, std::string_view key,
                          std::string_view password) {
  ERR_clear_error();
  const OwnedBio certs = bio_over(cert);
  const OwnedCert own(PEM_read_bio_X509_AUX(certs.get(), nullptr, give_password, &password));
  if (own == nullptr) throw_tls_error(what + ": no certificate");
  const OwnedChain chain(sk_X509_new_null());
  while (X509* const next = PEM_read_bio_X509(certs.get(), nullptr, give_password, &password)) {
    if (sk_X509_push(chain.get(), next) == 0) {
      X509_free(next);
      throw std::bad_alloc();
    }
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    throw_tls_error(what + ": a certificate of the chain");
  }
  ERR_clear_error();
  const OwnedBio keys = bio_over(key);
  const OwnedKey own_key(PEM_read_bio_PrivateKey(keys.get(), nullptr, give_password, &password));
  if (own_key == nullptr) throw_tls_error(what + ": the private key");
  if (SSL_CTX_use_cert_and_key(get(), own.get(), own_key.get(), chain.get(), 1) != 1) {
    throw_tls_error(what);
  }
}

void TlsContext::trust(const std::string& what, std::string_view pem, bool of_crls) {
  ERR_clear_error();
  const OwnedBio bio = bio_over(pem);
  std::string_view no_password;
  const OwnedInfos infos(PEM_X509_INFO_read_bio(bio.get(), nullptr, give_password, &no_password));
  if (infos == nullptr) throw_tls_error(what);
  X509_STORE* const store = SSL_CTX_get_cert_store(get());
  bool found = false;
  for (int i = 0; i < sk_X509_INFO_num(infos.get()); ++i) {
    const X509_INFO& info = *sk_X509_INFO_value(infos.get(), i);
    if (info.x509 != nullptr) {
      // Reads its extensions now, while one thread has it, and not in some thread's handshake.
      static_cast<void>(X509_check_purpose(info.x509, -1, 0));
      if (X509_STORE_add_cert(store, info.x509) != 1) throw_tls_error(what);
      if (is_server() && SSL_CTX_add_client_CA(get(), info.x509) != 1) throw_tls_error(what);
    }
    if (info.crl != nullptr && X509_STORE_add_crl(store, info.crl) != 1) throw_tls_error(what);
    found = found || (of_crls ? info.crl != nullptr : info.x509 != nullptr);
  }
  ERR_clear_error();
  if (!found) {
    throw SSLError(what + (of_crls ? ": no revocation list" : ": no certificate") + " in PEM",
                   "NO_START_LINE");
  }
}

void TlsContext::trust_folder(const std::string& what, const std::string& path) {
  ERR_clear_error();
  if (SSL_CTX_load_verify_dir(get(), path.c_str()) != 1) throw_tls_error(what);
}

void TlsContext::check_revocation(bool whole_chain) noexcept {
  // Of the store: those of the context are not asked when it is chosen for a server's name.
  X509_STORE_set_flags(SSL_CTX_get_cert_store(get()),
                       X509_V_FLAG_CRL_CHECK | (whole_chain ? X509_V_FLAG_CRL_CHECK_ALL : 0UL));
}

void TlsContext::set_alpn(std::string wire) {
  if (is_server()) {
    SSL_CTX_set_alpn_select_cb(get(), wire.empty() ? nullptr : select_alpn, this);
  } else if (SSL_CTX_set_alpn_protos(get(), reinterpret_cast<const unsigned char*>(wire.data()),
                                     static_cast<unsigned>(wire.size())) != 0) {
    throw std::bad_alloc();
  }
  alpn_ = std::move(wire);
}

std::shared_ptr<TlsContext> TlsContext::context_for(std::string_view server_name) {
  if (!sni_) return nullptr;
  const SSLContext* const other = sni_(server_name);
  if (other == nullptr) return nullptr;
  const std::shared_ptr<TlsContext>& context = of(*other);
  if (!context->is_server()) {
    throw ValueError(
        "the SNI callback gave a context for clients: make it with "
        "SSLPurpose::client_auth");
  }
  return context;
}

// Tickets ---------------------------------------------------------------------------

void TlsContext::rotate(TimePoint now) {
  TicketKey made;
  if (RAND_bytes(made.name.data(), static_cast<int>(made.name.size())) != 1 ||
      RAND_priv_bytes(made.cipher.data(), static_cast<int>(made.cipher.size())) != 1 ||
      RAND_priv_bytes(made.mac.data(), static_cast<int>(made.mac.size())) != 1) {
    throw_tls_error("SSLContext: ticket keys");
  }
  ticket_keys_[1] = ticket_keys_[0];
  ticket_keys_[0] = made;
  ticket_time_ = now;
}

void TlsContext::rotate_ticket_keys() {
  const std::scoped_lock lock(ticket_mutex_);
  rotate(TimePoint{});
}

/// As OpenSSL's callback: 1, or 2 for a key that is not to be used any more; 0: unknown.
int TlsContext::find_ticket_key(TimePoint now, unsigned char* name, bool is_new, TicketKey& found) {
  const std::scoped_lock lock(ticket_mutex_);
  if (ticket_time_ == TimePoint{}) ticket_time_ = now;
  if (now - ticket_time_ >= ticket_key_life) rotate(now);
  found = ticket_keys_[0];
  if (is_new) {
    std::copy(found.name.begin(), found.name.end(), name);
    return 1;
  }
  for (const TicketKey& key : ticket_keys_) {
    if (!std::equal(key.name.begin(), key.name.end(), name)) continue;
    found = key;
    return &key == ticket_keys_.data() ? 1 : 2;
  }
  return 0;
}

int TlsContext::ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                           EVP_MAC_CTX* mac, int is_new) {
  TicketKey key;
  int answer = -1;
  try {
    const TlsEngine& engine = TlsEngine::of(ssl);
    answer = engine.context().find_ticket_key(engine.now(), name, is_new != 0, key);
  } catch (...) {  // No randomness.
    return -1;
  }
  if (answer <= 0) return answer;
  if (is_new != 0 && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  const bool is_set =
      EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
      EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.cipher.data(), iv, is_new) == 1;
  OPENSSL_cleanse(&key, sizeof key);
  if (!is_set) return -1;
  // With TLS 1.3 a ticket is used once: the client gets another.
  return is_new == 0 && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : answer;
}

// The key log -----------------------------------------------------------------------

/// For debugging by those who start the program: never for a privileged one.
void TlsContext::open_key_log() {
  const char* const path = ::secure_getenv("SSLKEYLOGFILE");
  if (path == nullptr || *path == '\0') return;
  key_log_ = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (key_log_ < 0) throw_system_error(errno, std::string("SSLKEYLOGFILE ") + path);
  SSL_CTX_set_keylog_callback(get(), log_key);
}

void TlsContext::write_key_log(const char* line) const noexcept {
  try {
    const std::string text = std::string(line) + '\n';
    // One call: several processes may write to the file.
    static_cast<void>(::write(key_log_, text.data(), text.size()) < 0);
  } catch (const std::bad_alloc&) {  // A line is missing in a file for debugging.
    return;
  }
}

// Setups ------------------------------------------------------------------------------

namespace {

Duration checked_timeout(const char* call, const char* name, const std::optional<Delay>& given,
                         Duration otherwise) {
  if (!given) return otherwise;
  const Duration time = given->checked(call);
  if (time > Duration::zero()) return time;
  throw ValueError(std::string(call) + ": " + name + " should be a positive number");
}

void set_timeouts(const char* call, const StartTlsOptions& options, TlsSetup& setup) {
  setup.handshake_timeout = checked_timeout(call, "ssl_handshake_timeout",
                                            options.ssl_handshake_timeout, setup.handshake_timeout);
  setup.shutdown_timeout = checked_timeout(call, "ssl_shutdown_timeout",
                                           options.ssl_shutdown_timeout, setup.shutdown_timeout);
}

/// Notes the name to be asked for and verified, in the form certificates have it.
void set_name(const char* call, std::string_view name, TlsSetup& setup) {
  const auto refuse = [&](const char* why) {
    throw ValueError(std::string(call) + ": server_hostname \"" + std::string(name) + "\" " + why);
  };
  if (std::optional<Address> address = Address::try_parse(std::string(name), 1)) {
    setup.server_hostname = name.substr(0, name.find('%'));
    return;
  }
  setup.has_name = !name.empty();
  if (name.size() > 1 && name.back() == '.') name.remove_suffix(1);  // Absolute, as in DNS.
  if (name.size() > 253) refuse("is too long");
  if (name.starts_with('.')) refuse("must not begin with a dot");
  for (const char letter : name) {
    if (letter <= ' ' || letter == '\x7f') {
      refuse("has a character that no name has; international names are given as \"xn--...\"");
    }
  }
  setup.server_hostname = name;
}

}  // namespace

TlsSetup client_tls(const char* call, const SSLContext& context,
                    std::optional<std::string_view> host, const StartTlsOptions& options) {
  TlsSetup setup;
  setup.context = TlsContext::of(context);
  if (setup.context->is_server()) {
    throw ValueError(std::string(call) +
                     ": an SSLContext for servers (client_auth) cannot connect");
  }
  set_timeouts(call, options, setup);
  if (!options.server_hostname && !host) {
    throw ValueError(std::string(call) + ": ssl needs a server_hostname here, as there is no host");
  }
  set_name(call, options.server_hostname.value_or(host.value_or("")), setup);
  if (setup.server_hostname.empty() && setup.context->checks_host()) {
    throw ValueError(std::string(call) +
                     ": server_hostname is empty, but the context verifies it (see "
                     "SSLVerify::any_host_name_i_accept_the_risk)");
  }
  if (options.ssl_session != nullptr) {
    setup.session = TlsEngine::usable_session(*options.ssl_session, setup);
  }
  return setup;
}

TlsSetup server_tls(const char* call, std::shared_ptr<TlsContext> context,
                    const StartTlsOptions& options) {
  TlsSetup setup;
  setup.context = std::move(context);
  setup.server_side = true;
  if (!setup.context->is_server()) {
    throw ValueError(std::string(call) +
                     ": an SSLContext for clients cannot serve: make it with "
                     "SSLPurpose::client_auth");
  }
  if (SSL_CTX_get0_certificate(setup.context->get()) == nullptr &&
      !setup.context->has_sni_callback()) {
    throw ValueError(std::string(call) + ": the SSLContext has no certificate (load_cert_chain)");
  }
  if (options.server_hostname) {
    throw ValueError(std::string(call) + ": server_hostname is for clients");
  }
  set_timeouts(call, options, setup);
  return setup;
}

void refuse_tls_options(const char* call, const StartTlsOptions& options) {
  const char* name = nullptr;
  if (options.server_hostname) name = "server_hostname";
  if (options.ssl_handshake_timeout) name = "ssl_handshake_timeout";
  if (options.ssl_shutdown_timeout) name = "ssl_shutdown_timeout";
  if (options.ssl_session != nullptr) name = "ssl_session";
  if (name != nullptr)
    throw ValueError(std::string(call) + ": " + name + " is only meaningful with ssl");
}

}  // namespace aster::inline v0::detail
