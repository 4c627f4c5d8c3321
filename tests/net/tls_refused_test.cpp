// SPDX-License-Identifier: MIT
// A client that is told nothing but whom to trust refuses every server that it should,
// with the right error, and has not said a word by then. The servers are OpenSSL's own,
// with all checks of their own turned off.
#include "net/tls_peer.hpp"

#include <functional>

#include <openssl/x509_vfy.h>

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

/// What a server shows, and what a client makes of it.
struct Bad {
  std::string name;
  std::function<OpenSslPeer::Options()> server;
  std::string host = "example.test";
  int code = 0;           // Of a SSLCertVerificationError; 0: an SSLError with …
  std::string text = {};  // … this in it.
  std::string crl = {};

  friend std::ostream& operator<<(std::ostream& out, const Bad& bad) { return out << bad.name; }
};

OpenSslPeer::Options shows(const Certified& cert) {
  OpenSslPeer::Options options;
  options.cert = cert.chain;
  options.key = cert.key;
  return options;
}

/// A certificate by the trusted root.
std::function<OpenSslPeer::Options()> issued(CertWish wish) {
  return [wish] { return shows(test_root().issue(wish)); };
}

std::function<OpenSslPeer::Options()> named(const std::string& alt_names) {
  return issued({.alt_names = alt_names});
}

std::function<OpenSslPeer::Options()> raw_named(const std::string& name) {
  return issued({.raw_dns_name = name});
}

/// One by an authority between the root and the server.
std::function<OpenSslPeer::Options()> below(CertWish authority, CertWish wish = {}) {
  return
      [authority, wish] { return shows(Authority(test_root(), "Between", authority).issue(wish)); };
}

template <class Change>
CertWish authority_with(Change change) {
  CertWish wish = Authority::authority_wish();
  change(wish);
  return wish;
}

/// The protocol is what is wrong.
std::function<OpenSslPeer::Options()> speaks(int version, const std::string& ciphers) {
  return [version, ciphers] {
    OpenSslPeer::Options options = shows(test_cert());
    options.version = version;
    options.ciphers = ciphers;
    return options;
  };
}

const Certified& revoked_cert() {
  static const Certified cert = test_root().issue();
  return cert;
}

