// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>

/// OpenSSL's objects and errors as C++ has them.
namespace aster::inline v0::detail {

template <auto function>
struct FreeBy {
  template <class T>
  void operator()(T* object) const noexcept {
    function(object);
  }
};

using OwnedBio = std::unique_ptr<BIO, FreeBy<BIO_free>>;
using OwnedCert = std::unique_ptr<X509, FreeBy<X509_free>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using OwnedSsl = std::unique_ptr<SSL, FreeBy<SSL_free>>;
using OwnedSslContext = std::unique_ptr<SSL_CTX, FreeBy<SSL_CTX_free>>;
using OwnedSession = std::unique_ptr<SSL_SESSION, FreeBy<SSL_SESSION_free>>;

/// What OpenSSL's error queue says as an SSLError "<what>: <reason>", or a
/// `std::bad_alloc`; empties the queue.
[[nodiscard]] std::exception_ptr tls_error(const std::string& what);
/// The same, thrown.
[[noreturn]] void throw_tls_error(const std::string& what);
/// A refused certificate: "<what>: certificate verify failed: <why>".
[[nodiscard]] std::exception_ptr cert_error(const std::string& what, long code);

/// A read-only BIO over `text`, which must outlive it.
[[nodiscard]] OwnedBio bio_over(std::string_view text);

}  // namespace aster::inline v0::detail
