// SPDX-License-Identifier: MIT
#include "testing/sim_ports.hpp"

#include <aster/base/error.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

namespace aster::inline v0::testing::detail {

namespace {

using State = SimSocket::State;

constexpr int port_min = 32768;  // Linux's default range of ephemeral ports.
constexpr int port_max = 60999;

// The bytes of the address proper, without port and scope.
std::string_view ip_bytes(const Address& address) noexcept {
  const char* data = static_cast<const char*>(address.data());
  if (address.family() == AF_INET) return {data + offsetof(sockaddr_in, sin_addr), 4};
  if (address.family() == AF_INET6) return {data + offsetof(sockaddr_in6, sin6_addr), 16};
  return {};
}

bool is_mapped(const Address& address) noexcept {
  using namespace std::string_view_literals;
  return address.family() == AF_INET6 &&
         ip_bytes(address).starts_with("\0\0\0\0\0\0\0\0\0\0\xff\xff"sv);
}

// True when one of the two addresses covers the other, so that both cannot be
// bound to the same port.
bool covers(const SimSocket& a, const Address& at, const SimSocket& b, const Address& bt) {
  const Address one = unmapped(at);
  const Address two = unmapped(bt);
  if (one.family() == two.family()) {
    return is_any(one) || is_any(two) || ip_bytes(one) == ip_bytes(two);
  }
  const bool a_is_v6 = one.family() == AF_INET6;
  const SimSocket& v6 = a_is_v6 ? a : b;
  return is_any(a_is_v6 ? one : two) && option_int(v6, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
}

}  // namespace

bool is_any(const Address& address) noexcept {
  return ip_bytes(address).find_first_not_of('\0') == std::string_view::npos;
}

Address with_port(const Address& address, int port) {
  std::string host = address.host();
  if (address.scope_id() != 0) host += '%' + std::to_string(address.scope_id());
  return {host, port};
}

Address unmapped(const Address& address) {
  return is_mapped(address) ? Address(address.host().substr(7), address.port()) : address;
}

Address seen_by(int family, const Address& address) {
  if (family == address.family()) return address;
  return {"::ffff:" + address.host(), address.port()};
}

int option_int(const SimSocket& socket, int level, int name) noexcept {
  const auto found = socket.options.find({level, name});
  int value = 0;
  if (found != socket.options.end()) {
    std::memcpy(&value, found->second.data(), std::min(found->second.size(), sizeof value));
  }
  return value;
}

Address destination(const Address& address) {
  if (!is_any(address)) return address;
  return {address.family() == AF_INET ? "127.0.0.1" : "::1", address.port()};
}

int check_family(int family, const Address& address) noexcept {
  if (address.family() == family) return 0;
  return family == AF_INET ? -EAFNOSUPPORT : -EINVAL;
}

SimPorts::SimPorts() : next_port_(port_min) {
  for (const char* network : {"127.0.0.0/8", "10.0.0.0/8", "::1/128"}) {
    add_local_network(network);
  }
}

void SimPorts::add_local_network(std::string_view text) {
  const std::size_t slash = text.find('/');
  std::optional<Address> base = Address::try_parse(text.substr(0, slash), 0);
  std::size_t prefix_size = 0;
  if (base && slash != std::string_view::npos) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix_size);
    if (error != std::errc() || stop != end) base.reset();
  } else if (base) {
    prefix_size = ip_bytes(*base).size() * 8;
  }
  if (!base || prefix_size > ip_bytes(*base).size() * 8) {
    throw ValueError("'" + std::string(text) + "' is not a network such as 10.0.0.0/8");
  }
  local_networks_.push_back({*base, prefix_size});
}

bool SimPorts::is_local(const Address& address) const noexcept {
  const std::string_view bytes = ip_bytes(address);
  return std::any_of(local_networks_.begin(), local_networks_.end(),
                     [&](const LocalNetwork& network) {
                       if (network.base.family() != address.family()) return false;
                       const std::string_view base = ip_bytes(network.base);
                       for (std::size_t bit = 0; bit < network.prefix_size; ++bit) {
                         const int mask = 0x80 >> (bit % 8);
                         if ((base[bit / 8] & mask) != (bytes[bit / 8] & mask)) return false;
                       }
                       return true;
                     });
}

bool SimPorts::is_black_hole(const Address& address) const noexcept {
  return std::any_of(black_holes_.begin(), black_holes_.end(), [&](const Address& hole) {
    return ip_bytes(hole) == ip_bytes(address) &&
           (hole.port() == 0 || hole.port() == address.port());
  });
}

