// SPDX-License-Identifier: MIT
#include "net/tls_engine.hpp"

#include <aster/base/error.hpp>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace aster::inline v0::detail {

/// The BIO: reads what was given to the engine, writes to its output.
struct EngineBio {
  static int read(BIO* bio, char* target, std::size_t size, std::size_t* count) {
    auto& engine = *static_cast<TlsEngine*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *count = std::min(size, engine.input_.size());
    if (*count == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    std::memcpy(target, engine.input_.data(), *count);
    engine.input_.remove_prefix(*count);
    return 1;
  }

  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* count) {
    auto& engine = *static_cast<TlsEngine*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *count = size;
    if (engine.output_ == nullptr || engine.output_->send_sealed({data, size})) return 1;
    engine.is_full_ = true;
    *count = 0;
    return 0;
  }

  static long control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* const method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "aster");
      if (method == nullptr) throw std::bad_alloc();
      BIO_meth_set_read_ex(method, read);
      BIO_meth_set_write_ex(method, write);
      BIO_meth_set_ctrl(method, control);
      return method;
    }();
    return made;
  }
};

/// While OpenSSL runs; with an empty error queue at first.
class TlsEngine::Entry {
 public:
  explicit Entry(TlsEngine& engine) noexcept : engine_(engine) {
    ASTER_ASSERT(!engine.is_inside_);
    engine.is_inside_ = true;
    ERR_clear_error();
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() { engine_.is_inside_ = false; }

 private:
  TlsEngine& engine_;
};

TlsEngine::TlsEngine(const TlsSetup& setup, Output& output)
    : context_(setup.context),
      output_(&output),
      ssl_(SSL_new(setup.context->get())),
      server_hostname_(setup.server_hostname),
      is_server_(setup.server_side) {
  const bool has_ssl = ssl_ != nullptr && SSL_set_app_data(ssl_.get(), this) == 1;
  BIO* const bio = has_ssl ? BIO_new(EngineBio::method()) : nullptr;
  if (bio == nullptr) throw_tls_error("TLS");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (is_server_) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
    set_up_client(setup);
  }
}

TlsEngine::~TlsEngine() {
  // A session that was not said goodbye to is still good, unless it has failed.
  if (error_ == nullptr) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void TlsEngine::set_up_client(const TlsSetup& setup) {
  const char* const name = setup.server_hostname.c_str();
  X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl_.get());
  bool is_set = true;
  if (setup.has_name) {
    is_set = SSL_set_tlsext_host_name(ssl_.get(), name) == 1;
  }
  if (context_->checks_host()) {
    is_set = is_set && (setup.has_name ? X509_VERIFY_PARAM_set1_host(rules, name, 0)
                                       : X509_VERIFY_PARAM_set1_ip_asc(rules, name)) == 1;
  }
  if (is_set && setup.session != nullptr) {
    is_set = SSL_set_session(ssl_.get(), setup.session->session.get()) == 1;
  }
  if (!is_set) throw_tls_error("TLS: server_hostname \"" + setup.server_hostname + "\"");
}

TlsEngine& TlsEngine::of(const SSL* ssl) noexcept {
  return *static_cast<TlsEngine*>(SSL_get_app_data(ssl));
}

std::shared_ptr<const TlsSession> TlsEngine::usable_session(const SSLSession& session,
                                                            const TlsSetup& setup) {
  const bool is_ours = session && session.state_->context == setup.context &&
                       session.state_->server_hostname == setup.server_hostname;
  return is_ours ? session.state_ : nullptr;
}

SSLSession TlsEngine::session() {
  if (is_server_) return {};
  OwnedSession session(SSL_get1_session(ssl_.get()));
  if (session == nullptr) return {};
  return SSLSession(std::make_shared<const TlsSession>(
      TlsSession{std::move(session), context_, server_hostname_}));
}

std::string TlsEngine::subject() const {
  return is_server_ || server_hostname_.empty() ? "TLS" : "TLS with " + server_hostname_;
}

/// Notes what the error queue says.
void TlsEngine::fail() noexcept {
  if (error_ != nullptr) return;
  try {
    const unsigned long code = ERR_peek_last_error();
    const long verified = SSL_get_verify_result(ssl_.get());
    if (is_full_) {
      ERR_clear_error();
      error_ = std::make_exception_ptr(std::bad_alloc());
    } else if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
               ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      error_ = cert_error(subject(), verified);
    } else {
      error_ = tls_error(subject());
    }
  } catch (...) {
    error_ = std::current_exception();
  }
}

