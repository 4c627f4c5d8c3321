// SPDX-License-Identifier: MIT
#include "support/certificates.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <iostream>

namespace aster::support {
namespace {

template <auto function>
struct FreeBy {
  template <class T>
  void operator()(T* object) const noexcept {
    function(object);
  }
};
using Cert = std::unique_ptr<X509, FreeBy<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, FreeBy<BIO_free>>;

void require(bool fine, const char* what) {
  if (fine) return;
  std::cerr << "certificates for tests: " << what << " failed\n";
  std::abort();
}

template <class Write>
std::string pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  require(write(bio.get()) == 1, "PEM_write_bio");
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

std::string pem_of(X509* cert) {
  return pem([&](BIO* bio) { return PEM_write_bio_X509(bio, cert); });
}
std::string pem_of(EVP_PKEY* key) {
  return pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

Key new_key(int rsa_bits) {
  Key key(rsa_bits > 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(rsa_bits))
                       : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  require(key != nullptr, "EVP_PKEY_Q_keygen");
  return key;
}

void add_extension(X509* cert, X509V3_CTX& context, int nid, const std::string& value) {
  if (value.empty()) return;
  X509_EXTENSION* const made = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(made != nullptr, value.c_str());
  X509_add_ext(cert, made, -1);
  X509_EXTENSION_free(made);
}

void add_raw_name(X509* cert, const std::string& name) {
  GENERAL_NAMES* const names = sk_GENERAL_NAME_new_null();
  GENERAL_NAME* const made = GENERAL_NAME_new();
  ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
  GENERAL_NAME_set0_value(made, GEN_DNS, text);
  sk_GENERAL_NAME_push(names, made);
  X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
  GENERAL_NAMES_free(names);
}

/// Signed by `issuer` with its key; both null: by itself.
Cert new_cert(const CertWish& wish, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
  static long serial = 1000;
  Cert cert(X509_new());
  X509_set_version(cert.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), wish.begins_in_days * 86400);
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), wish.ends_in_days * 86400);
  X509_set_pubkey(cert.get(), key);
  X509_NAME* const name = X509_get_subject_name(cert.get());
  X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("aster tests"), -1, -1, 0);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.common_name.data()),
                             static_cast<int>(wish.common_name.size()), -1, 0);
  X509* const above = issuer != nullptr ? issuer : cert.get();
  X509_set_issuer_name(cert.get(), X509_get_subject_name(above));
  X509V3_CTX context;
  X509V3_set_ctx(&context, above, cert.get(), nullptr, nullptr, 0);
  if (issuer == nullptr) X509V3_set_issuer_pkey(&context, key);
  std::string constraints = wish.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE";
  if (wish.path_length >= 0) constraints += ",pathlen:" + std::to_string(wish.path_length);
  add_extension(cert.get(), context, NID_basic_constraints, constraints);
  add_extension(cert.get(), context, NID_key_usage, "critical," + wish.key_usage);
  add_extension(cert.get(), context, NID_ext_key_usage, wish.extended_key_usage);
  add_extension(cert.get(), context, NID_subject_key_identifier, "hash");
  add_extension(cert.get(), context, NID_authority_key_identifier, "keyid:always");
  if (!wish.extra_nid.empty()) {
    add_extension(cert.get(), context, OBJ_txt2nid(wish.extra_nid.c_str()), wish.extra_value);
  }
  if (!wish.raw_dns_name.empty()) {
    add_raw_name(cert.get(), wish.raw_dns_name);
  } else {
    add_extension(cert.get(), context, NID_subject_alt_name, wish.alt_names);
  }
  EVP_PKEY* const signer = issuer_key != nullptr ? issuer_key : key;
  require(X509_sign(cert.get(), signer, EVP_get_digestbyname(wish.digest.c_str())) > 0, "sign");
  return cert;
}

}  // namespace

struct Authority::Impl {
  Key key;
  Cert cert;
  std::string text;
  std::string chain;  // It and those above, without the root.
};

