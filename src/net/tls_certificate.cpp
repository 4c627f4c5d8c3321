// SPDX-License-Identifier: MIT
#include "net/tls_certificate.hpp"

#include "net/tls_openssl.hpp"

#include <aster/base/error.hpp>
#include <aster/io/address.hpp>

#include <openssl/bn.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <ctime>
#include <memory>

namespace aster::inline v0::detail {
namespace {

struct FreeText {
  void operator()(void* text) const noexcept { OPENSSL_free(text); }
};
template <class Char>
using OwnedText = std::unique_ptr<Char, FreeText>;

std::string text_of(const ASN1_STRING* string) {
  unsigned char* bytes = nullptr;
  const int size = ASN1_STRING_to_UTF8(&bytes, string);
  if (size < 0) return {};
  const OwnedText<unsigned char> owned(bytes);
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

SSLCertificate::Name name_of(const X509_NAME* name) {
  SSLCertificate::Name made;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* const entry = X509_NAME_get_entry(name, i);
    char kind[80];
    OBJ_obj2txt(kind, sizeof kind, X509_NAME_ENTRY_get_object(entry), 0);
    made.emplace_back(kind, text_of(X509_NAME_ENTRY_get_data(entry)));
  }
  return made;
}

std::string ip_of(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(bytes);
  if (size == 4 || size == 16) {
    ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof text);
  }
  return text;
}

SSLCertificate::Name alt_names_of(X509& cert) {
  using OwnedNames = std::unique_ptr<GENERAL_NAMES, FreeBy<GENERAL_NAMES_free>>;
  SSLCertificate::Name made;
  const OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&cert, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int kind = 0;
    void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &kind);
    if (kind == GEN_DNS) made.emplace_back("DNS", text_of(static_cast<ASN1_STRING*>(value)));
    if (kind == GEN_EMAIL) made.emplace_back("email", text_of(static_cast<ASN1_STRING*>(value)));
    if (kind == GEN_URI) made.emplace_back("URI", text_of(static_cast<ASN1_STRING*>(value)));
    if (kind == GEN_IPADD) {
      made.emplace_back("IP Address", ip_of(static_cast<ASN1_OCTET_STRING*>(value)));
    }
  }
  return made;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  const std::chrono::sys_days day = std::chrono::year(parts.tm_year + 1900) /
                                    std::chrono::month(static_cast<unsigned>(parts.tm_mon) + 1) /
                                    std::chrono::day(static_cast<unsigned>(parts.tm_mday));
  return day + std::chrono::hours(parts.tm_hour) + std::chrono::minutes(parts.tm_min) +
         std::chrono::seconds(parts.tm_sec);
}

std::string serial_of(const X509& cert) {
  using OwnedNumber = std::unique_ptr<BIGNUM, FreeBy<BN_free>>;
  const OwnedNumber number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(&cert), nullptr));
  const OwnedText<char> digits(number != nullptr ? BN_bn2hex(number.get()) : nullptr);
  if (digits == nullptr) throw std::bad_alloc();
  return digits.get();
}

}  // namespace

SSLCertificate certificate_of(X509& cert) {
  SSLCertificate made;
  made.subject = name_of(X509_get_subject_name(&cert));
  made.issuer = name_of(X509_get_issuer_name(&cert));
  made.subject_alt_name = alt_names_of(cert);
  made.serial_number = serial_of(cert);
  made.not_before = time_of(X509_get0_notBefore(&cert));
  made.not_after = time_of(X509_get0_notAfter(&cert));
  const int size = i2d_X509(&cert, nullptr);
  if (size < 0) throw_tls_error("getpeercert");
  made.der.resize(static_cast<std::size_t>(size));
  auto* bytes = reinterpret_cast<unsigned char*>(made.der.data());
  i2d_X509(&cert, &bytes);
  return made;
}

std::vector<SSLCertificate> certificates_of(STACK_OF(X509) * chain) {
  std::vector<SSLCertificate> made;
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
    made.push_back(certificate_of(*sk_X509_value(chain, i)));
  }
  return made;
}

}  // namespace aster::inline v0::detail
