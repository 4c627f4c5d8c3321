// SPDX-License-Identifier: MIT
#pragma once

#include "testing/sim_socket.hpp"

#include <aster/base/time.hpp>
#include <aster/io/address.hpp>
#include <aster/testing/sim_backend.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// Private to src/testing.
namespace aster::inline v0::testing::detail {

class SimNetwork;

/// Datagrams of the simulated system, UDP and unix; sim_datagrams.cpp begins with its rules.
class SimDatagrams {
 public:
  SimDatagrams(SimNetwork& network, const SimOptions& options) noexcept
      : network_(network), options_(options) {}

  // Results are values or minus errno.
  int connect(SimSocket& socket, const Address& address);
  std::int64_t send(SimSocket& socket, std::span<const std::string_view> pieces,
                    const Address& target);
  std::int64_t recv(SimSocket& socket, char* data, std::size_t size, Address& from);
  /// A mask of Watch's.
  [[nodiscard]] unsigned readiness(const SimSocket& socket) const noexcept;
  void close(SimSocket& socket) noexcept;

 private:
  struct Letter {
    SimSocketRef sender;
    Address from;
    Address to;
    std::string bytes;
    bool is_counted;  // It fills the sender's buffer while it travels.
  };

  int check_target(const SimSocket& socket, const Address& target) const;
  int connect_path(SimSocket& socket, const Address& address);
  int find_receiver(const SimSocket& socket, const Address& target, SimSocket*& receiver) const;
  std::int64_t hand_over(SimSocket& socket, std::string bytes, const Address& target);
  void let_go(SimSocket& receiver);
  void post(Letter letter);
  void arrive(Letter& letter);
  [[nodiscard]] SimSocket* receiver_of(const Letter& letter);
  void refuse(SimSocketRef sender);
  [[nodiscard]] bool happens(unsigned percent) noexcept;

  SimNetwork& network_;
  const SimOptions& options_;
};

}  // namespace aster::inline v0::testing::detail
