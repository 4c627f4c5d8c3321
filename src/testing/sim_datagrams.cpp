// SPDX-License-Identifier: MIT
#include "testing/sim_datagrams.hpp"

#include "testing/sim_network.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

// UDP as a Linux program sees it on loopback:
//
//  - The sender's buffer holds what travels; when it is full sends give EAGAIN. The
//    receiver's holds what was not read; what does not fit into it is dropped.
//  - A datagram to a port that nobody has is answered. Only a connected sender hears
//    of it: its next send or receive gives ECONNREFUSED, once.
//  - A connected socket takes datagrams of its peer only, and gets them before sockets
//    that are merely bound. What does not fit into the buffer of a receive is cut off.
//
// Between unix sockets a datagram arrives at once, or cannot be sent: an error tells that
// nobody is at the path, and EAGAIN that the receiver's buffer is full. Nothing is lost.
//
// Loss, duplicates and other orders come from SimOptions only. A duplicate counts as
// sent again; what was lost or cut off as discarded.
namespace aster::inline v0::testing::detail {

namespace {

using State = SimSocket::State;

constexpr std::size_t size_max = 65507;        // Of a UDP datagram over IPv4.
constexpr std::size_t unix_size_max = 212960;  // With the buffers that Linux gives.

}  // namespace

int SimDatagrams::connect(SimSocket& socket, const Address& address) {
  if (socket.family == AF_UNIX) return connect_path(socket, address);
  const Address target = destination(address);
  if (const int error = check_target(socket, target)) return error;
  if (const int error = network_.ports.bind_towards(socket, target)) return error;
  socket.peer = target;
  socket.state = State::connected;
  socket.error = 0;
  network_.touch(socket);
  return 0;
}

int SimDatagrams::connect_path(SimSocket& socket, const Address& address) {
  SimSocket* receiver = nullptr;
  if (const int error = find_receiver(socket, address, receiver)) return error;
  socket.peer = receiver->local;
  socket.state = State::connected;
  network_.touch(socket);
  return 0;
}

// The unix socket at `target`, if it takes datagrams of `socket`.
int SimDatagrams::find_receiver(const SimSocket& socket, const Address& target,
                                SimSocket*& receiver) const {
  if (target.family() != AF_UNIX) return -EINVAL;
  receiver = network_.ports.at_path(target.path());
  // Here a path ends with its socket; its peer knows that there was one.
  if (receiver == nullptr) return socket.peer == target ? -ECONNREFUSED : -ENOENT;
  if (receiver->type != SOCK_DGRAM) return -EPROTOTYPE;
  return receiver->state == State::connected && receiver->peer != socket.local ? -EPERM : 0;
}

std::int64_t SimDatagrams::hand_over(SimSocket& socket, std::string bytes, const Address& target) {
  SimSocket* receiver = nullptr;
  if (const int error = find_receiver(socket, target, receiver)) return error;
  const std::size_t size = bytes.size();
  if (size > unix_size_max) return -EMSGSIZE;
  if (!receiver->inbox.empty() && receiver->inbox_size + size > options_.capacity) {
    if (!std::exchange(socket.is_held_back, true)) {
      receiver->held_back.push_back({socket.fd, socket.generation});
    }
    return -EAGAIN;
  }
  receiver->inbox.push_back({std::move(bytes), socket.local});
  receiver->inbox_size += size;
  network_.ledger.bytes_accepted += size;
  network_.touch(*receiver);
  return static_cast<std::int64_t>(size);
}

// Who waits for room may try again.
void SimDatagrams::let_go(SimSocket& receiver) {
  for (const SimSocketRef& waiting : std::exchange(receiver.held_back, {})) {
    SimSocket* const sender = network_.find(waiting);
    if (sender == nullptr) continue;
    sender->is_held_back = false;
    network_.touch(*sender);
  }
}

int SimDatagrams::check_target(const SimSocket& socket, const Address& target) const {
  const Address real = unmapped(target);
  if (real.family() == AF_INET && real.host() == "255.255.255.255") {
    return option_int(socket, SOL_SOCKET, SO_BROADCAST) != 0 ? 0 : -EACCES;
  }
  if (target.port() == 0) return -EINVAL;
  return network_.ports.is_local(real) || network_.ports.is_black_hole(real) ? 0 : -ENETUNREACH;
}

std::int64_t SimDatagrams::send(SimSocket& socket, std::span<const std::string_view> pieces,
                                const Address& target) {
  if (socket.error != 0) return -std::exchange(socket.error, 0);
  if (target.size() != 0) {
    if (const int error = check_family(socket.family, target)) return error;
  } else if (socket.state != State::connected) {
    return socket.family == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
  }
  if (socket.family == AF_UNIX) {
    std::string bytes;
    for (const std::string_view piece : pieces) bytes += piece;
    return hand_over(socket, std::move(bytes), target.size() != 0 ? target : socket.peer);
  }
  Letter letter;
  letter.to = target.size() != 0 ? destination(target) : socket.peer;
  if (const int error = check_target(socket, letter.to)) return error;
  for (const std::string_view piece : pieces) letter.bytes += piece;
  const std::size_t size = letter.bytes.size();
  if (size > size_max) return -EMSGSIZE;
  if (socket.in_flight > 0 && socket.in_flight + size > options_.capacity) return -EAGAIN;
  if (const int error = network_.ports.bind_to_any_port(socket)) return error;

  letter.sender = {socket.fd, socket.generation};
  letter.from = SimPorts::source_towards(socket, letter.to);
  letter.is_counted = true;
  if (happens(options_.duplicates_percent)) {
    Letter copy = letter;
    copy.is_counted = false;
    post(std::move(copy));
  }
  post(std::move(letter));
  return static_cast<std::int64_t>(size);
}

void SimDatagrams::post(Letter letter) {
  network_.ledger.bytes_accepted += letter.bytes.size();
  if (letter.is_counted) {
    if (SimSocket* sender = network_.find(letter.sender)) sender->in_flight += letter.bytes.size();
  }
  Duration way = options_.latency.value();
  if (happens(options_.reorder_percent)) {
    // Later by up to ten ways: those sent in the meantime overtake it.
    constexpr Duration least = std::chrono::milliseconds(1);
    way += least + Duration(static_cast<Duration::rep>(network_.random.below(
                       static_cast<std::uint64_t>((9 * way + least).count()))));
  }
  const auto shared = std::make_shared<Letter>(std::move(letter));
  network_.after(way, [this, shared] { arrive(*shared); });
}

void SimDatagrams::arrive(Letter& letter) {
  const std::size_t size = letter.bytes.size();
  SimSocket* const sender = network_.find(letter.sender);
  if (sender != nullptr && letter.is_counted) {
    sender->in_flight -= size;
    network_.touch(*sender);  // There is room.
  }
  const bool is_lost =
      network_.ports.is_black_hole(unmapped(letter.to)) || happens(options_.loss_percent);
  SimSocket* const receiver = is_lost ? nullptr : receiver_of(letter);
  const bool fits = receiver != nullptr &&
                    (receiver->inbox.empty() || receiver->inbox_size + size <= options_.capacity);
  if (fits) {
    receiver->inbox.push_back(
        {std::move(letter.bytes), seen_by(receiver->family, unmapped(letter.from))});
    receiver->inbox_size += size;
    network_.touch(*receiver);
    return;
  }
  network_.ledger.bytes_discarded += size;
  if (receiver == nullptr && !is_lost) {
    network_.after(options_.latency.value(), [this, to = letter.sender] { refuse(to); });
  }
}

SimSocket* SimDatagrams::receiver_of(const Letter& letter) {
  SimSocket* best = nullptr;
  int best_score = 0;
  std::uint64_t equals = 0;
  const auto [first, last] = network_.ports.at(letter.to.port());
  for (auto entry = first; entry != last; ++entry) {
    SimSocket& socket = *entry->second;
    if (socket.type != SOCK_DGRAM) continue;
    int score = SimPorts::match(socket, letter.to);
    if (score != 0 && socket.state == State::connected) {
      constexpr int connected_score = 10;
      score = unmapped(socket.peer) == unmapped(letter.from) ? connected_score : 0;
    }
    if (score == 0 || score < best_score) continue;
    equals = score > best_score ? 1 : equals + 1;
    best_score = score;
    if (network_.random.chance(1, equals)) best = &socket;  // SO_REUSEPORT spreads evenly.
  }
  return best;
}

void SimDatagrams::refuse(SimSocketRef sender) {
  SimSocket* const socket = network_.find(sender);
  if (socket == nullptr || socket->state != State::connected) return;
  socket->error = ECONNREFUSED;
  network_.touch(*socket);
}

std::int64_t SimDatagrams::recv(SimSocket& socket, char* data, std::size_t size, Address& from) {
  if (socket.error != 0) return -std::exchange(socket.error, 0);
  if (socket.inbox.empty()) return -EAGAIN;
  const SimDatagram datagram = std::move(socket.inbox.front());
  socket.inbox.pop_front();
  socket.inbox_size -= datagram.bytes.size();
  let_go(socket);
  const std::size_t count = std::min(size, datagram.bytes.size());
  std::copy_n(datagram.bytes.data(), count, data);
  from = datagram.from;
  network_.ledger.bytes_delivered += count;
  network_.ledger.bytes_discarded += datagram.bytes.size() - count;
  return static_cast<std::int64_t>(count);
}

unsigned SimDatagrams::readiness(const SimSocket& socket) const noexcept {
  if (socket.error != 0) return Watch::readable | Watch::writable;
  const unsigned readable = socket.inbox.empty() ? 0 : Watch::readable;
  if (socket.is_held_back) return readable;
  return readable | (socket.in_flight < options_.capacity ? Watch::writable : 0);
}

void SimDatagrams::close(SimSocket& socket) noexcept {
  network_.ledger.bytes_discarded += socket.inbox_size;
  socket.inbox.clear();
  socket.inbox_size = 0;
  let_go(socket);
}

bool SimDatagrams::happens(unsigned percent) noexcept {
  return percent != 0 && network_.random.chance(percent, 100);
}

}  // namespace aster::inline v0::testing::detail