std::vector<Bad> all_bad() {
  using std::string_literals::operator""s;
  const std::string all = "ALL:@SECLEVEL=0";
  return {
      {"SelfSigned", [] { return shows(support::self_signed()); }, "example.test",
       X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
      {"UnknownRoot", [] { return shows(Authority("Stranger").issue()); }, "example.test",
       X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
      {"UnknownRootShown",
       [] {
         const Authority stranger("Stranger");
         OpenSslPeer::Options options = shows(stranger.issue());
         options.cert += stranger.cert();
         return options;
       },
       "example.test", X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN},
      {"RootOfTheSameName", [] { return shows(Authority("Test Root").issue()); }, "example.test",
       X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
      {"Expired", issued({.ends_in_days = 0}), "example.test", X509_V_ERR_CERT_HAS_EXPIRED},
      {"NotYetValid", issued({.begins_in_days = 2}), "example.test", X509_V_ERR_CERT_NOT_YET_VALID},
      {"OtherHost", named("DNS:other.test"), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"SubdomainOnly", named("DNS:www.example.test"), "example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"ParentOnly", named("DNS:test"), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"OtherAddress", named("IP:127.0.0.2"), "127.0.0.1", X509_V_ERR_IP_ADDRESS_MISMATCH},
      {"OtherAddressOfSix", named("IP:127.0.0.1"), "::1", X509_V_ERR_IP_ADDRESS_MISMATCH},
      {"AddressAsName", named("DNS:127.0.0.1"), "127.0.0.1", X509_V_ERR_IP_ADDRESS_MISMATCH},
      {"AddressInsteadOfName", named("IP:127.0.0.1"), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"MailInsteadOfName", named("email:a@example.test"), "a.example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"CommonNameBesidesAlternatives",
       issued({.common_name = "example.test", .alt_names = "DNS:other.test"}), "example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"PartialWildcard", named("DNS:ex*.example.test"), "exa.example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"WildcardOfTwoLabels", named("DNS:*.example.test"), "a.b.example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"WildcardOfNoLabel", named("DNS:*.example.test"), "example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"WildcardOfTopLevel", named("DNS:*.test"), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"WildcardInside", named("DNS:www.*.test"), "www.example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"WildcardAlone", raw_named("*"), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"NulInName", raw_named("example.test\0.evil.test"s), "example.test",
       X509_V_ERR_HOSTNAME_MISMATCH},
      {"NulBehindName", raw_named("example.test\0"s), "example.test", X509_V_ERR_HOSTNAME_MISMATCH},
      {"ForClientsOnly", issued({.extended_key_usage = "clientAuth"}), "example.test",
       X509_V_ERR_INVALID_PURPOSE},
      {"WeakKey", issued({.rsa_bits = 1024}), "example.test", X509_V_ERR_EE_KEY_TOO_SMALL},
      {"WeakDigest", issued({.rsa_bits = 2048, .digest = "SHA1"}), "example.test",
       X509_V_ERR_CA_MD_TOO_WEAK},
      {"WeakAuthority", below(authority_with([](CertWish& wish) { wish.rsa_bits = 1024; })),
       "example.test", X509_V_ERR_CA_KEY_TOO_SMALL},
      {"ExpiredAuthority", below(authority_with([](CertWish& wish) { wish.ends_in_days = 0; })),
       "example.test", X509_V_ERR_CERT_HAS_EXPIRED},
      {"IssuerThatIsNoAuthority", below(authority_with([](CertWish& wish) {
         wish.is_authority = false;
         wish.key_usage = "digitalSignature";
       })),
       "example.test", X509_V_ERR_INVALID_CA},
      {"AuthorityThatMayNotSign",
       below(authority_with([](CertWish& wish) { wish.key_usage = "cRLSign"; })), "example.test",
       X509_V_ERR_INVALID_CA},
      {"ChainTooLong",
       [] {
         CertWish last = Authority::authority_wish();
         last.path_length = 0;
         const Authority between(test_root(), "Between", last);
         return shows(Authority(between, "Too far").issue());
       },
       "example.test", X509_V_ERR_PATH_LENGTH_EXCEEDED},
      {"ChainWithAHole",
       [] {
         const Certified cert = Authority(test_root(), "Between").issue();
         OpenSslPeer::Options options = shows(cert);
         options.cert = cert.cert;
         return options;
       },
       "example.test", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
      {"NameTheAuthorityMayNotGive", below(authority_with([](CertWish& wish) {
         wish.extra_nid = "nameConstraints";
         wish.extra_value = "critical,permitted;DNS:other.test";
       })),
       "example.test", X509_V_ERR_PERMITTED_VIOLATION},
      {"Revoked", [] { return shows(revoked_cert()); }, "example.test", X509_V_ERR_CERT_REVOKED, "",
       test_root().revoke({revoked_cert().cert})},
      {"RevocationListTooOld", [] { return shows(test_cert()); }, "example.test",
       X509_V_ERR_CRL_HAS_EXPIRED, "", test_root().revoke({}, -1)},
      {"NoRevocationListOfTheIssuer", below(Authority::authority_wish()), "example.test",
       X509_V_ERR_UNABLE_TO_GET_CRL, "", test_root().revoke({})},
      {"OldProtocol", speaks(TLS1_VERSION, all), "example.test", 0, "PROTOCOL_VERSION"},
      {"OldProtocolToo", speaks(TLS1_1_VERSION, all), "example.test", 0, "PROTOCOL_VERSION"},
      {"NoCipherInCommon", speaks(TLS1_2_VERSION, "AES128-SHA:@SECLEVEL=0"), "example.test", 0,
       "HANDSHAKE_FAILURE"},
      {"NoCipherAtAll", speaks(TLS1_2_VERSION, "eNULL:@SECLEVEL=0"), "example.test", 0,
       "HANDSHAKE_FAILURE"},
      {"AnonymousServer", speaks(TLS1_2_VERSION, "aNULL:@SECLEVEL=0"), "example.test", 0,
       "HANDSHAKE_FAILURE"},
  };
}

class TlsRefused : public ::testing::TestWithParam<Bad> {};
INSTANTIATE_TEST_SUITE_P(Servers, TlsRefused, ::testing::ValuesIn(all_bad()),
                         ::testing::PrintToStringParamName());

// TLS-1, TLS-7
TEST_P(TlsRefused, WithItsErrorAndWithoutAWord) {
  Net net;
  const Bad& bad = GetParam();
  const auto test = [&]() -> Coroutine<> {
    PeerListening listening(bad.server());
    co_await listening.start();
    SSLContext context = client_context();
    if (!bad.crl.empty()) context.load_crl_pem(bad.crl);
    auto connecting = create_task(open_connection("127.0.0.1", listening.port(),
                                                  {.ssl = &context, .server_hostname = bad.host}));
    const std::shared_ptr<PeerLink> link = co_await listening.accept();
    co_await link->drained();
    listening.server().close();

    const auto result = co_await outcome(std::move(connecting));
    EXPECT_EQ(link->peer().received(), "");
    if (result.has_value()) {
      ADD_FAILURE() << "connected";
      co_return;
    }
    try {
      std::rethrow_exception(result.exception());
    } catch (const SSLCertVerificationError& error) {
      EXPECT_EQ(error.verify_code(), bad.code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr("certificate verify failed: "));
      EXPECT_THAT(error.what(), HasSubstr(bad.host));
      EXPECT_EQ(error.reason(), "CERTIFICATE_VERIFY_FAILED");
    } catch (const SSLError& error) {
      EXPECT_EQ(bad.code, 0);
      EXPECT_THAT(std::string(error.reason()), HasSubstr(bad.text)) << error.what();
    }
  };
  net.run(test());
}

/// What is right is taken, or the cases above would prove little.
struct Good {
  std::string name;
  std::string alt_names;
  std::string host;

  friend std::ostream& operator<<(std::ostream& out, const Good& good) { return out << good.name; }
};

class TlsAccepted : public ::testing::TestWithParam<Good> {};
INSTANTIATE_TEST_SUITE_P(
    Servers, TlsAccepted,
    ::testing::Values(Good{"Name", "DNS:example.test", "example.test"},
                      Good{"NameInCapitals", "DNS:example.test", "EXAMPLE.Test"},
                      Good{"AbsoluteName", "DNS:example.test", "example.test."},
                      Good{"Wildcard", "DNS:*.example.test", "www.example.test"},
                      Good{"Address", "IP:127.0.0.1", "127.0.0.1"},
                      Good{"AddressOfSix", "IP:::1", "::1"},
                      Good{"AddressOfSixInFull", "IP:::1", "0:0:0:0:0:0:0:1"},
                      Good{"CommonNameAlone", "", "localhost"}),
    ::testing::PrintToStringParamName());

TEST_P(TlsAccepted, AndToldTheNameUnlessItIsAnAddress) {
  Net net;
  const auto test = [&]() -> Coroutine<> {
    PeerListening listening(named(GetParam().alt_names)());
    co_await listening.start();
    const SSLContext context = client_context();
    auto connecting = create_task(open_connection(
        "127.0.0.1", listening.port(), {.ssl = &context, .server_hostname = GetParam().host}));
    const std::shared_ptr<PeerLink> link = co_await listening.accept();
    const bool done = co_await link->established();
    EXPECT_TRUE(done);
    const char* const name = SSL_get_servername(link->peer().ssl(), TLSEXT_NAMETYPE_host_name);
    const bool is_address = GetParam().alt_names.starts_with("IP");
    EXPECT_EQ(name == nullptr, is_address);
    Connection made = co_await std::move(connecting);
    EXPECT_EQ(made.writer.ssl_object().getpeercert()->issuer.back().second, "Test Root");
    made.writer.abort();
    link->writer().close();
    listening.server().close();
  };
  net.run(test());
}

TEST(TlsRefusedServers, ThatDoNotSpeakTlsAtAll) {
  Net net;
  const auto test = []() -> Coroutine<> {
    Listening listening;
    co_await listening.start();
    const SSLContext context = client_context();
    auto connecting = create_task(open_connection(
        "127.0.0.1", listening.port(), {.ssl = &context, .server_hostname = "localhost"}));
    Connection server = co_await listening.accept();
    server.writer.write("220 welcome, this is something else\r\n");
    const std::string error = co_await error_of(std::move(connecting));
    EXPECT_THAT(error, HasSubstr("SSLError: TLS with localhost: wrong version number"));
    server.writer.close();
    listening.server().close();
  };
  net.run(test());
}

}  // namespace
}  // namespace aster::net_tests
