// SPDX-License-Identifier: MIT
#pragma once

#include "testing/sim_socket.hpp"

#include <aster/io/address.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Addresses and ports of the simulated system. Private to src/testing.
namespace aster::inline v0::testing::detail {

/// 0.0.0.0 or ::.
[[nodiscard]] bool is_any(const Address& address) noexcept;
[[nodiscard]] Address with_port(const Address& address, int port);
/// `address`, or loopback for 0.0.0.0 and ::, which as a target mean it.
[[nodiscard]] Address destination(const Address& address);
/// ::ffff:10.0.0.1 as 10.0.0.1; other addresses as they are.
[[nodiscard]] Address unmapped(const Address& address);
/// `address` as a socket of `family` sees it.
[[nodiscard]] Address seen_by(int family, const Address& address);
/// An option whose value is an int; 0 unless it was set.
[[nodiscard]] int option_int(const SimSocket& socket, int level, int name) noexcept;
/// -EAFNOSUPPORT or -EINVAL when a socket of `family` cannot have or reach `address`.
[[nodiscard]] int check_family(int family, const Address& address) noexcept;

/// Which addresses exist, and which socket has which port. Stream and datagram
/// sockets have ports of their own.
class SimPorts {
 public:
  SimPorts();

  void add_local_network(std::string_view text);
  void clear_local_networks() noexcept { local_networks_.clear(); }
  void add_black_hole(const Address& address) { black_holes_.push_back(address); }
  [[nodiscard]] bool is_local(const Address& address) const noexcept;
  [[nodiscard]] bool is_black_hole(const Address& address) const noexcept;

  // Results are 0 or minus errno.
  int bind(SimSocket& socket, const Address& address);
  /// Any free port at the address that the socket has; nothing when it is bound.
  int bind_to_any_port(SimSocket& socket);
  /// Gives the socket, where it has none, the address from which it reaches `target`.
  int bind_towards(SimSocket& socket, const Address& target);
  void release(SimSocket& socket) noexcept;

  /// The unix socket of a path; null: none.
  [[nodiscard]] SimSocket* at_path(const std::string& path) const;
  /// The address from which `socket` is seen at `target`.
  [[nodiscard]] static Address source_towards(const SimSocket& socket, const Address& target);
  /// The bound sockets of a port; accepted ones are not bound.
  [[nodiscard]] auto at(int port) const { return sockets_.equal_range(port); }
  /// How exactly `socket` is bound to `target`; 0: not at all.
  [[nodiscard]] static int match(const SimSocket& socket, const Address& target);
  /// True when one of the two sockets' addresses covers the other.
  [[nodiscard]] static bool overlap(const SimSocket& a, const SimSocket& b);

 private:
  struct LocalNetwork {
    Address base;
    std::size_t prefix_size;  // In bits.
  };

  [[nodiscard]] bool is_taken(const SimSocket& socket, const Address& address) const;
  [[nodiscard]] int free_port(const SimSocket& socket, const Address& address);
  void claim(SimSocket& socket, const Address& address);
  int bind_path(SimSocket& socket, const Address& address);

  int next_port_;
  std::multimap<int, SimSocket*> sockets_;   // By port.
  std::map<std::string, SimSocket*> paths_;  // Unix sockets.
  std::vector<LocalNetwork> local_networks_;
  std::vector<Address> black_holes_;
};

}  // namespace aster::inline v0::testing::detail
