// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

/// Certificates for tests, made on the spot.
namespace aster::support {

/// A certificate and its key, as PEM.
struct Certified {
  std::string cert;
  std::string key;
  /// What a server loads: the certificate and those above it, without the root.
  std::string chain;
};

/// What a certificate is to be like; good for a server on this machine when nothing is said.
struct CertWish {
  std::string common_name = "localhost";
  /// In OpenSSL's notation; "" for none.
  std::string alt_names = "DNS:localhost,DNS:example.test,IP:127.0.0.1,IP:::1";
  /// A DNS name that may have any bytes, as the only alternative name.
  std::string raw_dns_name = {};
  long begins_in_days = -1;
  long ends_in_days = 30;
  bool is_authority = false;
  int path_length = -1;
  std::string key_usage = "digitalSignature,keyEncipherment";
  std::string extended_key_usage = "serverAuth,clientAuth";
  /// 0: a key on the curve P-256.
  int rsa_bits = 0;
  std::string digest = "SHA256";
  std::string extra_nid = {};    // One more extension: its name …
  std::string extra_value = {};  // … and value.
};

/// Signs certificates: a root, or below another authority.
class Authority {
 public:
  explicit Authority(const std::string& name = "Test Root",
                     const CertWish& wish = authority_wish());
  Authority(const Authority& above, const std::string& name,
            const CertWish& wish = authority_wish());
  Authority(Authority&&) noexcept;
  ~Authority();

  static CertWish authority_wish();

  /// Its own certificate, as PEM.
  [[nodiscard]] const std::string& cert() const;
  [[nodiscard]] Certified issue(const CertWish& wish = {}) const;
  /// A list that revokes `revoked`, as PEM.
  [[nodiscard]] std::string revoke(const std::vector<std::string>& revoked,
                                   long ends_in_days = 30) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A certificate that vouches for itself.
[[nodiscard]] Certified self_signed(const CertWish& wish = {});

/// `key`, which is PEM, encrypted.
[[nodiscard]] std::string encrypted(const std::string& key, const std::string& password);

}  // namespace aster::support