CertWish Authority::authority_wish() {
  CertWish wish;
  wish.alt_names = "";
  wish.is_authority = true;
  wish.key_usage = "keyCertSign,cRLSign";
  wish.extended_key_usage = "";
  return wish;
}

Authority::Authority(const std::string& name, const CertWish& wish)
    : impl_(std::make_unique<Impl>()) {
  CertWish mine = wish;
  mine.common_name = name;
  impl_->key = new_key(mine.rsa_bits);
  impl_->cert = new_cert(mine, impl_->key.get(), nullptr, nullptr);
  impl_->text = pem_of(impl_->cert.get());
}

Authority::Authority(const Authority& above, const std::string& name, const CertWish& wish)
    : impl_(std::make_unique<Impl>()) {
  CertWish mine = wish;
  mine.common_name = name;
  impl_->key = new_key(mine.rsa_bits);
  impl_->cert = new_cert(mine, impl_->key.get(), above.impl_->cert.get(), above.impl_->key.get());
  impl_->text = pem_of(impl_->cert.get());
  impl_->chain = impl_->text + above.impl_->chain;
}

Authority::Authority(Authority&&) noexcept = default;
Authority::~Authority() = default;

const std::string& Authority::cert() const { return impl_->text; }

Certified Authority::issue(const CertWish& wish) const {
  const Key key = new_key(wish.rsa_bits);
  const Cert cert = new_cert(wish, key.get(), impl_->cert.get(), impl_->key.get());
  std::string text = pem_of(cert.get());
  std::string chain = text + impl_->chain;
  return {std::move(text), pem_of(key.get()), std::move(chain)};
}

Certified self_signed(const CertWish& wish) {
  const Key key = new_key(wish.rsa_bits);
  const Cert cert = new_cert(wish, key.get(), nullptr, nullptr);
  std::string text = pem_of(cert.get());
  return {text, pem_of(key.get()), text};
}

std::string Authority::revoke(const std::vector<std::string>& revoked, long ends_in_days) const {
  X509_CRL* const list = X509_CRL_new();
  X509_CRL_set_version(list, 1);
  X509_CRL_set_issuer_name(list, X509_get_subject_name(impl_->cert.get()));
  ASN1_TIME* const time = ASN1_TIME_new();
  X509_gmtime_adj(time, -86400L * 60);
  X509_CRL_set1_lastUpdate(list, time);
  X509_gmtime_adj(time, ends_in_days * 86400);
  X509_CRL_set1_nextUpdate(list, time);
  for (const std::string& text : revoked) {
    const Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
    const Cert cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    X509_REVOKED* const entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert.get()));
    X509_gmtime_adj(time, -86400L);
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(list, entry);
  }
  ASN1_TIME_free(time);
  X509V3_CTX context;
  X509V3_set_ctx(&context, impl_->cert.get(), nullptr, nullptr, list, 0);
  X509_EXTENSION* const id =
      X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always");
  X509_CRL_add_ext(list, id, -1);
  X509_EXTENSION_free(id);
  ASN1_INTEGER* const number = ASN1_INTEGER_new();
  ASN1_INTEGER_set(number, 1);
  X509_CRL_add1_ext_i2d(list, NID_crl_number, number, 0, 0);
  ASN1_INTEGER_free(number);
  require(X509_CRL_sign(list, impl_->key.get(), EVP_sha256()) > 0, "X509_CRL_sign");
  std::string text = pem([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list); });
  X509_CRL_free(list);
  return text;
}

std::string encrypted(const std::string& key, const std::string& password) {
  const Bio bio(BIO_new_mem_buf(key.data(), static_cast<int>(key.size())));
  const Key parsed(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  return pem([&](BIO* target) {
    return PEM_write_bio_PKCS8PrivateKey(target, parsed.get(), EVP_aes_256_cbc(), password.data(),
                                         static_cast<int>(password.size()), nullptr, nullptr);
  });
}

}  // namespace aster::support
