// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/io/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace aster::inline v0 {

namespace {

static_assert(sizeof(sockaddr_storage) <= 128 && sizeof(sockaddr_un) <= 128);

constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);

// `text` between quotes, cut when long, unprintable bytes as "?".
std::string quoted(std::string_view text) {
  constexpr std::size_t quoted_max = 80;
  std::string out = "'";
  for (char c : text.substr(0, quoted_max)) out += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > quoted_max) out += "…";
  return out += '\'';
}

in_port_t checked_port(int port) {
  if (port < 0 || port > 65535) {
    throw ValueError("port must be 0 to 65535, not " + std::to_string(port));
  }
  return htons(static_cast<std::uint16_t>(port));
}

// The number that "%name" or "%7" stands for; 0 when there is no such interface.
std::uint32_t parse_scope(const std::string& scope) {
  std::uint32_t number = 0;
  const char* end = scope.data() + scope.size();
  const auto [stop, error] = std::from_chars(scope.data(), end, number);
  if (error == std::errc() && stop == end) return number;
  return scope.size() < IF_NAMESIZE ? ::if_nametoindex(scope.c_str()) : 0;
}

template <class T>
T read_as(const void* bytes) noexcept {
  T value{};
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Room for an IPv4 address with its port.
using Ipv4Text = std::array<char, sizeof "255.255.255.255:65535">;

// Writes the host of a sockaddr_in, and gives its end. By hand, as inet_ntop takes printf
// and each error of a connection has one.
char* write_ipv4(Ipv4Text& text, const char* native) {
  char* at = text.data();
  char* const last = at + text.size() - 1;  // Room for what follows: g++ 12 wants to see it.
  const auto parts =
      read_as<std::array<unsigned char, 4>>(native + offsetof(sockaddr_in, sin_addr));
  for (const unsigned part : parts) {
    if (at != text.data()) *at++ = '.';
    at = std::to_chars(at, last, part).ptr;
  }
  return at;
}

}  // namespace

Address::Address(std::string_view host, int port) {
  std::optional<Address> parsed = try_parse(host, port);
  if (!parsed) throw ValueError(quoted(host) + " is not a numeric IPv4 or IPv6 address");
  *this = *parsed;
}

std::optional<Address> Address::try_parse(std::string_view host, int port) {
  const in_port_t native_port = checked_port(port);
  constexpr std::size_t host_size_max = 64;  // Longest address, '%' and interface name.
  if (host.empty() || host.size() > host_size_max) return std::nullopt;
  if (host.find('\0') != std::string_view::npos) return std::nullopt;

  const std::string text(host);
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = native_port;
    return from_native(&v4, sizeof v4);
  }

  sockaddr_in6 v6{};
  const std::size_t percent = text.find('%');
  if (::inet_pton(AF_INET6, text.substr(0, percent).c_str(), &v6.sin6_addr) != 1) {
    return std::nullopt;
  }
  if (percent != std::string::npos) {
    const std::string scope = text.substr(percent + 1);
    v6.sin6_scope_id = parse_scope(scope);
    if (v6.sin6_scope_id == 0 && scope != "0") return std::nullopt;
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = native_port;
  return from_native(&v6, sizeof v6);
}

Address Address::unix_path(std::string_view path) {
  if (path.empty()) throw ValueError("the path of a unix socket is empty");
  const bool abstract = path.front() == '\0';
  if (!abstract && path.find('\0') != std::string_view::npos) {
    throw ValueError("the path of a unix socket has a NUL inside: " + quoted(path));
  }
  // An abstract name may fill the room; a path leaves a byte for its end.
  const std::size_t path_size_max = sizeof(sockaddr_un::sun_path) - (abstract ? 0 : 1);
  if (path.size() > path_size_max) {
    throw ValueError("the path of a unix socket is longer than " + std::to_string(path_size_max) +
                     " bytes: " + quoted(path));
  }

  sockaddr_un native{};
  native.sun_family = AF_UNIX;
  std::memcpy(native.sun_path, path.data(), path.size());
  return from_native(&native, path_offset + path.size() + (abstract ? 0 : 1));
}

