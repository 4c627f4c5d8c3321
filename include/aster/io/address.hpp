// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace aster::inline v0 {

/// Where a socket is or goes to: an IPv4 or IPv6 address with a port, or the
/// path of a unix socket. A value of fixed size that holds the system's own
/// form, so that nothing is converted on the way to the kernel.
///
///     Address here{"127.0.0.1", 0};
///     Address there{"fe80::1%eth0", 80};
///     Address path = Address::unix_path("/run/app.sock");
///     std::cout << there.str();                 // [fe80::1%2]:80
///
/// Only numeric hosts: names are looked up by `getaddrinfo`. A text that is no
/// address, or an impossible port, is a ValueError that quotes it.
class ASTER_API Address {
 public:
  /// No address: what an unnamed unix socket has.
  Address() noexcept = default;

  /// From a numeric host, IPv6 with "%scope" (an interface's name or number)
  /// where wanted, and a port from 0 to 65535.
  Address(std::string_view host, int port);

  /// The path of a unix socket; with a '\0' in front a name of Linux's abstract
  /// namespace.
  [[nodiscard]] static Address unix_path(std::string_view path);

  /// From a sockaddr of the system. Bytes without meaning (padding, what follows
  /// a path's end) are dropped, so that equal addresses compare equal.
  [[nodiscard]] static Address from_native(const void* address, std::size_t size);

  /// As the constructor, but nothing when `host` is not a numeric address:
  /// answers "is this a literal or a name?".
  [[nodiscard]] static std::optional<Address> try_parse(std::string_view host, int port);

  /// The sockaddr, for the system's calls.
  [[nodiscard]] const void* data() const noexcept { return bytes_.data(); }
  /// The length of what `data` points at.
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

  /// AF_INET, AF_INET6, AF_UNIX …; AF_UNSPEC (0) without an address.
  [[nodiscard]] int family() const noexcept;
  /// True for IPv4 and IPv6.
  [[nodiscard]] bool is_ip() const noexcept;

  /// The numeric host, without scope; empty unless `is_ip()`.
  [[nodiscard]] std::string host() const;
  /// The port; 0 unless `is_ip()`.
  [[nodiscard]] int port() const noexcept;
  /// The number of the interface an IPv6 address belongs to, or 0.
  [[nodiscard]] std::uint32_t scope_id() const noexcept;
  /// The path of a unix socket, with the leading '\0' of an abstract one.
  [[nodiscard]] std::string path() const;

  /// For people and logs: "127.0.0.1:80", "[::1]:80", "/path", "@abstract".
  [[nodiscard]] std::string str() const;

  friend bool operator==(const Address& a, const Address& b) noexcept {
    return a.view() == b.view();
  }
  /// A total order for maps and sets; it means nothing else.
  friend std::strong_ordering operator<=>(const Address& a, const Address& b) noexcept {
    return a.view() <=> b.view();
  }

 private:
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_.data(), size_}; }
  void assign(const void* address, std::size_t size) noexcept;

  alignas(8) std::array<char, 128> bytes_{};  // A sockaddr; zero beyond size_.
  std::uint32_t size_ = 0;
};

}  // namespace aster::inline v0

template <>
struct std::hash<aster::Address> {
  /// The hash of the native bytes.
  std::size_t operator()(const aster::Address& address) const noexcept {
    return std::hash<std::string_view>()(
        {static_cast<const char*>(address.data()), address.size()});
  }
};
