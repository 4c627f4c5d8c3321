// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/address.hpp>
#include <aster/loop/backend.hpp>
#include <aster/testing/sim_backend.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The sockets of the simulated system. Private to src/testing.
namespace aster::inline v0::testing::detail {

struct SimSocket;

/// One direction of a connection.
struct SimStream {
  std::string bytes;         ///< Arrived ones first, then those in flight.
  std::size_t consumed = 0;  ///< Bytes at the front that have been received.
  std::size_t arrived = 0;   ///< Bytes after them that can be received.
  bool fin_arrived = false;
  std::optional<std::size_t> cut_left;  ///< Bytes that still pass before the cut.
  SimBackend::Cut cut = SimBackend::Cut::fin;

  [[nodiscard]] std::size_t held() const noexcept { return bytes.size() - consumed; }
};

/// Two stream sockets and the bytes between them; outlives either while bytes travel.
struct SimConnection {
  std::array<SimStream, 2> to;      ///< to[i] is received by end[i].
  std::array<SimSocket*, 2> end{};  ///< Null once closed.
  bool severed = false;             ///< Cut by a FIN: nothing passes any more.
};

/// A datagram that has arrived.
struct SimDatagram {
  std::string bytes;
  Address from;
};

/// A socket that may have been closed meanwhile.
struct SimSocketRef {
  native_socket fd = -1;
  std::uint64_t generation = 0;
};

struct SimSocket {
  enum class State : std::uint8_t { idle, listening, connecting, connected };

  int family = 0;
  int type = 0;  ///< SOCK_STREAM or SOCK_DGRAM.
  State state = State::idle;
  native_socket fd = -1;         ///< -1 while it waits to be accepted.
  std::uint64_t generation = 0;  ///< Tells it from former owners of its number.
  Address local;
  Address peer;
  bool bound = false;                                  ///< It is in the network's table of ports.
  int error = 0;                                       ///< SO_ERROR.
  std::map<std::pair<int, int>, std::string> options;  ///< By level and name.

  // Listening.
  std::size_t backlog = 0;
  std::deque<std::shared_ptr<SimSocket>> backlog_queue;

  // Connecting and connected.
  bool is_pipe = false;
  std::shared_ptr<SimConnection> connection;
  std::size_t side = 0;           ///< Its index in the connection.
  bool connect_reported = false;  ///< The success of connect has been told.
  bool write_shut = false;
  bool reset = false;  ///< A RST has arrived.

  // Of a datagram socket, which is idle or, with a peer, connected.
  std::deque<SimDatagram> inbox;
  std::size_t inbox_size = 0;  ///< Bytes in it.
  std::size_t in_flight = 0;   ///< Bytes sent that have not arrived.
  bool is_held_back = false;   ///< Of a unix socket: the receiver of its last send is full.
  std::vector<SimSocketRef> held_back;  ///< Who waits for room in this one's inbox.

  // What the back end keeps; the network does not look at it.
  std::array<Operation*, 2> pending{};  ///< By direction: 0 reads, 1 writes.
  std::array<bool, 2> cancelling{};
  Watch* watch = nullptr;
  unsigned watched = 0;
  bool touched = false;  ///< It is in the network's list of changes.
};

}  // namespace aster::inline v0::testing::detail
