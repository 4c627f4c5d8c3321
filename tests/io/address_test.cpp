// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/io/address.hpp>

#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>

namespace aster {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// The text of the ValueError that `make` throws; "" when it throws none.
template <class Make>
std::string value_error(Make make) {
  try {
    static_cast<void>(make());
  } catch (const ValueError& error) {
    return error.what();
  }
  return "";
}

TEST(Address, HoldsAnIpv4AddressInTheSystemsForm) {
  const Address address{"127.0.0.1", 80};

  sockaddr_in native{};
  ASSERT_EQ(address.size(), sizeof native);
  std::memcpy(&native, address.data(), sizeof native);
  EXPECT_EQ(native.sin_family, AF_INET);
  EXPECT_EQ(native.sin_port, htons(80));
  EXPECT_EQ(native.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

TEST(Address, TakesItsPartsBackOut) {
  const Address v4{"10.1.2.3", 65535};
  EXPECT_EQ(v4.family(), AF_INET);
  EXPECT_TRUE(v4.is_ip());
  EXPECT_EQ(v4.host(), "10.1.2.3");
  EXPECT_EQ(v4.port(), 65535);
  EXPECT_EQ(v4.scope_id(), 0u);
  EXPECT_EQ(v4.path(), "");
  EXPECT_EQ(v4.str(), "10.1.2.3:65535");

  const Address v6{"::1", 80};
  EXPECT_EQ(v6.family(), AF_INET6);
  EXPECT_EQ(v6.host(), "::1");
  EXPECT_EQ(v6.str(), "[::1]:80");
}

TEST(Address, TakesAScopeByNumberAndByName) {
  const Address numbered{"fe80::1%7", 80};
  EXPECT_EQ(numbered.scope_id(), 7u);
  EXPECT_EQ(numbered.host(), "fe80::1");
  EXPECT_EQ(numbered.str(), "[fe80::1%7]:80");

  const unsigned loopback = ::if_nametoindex("lo");
  if (loopback == 0) GTEST_SKIP() << "no interface named lo";
  EXPECT_EQ(Address("fe80::1%lo", 80).scope_id(), loopback);
}

TEST(Address, RefusesWhatIsNoNumericAddressAndQuotesIt) {
  for (std::string_view host :
       {""sv, "localhost"sv, "127.0.0"sv, "127.0.0.1.1"sv, "256.0.0.1"sv, " 127.0.0.1"sv, "[::1]"sv,
        ":::"sv, "::1%"sv, "fe80::1%no-such-interface"sv, "127.0.0.1%1"sv, "127.0.0.1\0"sv,
        "127.0.0.1\0x"sv, "::1%1\0"sv}) {
    EXPECT_FALSE(Address::try_parse(host, 0)) << host;
    EXPECT_NE(value_error([&] { return Address(host, 0); }), "") << host;
  }

  EXPECT_EQ(value_error([] { return Address("localhost", 0); }),
            "'localhost' is not a numeric IPv4 or IPv6 address");
  const std::string huge(100000, '1');
  EXPECT_LT(value_error([&] { return Address(huge, 0); }).size(), 200u);
}

TEST(Address, RefusesAnImpossiblePortAndNamesIt) {
  EXPECT_EQ(value_error([] { return Address("127.0.0.1", 70000); }),
            "port must be 0 to 65535, not 70000");
  EXPECT_EQ(value_error([] { return Address("127.0.0.1", -1); }),
            "port must be 0 to 65535, not -1");
  EXPECT_NE(value_error([] { return Address::try_parse("not an address", 65536); }), "");
}

TEST(Address, HoldsAUnixPath) {
  const Address address = Address::unix_path("/run/app.sock");

  EXPECT_EQ(address.family(), AF_UNIX);
  EXPECT_FALSE(address.is_ip());
  EXPECT_EQ(address.path(), "/run/app.sock");
  EXPECT_EQ(address.str(), "/run/app.sock");
  EXPECT_EQ(address.host(), "");
  EXPECT_EQ(address.port(), 0);
  EXPECT_EQ(address.size(), offsetof(sockaddr_un, sun_path) + 14);
}

TEST(Address, HoldsAnAbstractName) {
  const Address address = Address::unix_path("\0a\0b"sv);

  EXPECT_EQ(address.path(), "\0a\0b"s);
  EXPECT_EQ(address.str(), "@a@b");
  EXPECT_EQ(address.size(), offsetof(sockaddr_un, sun_path) + 4);
}

TEST(Address, ChecksTheLengthOfAPath) {
  EXPECT_EQ(Address::unix_path(std::string(107, 'x')).path().size(), 107u);
  EXPECT_EQ(Address::unix_path('\0' + std::string(107, 'x')).path().size(), 108u);

  EXPECT_NE(value_error([] { return Address::unix_path(std::string(108, 'x')); }), "");
  EXPECT_NE(value_error([] { return Address::unix_path('\0' + std::string(108, 'x')); }), "");
  EXPECT_NE(value_error([] { return Address::unix_path(""); }), "");
  EXPECT_NE(value_error([] { return Address::unix_path("/a\0b"sv); }), "");
}

TEST(Address, DropsBytesWithoutMeaningFromANativeAddress) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(80);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::memset(v4.sin_zero, 'x', sizeof v4.sin_zero);
  EXPECT_EQ(Address::from_native(&v4, sizeof v4), (Address{"127.0.0.1", 80}));

  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  std::memcpy(path.sun_path, "/a\0rubbish", 10);
  EXPECT_EQ(Address::from_native(&path, sizeof path), Address::unix_path("/a"));
  // The kernel may leave out the NUL at the end.
  EXPECT_EQ(Address::from_native(&path, offsetof(sockaddr_un, sun_path) + 2),
            Address::unix_path("/a"));
}

TEST(Address, TakesAPathThatFillsTheNativeRoomWithoutANul) {
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  std::memset(path.sun_path, 'x', sizeof path.sun_path);

  const Address address = Address::from_native(&path, sizeof path);

  EXPECT_EQ(address.path(), std::string(108, 'x'));
}

TEST(Address, RefusesANativeAddressOfImpossibleSize) {
  const Address address{"::1", 80};

  EXPECT_NE(value_error([&] { return Address::from_native(address.data(), 20); }), "");
  const char huge[129] = {1};
  EXPECT_NE(value_error([&] { return Address::from_native(huge, sizeof huge); }), "");
}

TEST(Address, IsNothingByDefaultAndForAnUnnamedUnixSocket) {
  const sa_family_t family = AF_UNIX;

  EXPECT_EQ(Address().family(), AF_UNSPEC);
  EXPECT_EQ(Address().size(), 0u);
  EXPECT_EQ(Address().path(), "");
  EXPECT_EQ(Address().str(), "(unnamed)");
  EXPECT_EQ(Address::from_native(&family, sizeof family), Address());
  EXPECT_EQ(Address::from_native(nullptr, 0), Address());
}

TEST(Address, ComparesAndHashesByValue) {
  const Address a{"127.0.0.1", 80};
  const Address b{"127.0.0.1", 81};
  const Address c{"127.0.0.1", 80};

  EXPECT_EQ(a, c);
  EXPECT_NE(a, b);
  EXPECT_TRUE((a < b) != (b < a));
  EXPECT_EQ((std::unordered_set<Address>{a, b, c}.size()), 2u);
  EXPECT_NE((Address{"fe80::1%1", 80}), (Address{"fe80::1%2", 80}));
}

}  // namespace
}  // namespace aster
