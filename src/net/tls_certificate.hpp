// SPDX-License-Identifier: MIT
#pragma once

#include <aster/net/tls.hpp>

#include <openssl/x509.h>

#include <vector>

namespace aster::inline v0::detail {

/// The value that stands for a certificate of OpenSSL's.
[[nodiscard]] SSLCertificate certificate_of(X509& cert);
/// The same for several; none for null.
[[nodiscard]] std::vector<SSLCertificate> certificates_of(STACK_OF(X509) * chain);

}  // namespace aster::inline v0::detail