bool SimPorts::is_taken(const SimSocket& socket, const Address& address) const {
  const auto [first, last] = sockets_.equal_range(address.port());
  return std::any_of(first, last, [&](const auto& entry) {
    const SimSocket& other = *entry.second;
    if (other.type != socket.type) return false;
    const auto both = [&](int option) {
      return option_int(socket, SOL_SOCKET, option) != 0 &&
             option_int(other, SOL_SOCKET, option) != 0;
    };
    if (both(SO_REUSEPORT)) return false;
    if (both(SO_REUSEADDR) && other.state != State::listening) return false;
    return covers(socket, address, other, other.local);
  });
}

// An ephemeral port for `socket` at `address`, or 0 when all are taken.
int SimPorts::free_port(const SimSocket& socket, const Address& address) {
  for (int tries = port_min; tries <= port_max; ++tries) {
    const int port = next_port_;
    next_port_ = port == port_max ? port_min : port + 1;
    if (sockets_.count(port) == 0 || !is_taken(socket, with_port(address, port))) return port;
  }
  return 0;
}

void SimPorts::claim(SimSocket& socket, const Address& address) {
  sockets_.emplace(address.port(), &socket);
  socket.local = address;
  socket.bound = true;
}

void SimPorts::release(SimSocket& socket) noexcept {
  if (!std::exchange(socket.bound, false)) return;
  if (socket.family == AF_UNIX) {
    paths_.erase(socket.local.path());
    return;
  }
  auto [entry, last] = sockets_.equal_range(socket.local.port());
  while (entry != last && entry->second != &socket) ++entry;
  if (entry != last) sockets_.erase(entry);
}

int SimPorts::bind_path(SimSocket& socket, const Address& address) {
  if (address.family() != AF_UNIX || address.path().empty() || socket.bound) return -EINVAL;
  if (!paths_.emplace(address.path(), &socket).second) return -EADDRINUSE;
  socket.local = address;
  socket.bound = true;
  return 0;
}

SimSocket* SimPorts::at_path(const std::string& path) const {
  const auto found = paths_.find(path);
  return found != paths_.end() ? found->second : nullptr;
}

int SimPorts::bind(SimSocket& socket, const Address& address) {
  if (socket.family == AF_UNIX) return bind_path(socket, address);
  if (const int error = check_family(socket.family, address)) return error;
  if (socket.bound || socket.state != State::idle) return -EINVAL;
  const Address real = unmapped(address);
  if (!is_any(real) && !is_local(real)) return -EADDRNOTAVAIL;
  int port = address.port();
  if (port == 0) port = free_port(socket, address);
  const Address wanted = with_port(address, port);
  if (port == 0 || is_taken(socket, wanted)) return -EADDRINUSE;
  claim(socket, wanted);
  return 0;
}

int SimPorts::bind_to_any_port(SimSocket& socket) {
  if (socket.bound) return 0;
  const int port = free_port(socket, socket.local);
  if (port == 0) return -EADDRINUSE;
  claim(socket, with_port(socket.local, port));
  return 0;
}

int SimPorts::bind_towards(SimSocket& socket, const Address& target) {
  if (socket.bound && !is_any(socket.local)) return 0;
  const Address source = source_towards(socket, target);
  const int port = socket.bound ? socket.local.port() : free_port(socket, source);
  if (port == 0) return -EADDRNOTAVAIL;
  release(socket);
  claim(socket, with_port(source, port));
  return 0;
}

Address SimPorts::source_towards(const SimSocket& socket, const Address& target) {
  if (!is_any(socket.local)) return socket.local;
  // The way to any 127.x.y.z leaves from 127.0.0.1, to others from themselves.
  const Address real = unmapped(target);
  const bool loopback = real.family() == AF_INET && ip_bytes(real)[0] == 127;
  const Address source = loopback ? Address("127.0.0.1", 0) : real;
  return seen_by(socket.family, with_port(source, socket.local.port()));
}

int SimPorts::match(const SimSocket& socket, const Address& target) {
  const Address real = unmapped(target);
  const Address local = unmapped(socket.local);
  if (ip_bytes(local) == ip_bytes(real)) return 3;
  if (!is_any(local)) return 0;
  if (local.family() == real.family()) return 2;
  const bool takes_both =
      local.family() == AF_INET6 && option_int(socket, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
  return takes_both ? 1 : 0;
}

bool SimPorts::overlap(const SimSocket& a, const SimSocket& b) {
  return covers(a, a.local, b, b.local);
}

}  // namespace aster::inline v0::testing::detail