TlsEngine::Progress TlsEngine::handshake() noexcept {
  const Entry entry(*this);
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    const long verified = check_reused_cert();
    if (verified == X509_V_OK) return Progress::done;
    try {
      error_ = cert_error(subject(), verified);
    } catch (...) {
      error_ = std::current_exception();
    }
    return Progress::failed;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return Progress::more;
  fail();
  return Progress::failed;
}

/// OpenSSL does not look at the certificate of a session that is taken up again.
long TlsEngine::check_reused_cert() const noexcept {
  if (is_server_ || context_->verify() == SSLVerify::none_i_accept_the_risk) return X509_V_OK;
  const long verified = SSL_get_verify_result(ssl_.get());
  if (verified != X509_V_OK || SSL_session_reused(ssl_.get()) == 0) return verified;
  X509* const cert = SSL_get0_peer_certificate(ssl_.get());
  if (cert == nullptr) return X509_V_ERR_UNSPECIFIED;
  if (X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) return X509_V_ERR_CERT_HAS_EXPIRED;
  if (!context_->checks_host()) return X509_V_OK;
  const char* const name = server_hostname_.c_str();
  const bool fits = X509_check_ip_asc(cert, name, 0) == 1 ||
                    X509_check_host(cert, name, server_hostname_.size(),
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
  return fits ? X509_V_OK : X509_V_ERR_HOSTNAME_MISMATCH;
}

std::size_t TlsEngine::read(std::span<char> room) noexcept {
  const Entry entry(*this);
  std::size_t total = 0;
  while (total < room.size() && !ended_ && error_ == nullptr) {
    std::size_t count = 0;
    if (SSL_read_ex(ssl_.get(), room.data() + total, room.size() - total, &count) == 1) {
      total += count;
      continue;
    }
    const int why = SSL_get_error(ssl_.get(), 0);
    if (why == SSL_ERROR_WANT_READ) {
      // A ticket leaves a client with a buffer for an answer that it does not owe.
      static_cast<void>(SSL_free_buffers(ssl_.get()));
      break;
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
    } else {
      fail();
    }
  }
  return total;
}

bool TlsEngine::seal(std::string_view data) noexcept {
  const Entry entry(*this);
  std::size_t count = 0;
  if (error_ == nullptr && SSL_write_ex(ssl_.get(), data.data(), data.size(), &count) == 1) {
    return true;
  }
  fail();
  return false;
}

void TlsEngine::send_close() noexcept {
  if (error_ != nullptr) return;
  const Entry entry(*this);
  static_cast<void>(SSL_shutdown(ssl_.get()));
  ERR_clear_error();
}

/// TLS 1.3 takes a session up before a context is chosen, and then asks for no certificate. So
/// where one is asked for, the session must be of the same name: made under the same context.
bool TlsEngine::may_take_up_session(const TlsContext& context,
                                    std::string_view server_name) const noexcept {
  if (!context_->has_sni_callback() || context.verify_mode() == SSL_VERIFY_NONE) return true;
  if (SSL_session_reused(ssl_.get()) == 0) return true;
  const char* const made_for = SSL_SESSION_get0_hostname(SSL_get_session(ssl_.get()));
  return server_name == (made_for != nullptr ? made_for : "");
}

int TlsEngine::choose_context(std::string_view server_name, int& alert) noexcept {
  if (!is_server_) return SSL_TLSEXT_ERR_OK;
  try {
    if (server_hostname_.empty()) server_hostname_ = server_name;
    std::shared_ptr<TlsContext> other = context_->context_for(server_name);
    const bool is_other = other != nullptr && other != context_;
    if (!may_take_up_session(is_other ? *other : *context_, server_name)) {
      error_ = std::make_exception_ptr(
          SSLError(subject() + ": a session of another name, where a certificate is asked for"));
      alert = SSL_AD_ACCESS_DENIED;
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (!is_other) return SSL_TLSEXT_ERR_OK;
    if (SSL_set_SSL_CTX(ssl_.get(), other->get()) == nullptr) throw std::bad_alloc();
    SSL_set_verify(ssl_.get(), other->verify_mode(), nullptr);
    chosen_ = std::move(other);
    return SSL_TLSEXT_ERR_OK;
  } catch (...) {
    error_ = std::current_exception();
    callback_failed_ = true;
    alert = SSL_AD_INTERNAL_ERROR;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
}

}  // namespace aster::inline v0::detail
