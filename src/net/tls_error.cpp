// SPDX-License-Identifier: MIT
#include "net/tls_openssl.hpp"

#include <aster/base/error.hpp>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cctype>
#include <limits>

namespace aster::inline v0::detail {
namespace {

/// "wrong version number" as Python and OpenSSL's headers spell it.
std::string as_name(std::string text) {
  for (char& letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    letter = std::isalnum(byte) != 0 ? static_cast<char>(std::toupper(byte)) : '_';
  }
  return text;
}

}  // namespace

std::exception_ptr tls_error(const std::string& what) {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
    return std::make_exception_ptr(std::bad_alloc());
  }
  const char* const known = code != 0 ? ERR_reason_error_string(code) : nullptr;
  const std::string reason = known != nullptr ? known : "unknown error";
  return std::make_exception_ptr(SSLError(what + ": " + reason, as_name(reason)));
}

void throw_tls_error(const std::string& what) { std::rethrow_exception(tls_error(what)); }

std::exception_ptr cert_error(const std::string& what, long code) {
  ERR_clear_error();
  const char* const why = X509_verify_cert_error_string(code);
  return std::make_exception_ptr(SSLCertVerificationError(
      what + ": certificate verify failed: " + why, static_cast<int>(code), why));
}

OwnedBio bio_over(std::string_view text) {
  const auto size = std::min<std::size_t>(text.size(), std::numeric_limits<int>::max());
  OwnedBio bio(BIO_new_mem_buf(text.data(), static_cast<int>(size)));
  if (bio == nullptr) throw std::bad_alloc();
  return bio;
}

}  // namespace aster::inline v0::detail
