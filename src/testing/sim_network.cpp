// SPDX-License-Identifier: MIT
#include "testing/sim_network.hpp"

#include <aster/base/error.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

// TCP as a Linux program sees it on loopback. Nothing is retransmitted, as
// nothing is lost; what is kept faithfully is everything a program can observe:
//
//  - A connection is established when it enters the listener's backlog; accept
//    only gives it a number. When the backlog is full (Linux: holds backlog + 1)
//    the SYN is dropped and sent again after 1, 2, 4 … seconds; the seventh loss
//    is ETIMEDOUT.
//  - A close with unread data, or with SO_LINGER zero, sends RST; any other
//    sends FIN behind the data. Data that reaches a closed socket is answered
//    by RST: the first send after the peer's close succeeds, a later one fails.
//  - A RST lets data that had arrived be read (Linux does, the BSDs do not),
//    then gives ECONNRESET once, then the end of the stream. A RST after a FIN
//    is EPIPE for sends and nothing for receives.
namespace aster::inline v0::testing::detail {

namespace {

using State = SimSocket::State;

constexpr TimePoint first_time{std::chrono::hours(24)};
constexpr int knock_tries_max = 6;

// What a unix socket without a name has.
Address unnamed() {
  const sa_family_t family = AF_UNIX;
  return Address::from_native(&family, sizeof family);
}

bool lingers_zero(const SimSocket& socket) noexcept {
  const auto found = socket.options.find({SOL_SOCKET, SO_LINGER});
  linger value{};
  if (found == socket.options.end() || found->second.size() < sizeof value) return false;
  std::memcpy(&value, found->second.data(), sizeof value);
  return value.l_onoff != 0 && value.l_linger == 0;
}

int protocol_of(int family, int type) noexcept {
  if (family == AF_UNIX) return 0;
  return type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
}

template <class T>
std::string as_bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::size_t index_of(native_socket fd) noexcept {
  return static_cast<std::size_t>(fd - SimBackend::first_descriptor);
}

}  // namespace

SimNetwork::SimNetwork(const SimOptions& options)
    : random(options.seed), options_(options), now_(first_time), datagrams_(*this, options_) {}

// Descriptors -------------------------------------------------------------------

std::int64_t SimNetwork::open(int family, int type, int protocol) {
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) return -EAFNOSUPPORT;
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (type != SOCK_STREAM && type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
  if (protocol != 0 && protocol != protocol_of(family, type)) return -EPROTONOSUPPORT;
  auto socket = std::make_shared<SimSocket>();
  socket->family = family;
  socket->type = type;
  socket->local = family == AF_UNIX ? unnamed() : Address(family == AF_INET ? "0.0.0.0" : "::", 0);
  return give_descriptor(std::move(socket));
}

SimPipe SimNetwork::open_pipe() {
  auto reader = std::make_shared<SimSocket>();
  auto writer = std::make_shared<SimSocket>();
  for (const auto& end : {reader, writer}) {
    end->family = AF_UNIX;
    end->type = SOCK_STREAM;
    end->state = State::connected;
    end->connect_reported = true;
    end->is_pipe = true;
  }
  join(*reader, writer);
  reader->write_shut = true;
  const auto read_end = static_cast<native_socket>(give_descriptor(std::move(reader)));
  return {read_end, static_cast<native_socket>(give_descriptor(std::move(writer)))};
}

std::int64_t SimNetwork::give_descriptor(std::shared_ptr<SimSocket> socket) {
  if (free_.empty()) {
    sockets_.emplace_back();
    free_.push(sockets_.size() - 1);
  }
  const std::size_t index = free_.top();
  free_.pop();
  socket->fd = SimBackend::first_descriptor + static_cast<native_socket>(index);
  socket->generation = ++generation_count_;
  ++ledger.descriptors_opened;
  SimSocket& opened = *(sockets_[index] = std::move(socket));
  touch(opened);
  return opened.fd;
}

SimSocket* SimNetwork::find(native_socket fd) const noexcept {
  if (fd < SimBackend::first_descriptor || index_of(fd) >= sockets_.size()) return nullptr;
  return sockets_[index_of(fd)].get();
}

SimSocket* SimNetwork::find(SimSocketRef ref) const noexcept {
  SimSocket* socket = find(ref.fd);
  return socket != nullptr && socket->generation == ref.generation ? socket : nullptr;
}

std::vector<native_socket> SimNetwork::open_descriptors() const {
  std::vector<native_socket> open;
  for (const auto& socket : sockets_) {
    if (socket) open.push_back(socket->fd);
  }
  return open;
}

void SimNetwork::close(SimSocket& socket) {
  const std::size_t index = index_of(socket.fd);
  const std::shared_ptr<SimSocket> keep = std::move(sockets_[index]);
  sockets_[index] = nullptr;
  free_.push(index);
  ++ledger.descriptors_closed;

  ports.release(socket);
  datagrams_.close(socket);
  for (const auto& waiting : socket.backlog_queue) detach(*waiting, true);
  socket.backlog_queue.clear();
  detach(socket, lingers_zero(socket));
}

// Takes `socket` off its connection, which the peer learns by FIN or RST.
void SimNetwork::detach(SimSocket& socket, bool with_reset) {
  const ConnectionPtr connection = std::exchange(socket.connection, nullptr);
  if (!connection) return;
  const std::size_t side = socket.side;
  const std::size_t unread = connection->to[side].arrived;
  connection->end[side] = nullptr;
  discard(*connection, side, unread);
  connection->to[side].arrived = 0;
  if (socket.reset) return;
  if (socket.is_pipe && socket.write_shut) {  // Its reader: the writer learns at once.
    if (SimSocket* writer = connection->end[1 - side]) {
      writer->reset = true;
      writer->error = EPIPE;
      touch(*writer);
    }
  } else if (unread > 0 || with_reset) {
    after(options_.latency.value(),
          [this, connection, side] { arrive_reset(*connection, 1 - side); });
  } else if (!socket.write_shut) {
    after(options_.latency.value(),
          [this, connection, side] { arrive_fin(*connection, 1 - side); });
  }
}

// Listening and connecting -------------------------------------------------------

int SimNetwork::listen(SimSocket& socket, int backlog) {
  if (socket.type != SOCK_STREAM) return -EOPNOTSUPP;
  if (socket.state != State::idle && socket.state != State::listening) return -EINVAL;
  if (!socket.bound && socket.family == AF_UNIX) return -EINVAL;
  if (const int error = ports.bind_to_any_port(socket)) return error;
  // REUSEADDR lets two sockets bind to a port, but only one of them listen.
  const auto [first, last] = ports.at(socket.local.port());
  for (auto entry = first; entry != last && socket.family != AF_UNIX; ++entry) {
    const SimSocket& other = *entry->second;
    const bool shared = option_int(socket, SOL_SOCKET, SO_REUSEPORT) != 0 &&
                        option_int(other, SOL_SOCKET, SO_REUSEPORT) != 0;
    if (&other != &socket && other.state == State::listening && !shared &&
        SimPorts::overlap(socket, other)) {
      return -EADDRINUSE;
    }
  }
  constexpr int backlog_max = 4096;  // Linux's somaxconn; a negative one means it too.
  if (backlog < 0 || backlog > backlog_max) backlog = backlog_max;
  socket.backlog = static_cast<std::size_t>(backlog);
  socket.state = State::listening;
  return 0;
}

// As Linux does it: at once or not at all.
int SimNetwork::connect_path(SimSocket& socket, const Address& address, int refusal) {
  if (address.family() != AF_UNIX) return -EINVAL;
  if (socket.state != State::idle) return -EISCONN;
  if (refusal != 0) return -refusal;
  SimSocket* const found = ports.at_path(address.path());
  if (found == nullptr) return -ENOENT;
  SimSocket& listener = *found;
  if (listener.type != SOCK_STREAM) return -EPROTOTYPE;
  if (listener.state != State::listening) return -ECONNREFUSED;
  if (listener.backlog_queue.size() > listener.backlog) return -EAGAIN;
  auto server = std::make_shared<SimSocket>();
  server->family = AF_UNIX;
  server->type = SOCK_STREAM;
  server->state = socket.state = State::connected;
  server->connect_reported = socket.connect_reported = true;
  server->local = socket.peer = listener.local;
  server->peer = socket.local;
  join(socket, server);
  listener.backlog_queue.push_back(std::move(server));
  touch(listener);
  touch(socket);
  return 0;
}

int SimNetwork::connect(SimSocket& socket, const Address& address, int refusal) {
  if (socket.family == AF_UNIX && socket.type == SOCK_STREAM) {
    return connect_path(socket, address, refusal);
  }
  if (socket.family != AF_UNIX) {
    if (!address.is_ip()) return -EAFNOSUPPORT;
    if (const int error = check_family(socket.family, address)) return error;
  }
  if (socket.type == SOCK_DGRAM)
    return refusal != 0 ? -refusal : datagrams_.connect(socket, address);
  if (socket.state == State::connecting) return -EALREADY;
  if (socket.state == State::connected && !socket.connect_reported) return connect_result(socket);
  if (socket.state != State::idle) return -EISCONN;

  const Address target = destination(address);
  const bool lost = ports.is_black_hole(unmapped(target));
  if (!lost && !ports.is_local(unmapped(target))) return -ENETUNREACH;
  if (const int error = ports.bind_towards(socket, target)) return error;
  socket.peer = target;
  socket.state = State::connecting;
  socket.error = 0;
  const std::weak_ptr<SimSocket> client = sockets_[index_of(socket.fd)];
  const Duration way = options_.latency.value();
  if (refusal != 0) {
    after(way, [this, client, refusal] { fail_connect(client, refusal); });
  } else if (!lost) {
    after(way, [this, client] { knock(client, 0); });
  }
  return -EINPROGRESS;
}

int SimNetwork::connect_result(SimSocket& socket) noexcept {
  if (socket.state == State::connecting) return -EAGAIN;
  if (socket.state == State::idle || socket.error != 0) {
    return -std::exchange(socket.error, 0);
  }
  socket.connect_reported = true;
  return 0;
}

// The socket that takes connections to `target`; the most exact one.
SimSocket* SimNetwork::listener_for(const Address& target) {
  SimSocket* best = nullptr;
  int best_score = 0;
  std::uint64_t equals = 0;
  const auto [first, last] = ports.at(target.port());
  for (auto entry = first; entry != last; ++entry) {
    SimSocket& socket = *entry->second;
    if (socket.state != State::listening) continue;
    const int score = SimPorts::match(socket, target);
    if (score == 0 || score < best_score) continue;
    equals = score > best_score ? 1 : equals + 1;
    best_score = score;
    if (random.chance(1, equals)) best = &socket;  // SO_REUSEPORT spreads evenly.
  }
  return best;
}

// A SYN of `client` arrives.
void SimNetwork::knock(const std::weak_ptr<SimSocket>& client, int tries) {
  const std::shared_ptr<SimSocket> socket = client.lock();
  if (!socket || socket->state != State::connecting) return;
  SimSocket* listener = listener_for(socket->peer);
  if (listener == nullptr) {
    after(options_.latency.value(), [this, client] { fail_connect(client, ECONNREFUSED); });
  } else if (listener->backlog_queue.size() <= listener->backlog) {
    establish(socket, *listener);
  } else {
    const std::chrono::seconds pause(1 << tries);
    after(pause, [this, client, tries] {
      if (tries == knock_tries_max) {
        fail_connect(client, ETIMEDOUT);
      } else {
        knock(client, tries + 1);
      }
    });
  }
}

void SimNetwork::establish(const std::shared_ptr<SimSocket>& client, SimSocket& listener) {
  auto server = std::make_shared<SimSocket>();
  server->family = listener.family;
  server->type = listener.type;
  server->state = State::connected;
  server->connect_reported = true;
  server->local = seen_by(listener.family, unmapped(client->peer));
  server->peer = seen_by(listener.family, unmapped(client->local));
  server->options = listener.options;  // Linux hands them down.
  if (listener.family == AF_INET6 && client->family == AF_INET6) {
    server->local = client->peer;
    server->peer = client->local;
  }

  join(*client, server);
  listener.backlog_queue.push_back(std::move(server));
  touch(listener);

  after(options_.latency.value(), [this, weak = std::weak_ptr(client)] {
    const std::shared_ptr<SimSocket> socket = weak.lock();
    if (!socket || socket->state != State::connecting) return;
    socket->state = State::connected;
    socket->connect_reported = false;
    touch(*socket);
  });
}

// Lets two sockets be the ends of a new connection.
void SimNetwork::join(SimSocket& client, const std::shared_ptr<SimSocket>& server) {
  auto connection = std::make_shared<SimConnection>();
  connection->end = {&client, server.get()};
  client.side = 0;
  server->side = 1;
  client.connection = connection;
  server->connection = std::move(connection);
}

void SimNetwork::fail_connect(const std::weak_ptr<SimSocket>& client, int error) {
  const std::shared_ptr<SimSocket> socket = client.lock();
  if (!socket || socket->state != State::connecting) return;
  socket->state = State::idle;
  socket->error = error;
  touch(*socket);
}

std::int64_t SimNetwork::accept(SimSocket& socket) {
  if (socket.type != SOCK_STREAM) return -EOPNOTSUPP;
  if (socket.state != State::listening) return -EINVAL;
  if (socket.backlog_queue.empty()) return -EAGAIN;
  std::shared_ptr<SimSocket> accepted = std::move(socket.backlog_queue.front());
  socket.backlog_queue.pop_front();
  return give_descriptor(std::move(accepted));
}

void SimNetwork::abort_next(SimSocket& socket) {
  if (socket.backlog_queue.empty()) return;
  detach(*socket.backlog_queue.front(), true);
  socket.backlog_queue.pop_front();
}

// Bytes ----------------------------------------------------------------------------

std::size_t SimNetwork::chunk(std::size_t most) noexcept {
  if (options_.max_chunk == 0 || most == 0) return most;
  return std::min<std::size_t>(most, 1 + random.below(options_.max_chunk));
}

std::int64_t SimNetwork::recv(SimSocket& socket, char* data, std::size_t size, Address& from) {
  from = Address();
  return socket.type == SOCK_DGRAM ? datagrams_.recv(socket, data, size, from)
                                   : recv_stream(socket, data, size);
}

std::int64_t SimNetwork::recv_stream(SimSocket& socket, char* data, std::size_t size) {
  if (socket.state == State::connecting) return -EAGAIN;
  if (socket.state != State::connected) {
    return socket.error != 0 ? -std::exchange(socket.error, 0) : -ENOTCONN;
  }
  if (size == 0) return 0;
  SimConnection& connection = *socket.connection;
  SimStream& in = connection.to[socket.side];
  if (in.arrived == 0) {
    if (in.fin_arrived) return 0;
    if (socket.error != 0) return -std::exchange(socket.error, 0);
    return socket.reset ? 0 : -EAGAIN;
  }
  const std::size_t count = chunk(std::min(size, in.arrived));
  std::memcpy(data, in.bytes.data() + in.consumed, count);
  in.consumed += count;
  in.arrived -= count;
  if (in.consumed == in.bytes.size()) {
    in.bytes.clear();
    in.consumed = 0;
  } else if (in.consumed > in.bytes.size() / 2) {
    in.bytes.erase(0, std::exchange(in.consumed, 0));
  }
  ledger.bytes_delivered += count;
  if (SimSocket* sender = connection.end[1 - socket.side]) touch(*sender);  // There is room.
  return static_cast<std::int64_t>(count);
}

std::int64_t SimNetwork::send(SimSocket& socket, std::span<const std::string_view> pieces,
                              const Address& target) {
  return socket.type == SOCK_DGRAM ? datagrams_.send(socket, pieces, target)
                                   : send_stream(socket, pieces);
}

std::int64_t SimNetwork::send_stream(SimSocket& socket, std::span<const std::string_view> pieces) {
  if (socket.state == State::connecting) return -EAGAIN;
  if (socket.error != 0) return -std::exchange(socket.error, 0);
  if (socket.state != State::connected || socket.write_shut || socket.reset) return -EPIPE;

  std::size_t wanted = 0;
  for (std::string_view piece : pieces) wanted += piece.size();
  if (wanted == 0) return 0;
  const std::size_t to = 1 - socket.side;
  SimStream& out = socket.connection->to[to];
  const std::size_t room = options_.capacity - std::min(options_.capacity, out.held());
  if (room == 0) return -EAGAIN;

  const std::size_t count = chunk(std::min(wanted, room));
  out.bytes.reserve(out.bytes.size() + count);  // Either all of them or none.
  std::size_t left = count;
  for (std::string_view piece : pieces) {
    out.bytes += piece.substr(0, left);
    left -= std::min(left, piece.size());
  }
  ledger.bytes_accepted += count;
  after(options_.latency.value(),
        [this, connection = socket.connection, to, count] { arrive(connection, to, count); });
  return static_cast<std::int64_t>(count);
}

// `count` bytes arrive at end `side`.
void SimNetwork::arrive(const ConnectionPtr& connection, std::size_t side, std::size_t count) {
  SimSocket* receiver = connection->end[side];
  SimStream& in = connection->to[side];
  if (receiver == nullptr || connection->severed || receiver->reset) {
    discard(*connection, side, count);
    after(options_.latency.value(),
          [this, connection, side] { arrive_reset(*connection, 1 - side); });
    return;
  }
  std::size_t passing = count;
  if (in.cut_left) {
    passing = std::min(count, *in.cut_left);
    *in.cut_left -= passing;
  }
  in.arrived += passing;
  if (passing > 0) touch(*receiver);
  const bool cut_now = in.cut_left == std::size_t{0};
  if (passing < count) discard(*connection, side, count - passing);
  if (cut_now) apply_cut(*connection, in.cut);
}

void SimNetwork::arrive_fin(SimConnection& connection, std::size_t side) {
  connection.to[side].fin_arrived = true;
  if (SimSocket* receiver = connection.end[side]) touch(*receiver);
}

void SimNetwork::arrive_reset(SimConnection& connection, std::size_t side) {
  SimSocket* receiver = connection.end[side];
  if (receiver == nullptr || receiver->reset) return;
  receiver->reset = true;
  receiver->error = connection.to[side].fin_arrived ? EPIPE : ECONNRESET;
  touch(*receiver);
}

void SimNetwork::apply_cut(SimConnection& connection, SimBackend::Cut cut) {
  if (connection.severed) return;
  connection.severed = true;
  for (std::size_t side : {std::size_t{0}, std::size_t{1}}) {
    if (cut == SimBackend::Cut::reset) {
      arrive_reset(connection, side);
    } else {
      arrive_fin(connection, side);
    }
  }
}

// Drops `count` bytes behind those that have arrived.
void SimNetwork::discard(SimConnection& connection, std::size_t side, std::size_t count) {
  if (count == 0) return;
  SimStream& in = connection.to[side];
  // Where the receiver is closed it is those that have arrived: the order no
  // longer matters.
  const bool closed = connection.end[side] == nullptr;
  in.bytes.erase(in.consumed + (closed ? 0 : in.arrived), count);
  ledger.bytes_discarded += count;
  if (SimSocket* sender = connection.end[1 - side]) touch(*sender);
}

bool SimNetwork::is_connected(const SimSocket& socket) noexcept {
  if (socket.state != State::connected || socket.reset) return false;
  if (socket.type == SOCK_DGRAM) return true;
  return !socket.write_shut || !socket.connection->to[socket.side].fin_arrived;
}

int SimNetwork::shutdown_write(SimSocket& socket) {
  if (socket.state == State::listening) return 0;
  if (!is_connected(socket)) return -ENOTCONN;
  if (socket.type == SOCK_DGRAM) return -EOPNOTSUPP;
  if (std::exchange(socket.write_shut, true)) return 0;
  after(options_.latency.value(), [this, connection = socket.connection, to = 1 - socket.side] {
    arrive_fin(*connection, to);
  });
  touch(socket);
  return 0;
}

void SimNetwork::cut_after(SimSocket& socket, std::size_t bytes, SimBackend::Cut cut) {
  SimStream& out = socket.connection->to[1 - socket.side];
  out.cut_left = bytes + out.held() - out.arrived;  // What is in flight does not count.
  out.cut = cut;
  if (*out.cut_left == 0) apply_cut(*socket.connection, cut);
}

// Options and readiness ---------------------------------------------------------------

int SimNetwork::set_option(SimSocket& socket, int level, int name, std::string_view value) {
  if (value.size() < sizeof(int)) return -EINVAL;
  socket.options[{level, name}] = std::string(value);
  return 0;
}

std::string SimNetwork::get_option(SimSocket& socket, int level, int name) {
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_ERROR:
        return as_bytes(std::exchange(socket.error, 0));
      case SO_TYPE:
        return as_bytes(socket.type);
      case SO_DOMAIN:
        return as_bytes(socket.family);
      case SO_PROTOCOL:
        return as_bytes(protocol_of(socket.family, socket.type));
      case SO_ACCEPTCONN:
        return as_bytes(static_cast<int>(socket.state == State::listening));
      default:
        break;
    }
  }
  const auto found = socket.options.find({level, name});
  if (found != socket.options.end()) return found->second;
  if (level == SOL_SOCKET && name == SO_LINGER) return as_bytes(linger{});
  if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF)) {
    return as_bytes(static_cast<int>(options_.capacity));
  }
  return as_bytes(0);
}

