// SPDX-License-Identifier: MIT
#include "support/openssl_peer.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

namespace aster::support {
namespace {

void use(SSL_CTX* context, const std::string& chain, const std::string& key) {
  BIO* bio = BIO_new_mem_buf(chain.data(), static_cast<int>(chain.size()));
  X509* cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, cert);
  X509_free(cert);
  while ((cert = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) != nullptr) {
    SSL_CTX_add0_chain_cert(context, cert);
  }
  BIO_free(bio);
  bio = BIO_new_mem_buf(key.data(), static_cast<int>(key.size()));
  EVP_PKEY* const own = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_PrivateKey(context, own);
  EVP_PKEY_free(own);
  BIO_free(bio);
  ERR_clear_error();
}

}  // namespace

OpenSslPeer::OpenSslPeer(const Options& options)
    : context_(SSL_CTX_new(TLS_method())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
  SSL_CTX_set_min_proto_version(context_, options.version);
  SSL_CTX_set_max_proto_version(context_, options.version);
  SSL_CTX_set_security_level(context_, 0);
  SSL_CTX_set_cipher_list(context_, options.ciphers.c_str());
  SSL_CTX_set_options(context_, SSL_OP_LEGACY_SERVER_CONNECT);
  if (options.wants_cert) {
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  }
  if (!options.cert.empty()) use(context_, options.cert, options.key);
  ssl_ = SSL_new(context_);
  SSL_set_bio(ssl_, in_, out_);
  BIO_set_mem_eof_return(in_, -1);
  if (!options.server_name.empty()) SSL_set_tlsext_host_name(ssl_, options.server_name.c_str());
  if (!options.alpn.empty()) {
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                        static_cast<unsigned>(options.alpn.size()));
  }
  if (options.is_server) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
}

OpenSslPeer::~OpenSslPeer() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  ERR_clear_error();
}

std::string OpenSslPeer::output() {
  std::string bytes;
  char piece[4096];
  int count = 0;
  while ((count = BIO_read(out_, piece, sizeof piece)) > 0) {
    bytes.append(piece, static_cast<std::size_t>(count));
  }
  return bytes;
}

void OpenSslPeer::note(int result) {
  const int why = SSL_get_error(ssl_, result);
  if (why == SSL_ERROR_ZERO_RETURN) ended_ = true;
  if (why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL) {
    const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
    if (error_.empty()) error_ = reason != nullptr ? reason : "failed";
  }
  ERR_clear_error();
}

std::string OpenSslPeer::step(std::string_view received) {
  if (!received.empty()) BIO_write(in_, received.data(), static_cast<int>(received.size()));
  ERR_clear_error();
  if (!is_established()) {
    const int result = SSL_do_handshake(ssl_);
    if (result != 1) {
      note(result);
      return output();
    }
  }
  char piece[4096];
  int count = 0;
  while ((count = SSL_read(ssl_, piece, sizeof piece)) > 0) {
    received_.append(piece, static_cast<std::size_t>(count));
  }
  note(count);
  return output();
}

std::string OpenSslPeer::write(std::string_view data) {
  if (!data.empty()) SSL_write(ssl_, data.data(), static_cast<int>(data.size()));
  return output();
}

std::string OpenSslPeer::shutdown() {
  SSL_shutdown(ssl_);
  return output();
}

std::string OpenSslPeer::update_keys() {
  SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
  SSL_do_handshake(ssl_);
  return output();
}

std::string OpenSslPeer::renegotiate() {
  SSL_renegotiate(ssl_);
  SSL_do_handshake(ssl_);
  return output();
}

}  // namespace aster::support