Address Address::from_native(const void* address, std::size_t size) {
  Address result;
  sa_family_t family = AF_UNSPEC;
  if (size >= offsetof(sockaddr, sa_family) + sizeof family) {
    std::memcpy(&family, static_cast<const char*>(address) + offsetof(sockaddr, sa_family),
                sizeof family);
  }
  const std::size_t size_min = family == AF_INET    ? sizeof(sockaddr_in)
                               : family == AF_INET6 ? sizeof(sockaddr_in6)
                                                    : 0;
  if (size < size_min || size > result.bytes_.size()) {
    throw ValueError("an address of family " + std::to_string(family) + " cannot have " +
                     std::to_string(size) + " bytes");
  }

  if (family == AF_INET) {
    auto v4 = read_as<sockaddr_in>(address);
    std::memset(v4.sin_zero, 0, sizeof v4.sin_zero);
    result.assign(&v4, sizeof v4);
  } else if (family == AF_INET6) {
    result.assign(address, sizeof(sockaddr_in6));
  } else if (family == AF_UNIX) {
    const char* path = static_cast<const char*>(address) + path_offset;
    const std::size_t room = size > path_offset ? size - path_offset : 0;
    if (room == 0) return result;  // Unnamed.
    if (path[0] == '\0') {         // Abstract, or unnamed when nothing follows.
      if (room > 1) result.assign(address, size);
    } else {
      // A path ends at its NUL, which the kernel does not always count. Where
      // the path leaves room for one, ours has it: zero bytes follow anyway.
      const std::size_t path_size = ::strnlen(path, room);
      result.assign(address, path_offset + path_size);
      if (path_size < sizeof(sockaddr_un::sun_path)) ++result.size_;
    }
  } else if (family != AF_UNSPEC) {
    result.assign(address, size);
  }
  return result;
}

void Address::assign(const void* address, std::size_t size) noexcept {
  std::memcpy(bytes_.data(), address, size);
  size_ = static_cast<std::uint32_t>(size);
}

int Address::family() const noexcept {
  return size_ == 0 ? AF_UNSPEC : read_as<sockaddr_storage>(bytes_.data()).ss_family;
}

bool Address::is_ip() const noexcept { return family() == AF_INET || family() == AF_INET6; }

std::string Address::host() const {
  if (family() == AF_INET) {
    Ipv4Text text;
    return {text.data(), write_ipv4(text, bytes_.data())};
  }
  if (family() != AF_INET6) return {};
  char text[INET6_ADDRSTRLEN];
  const auto v6 = read_as<sockaddr_in6>(bytes_.data());
  return ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
}

int Address::port() const noexcept {
  if (family() == AF_INET) return ntohs(read_as<sockaddr_in>(bytes_.data()).sin_port);
  if (family() == AF_INET6) return ntohs(read_as<sockaddr_in6>(bytes_.data()).sin6_port);
  return 0;
}

std::uint32_t Address::scope_id() const noexcept {
  return family() == AF_INET6 ? read_as<sockaddr_in6>(bytes_.data()).sin6_scope_id : 0;
}

std::string Address::path() const {
  if (family() != AF_UNIX) return {};
  std::string_view path = view().substr(path_offset);
  if (path.front() != '\0' && path.back() == '\0') path.remove_suffix(1);
  return std::string(path);
}

std::string Address::str() const {
  switch (family()) {
    case AF_INET: {
      Ipv4Text text;
      char* const colon = write_ipv4(text, bytes_.data());
      *colon = ':';
      return {text.data(), std::to_chars(colon + 1, text.data() + text.size(), port()).ptr};
    }
    case AF_INET6: {
      const std::string scope = scope_id() == 0 ? "" : '%' + std::to_string(scope_id());
      return '[' + host() + scope + "]:" + std::to_string(port());
    }
    case AF_UNIX: {
      std::string text = path();
      for (char& c : text) {
        if (c == '\0') c = '@';
      }
      return text;
    }
    case AF_UNSPEC:
      return "(unnamed)";
    default:
      return "(family " + std::to_string(family()) + ")";
  }
}

}  // namespace aster::inline v0