unsigned SimNetwork::readiness(const SimSocket& socket) const noexcept {
  if (socket.type == SOCK_DGRAM) return datagrams_.readiness(socket);
  constexpr unsigned both = Watch::readable | Watch::writable;
  switch (socket.state) {
    case State::idle:
      return both;  // Linux: a socket that is not connected has hung up.
    case State::listening:
      return socket.backlog_queue.empty() ? 0 : Watch::readable;
    case State::connecting:
      return 0;
    case State::connected:
      break;
  }
  if (socket.reset || socket.error != 0) return both;
  const SimStream& in = socket.connection->to[socket.side];
  const SimStream& out = socket.connection->to[1 - socket.side];
  unsigned ready = 0;
  if (in.arrived > 0 || in.fin_arrived) ready |= Watch::readable;
  if (socket.write_shut || out.held() < options_.capacity) ready |= Watch::writable;
  return ready;
}

// Time ------------------------------------------------------------------------------

void SimNetwork::after(Duration delay, Function<void()> action) {
  if (delay <= Duration::zero()) {
    action();
  } else {
    events_.emplace(aster::detail::add_saturated(now_, delay), std::move(action));
  }
}

TimePoint SimNetwork::next_event() const noexcept {
  return events_.empty() ? TimePoint::max() : events_.begin()->first;
}

void SimNetwork::run_due() {
  const TimePoint until = now_;
  while (!events_.empty() && events_.begin()->first <= until) {
    auto event = events_.extract(events_.begin());
    now_ = event.key();  // What follows from it counts from its own time.
    event.mapped()();
  }
  now_ = until;
}

void SimNetwork::touch(SimSocket& socket) {
  if (socket.fd == -1 || std::exchange(socket.touched, true)) return;
  changes_.push_back({socket.fd, socket.generation});
}

void SimNetwork::touch_all() {
  for (const auto& socket : sockets_) {
    if (socket) touch(*socket);
  }
}

std::vector<SimSocketRef> SimNetwork::take_changes() {
  std::vector<SimSocketRef> changes = std::exchange(changes_, {});
  for (const SimSocketRef& change : changes) {
    if (SimSocket* socket = find(change)) socket->touched = false;
  }
  return changes;
}

}  // namespace aster::inline v0::testing::detail
