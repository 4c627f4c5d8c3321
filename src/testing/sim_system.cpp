// SPDX-License-Identifier: MIT
#include "testing/sim_system.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

// A readiness system over SimNetwork: an operation is tried when submitted, and
// again at each poll that finds its socket changed. The network lists the
// sockets whose readiness may have grown, so a poll costs what has happened and
// not what is open. All that is ready is collected, shuffled, and then tried in
// that order; each try looks again, as an earlier completion may have closed,
// cancelled or drained what a later one was about.
//
// Unlike a real back end this one allocates. Where memory ends, calls give
// -ENOMEM.
namespace aster::inline v0::testing {

namespace {

using detail::direction_of;
using detail::guarded;
using detail::SimSocket;
using detail::SimSocketRef;
using detail::target_of;
using detail::write_address;

constexpr std::size_t lent_size_max = std::size_t{64} * 1024;

const char* name_of(const Operation& operation) noexcept {
  constexpr std::array names{"accept",   "connect",   "recv",    "send", "poll_in",
                             "poll_out", "recv_from", "send_to", "read", "write"};
  return names.at(static_cast<std::size_t>(operation.kind));
}

SimCall call_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::recv_from:
    case Operation::Kind::read:
      return SimCall::recv;
    case Operation::Kind::send_to:
    case Operation::Kind::write:
      return SimCall::send;
    default:
      return static_cast<SimCall>(operation.kind);
  }
}

}  // namespace

std::size_t detail::direction_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::accept:
    case Operation::Kind::recv:
    case Operation::Kind::poll_in:
    case Operation::Kind::recv_from:
    case Operation::Kind::read:
      return 0;
    case Operation::Kind::connect:
    case Operation::Kind::send:
    case Operation::Kind::poll_out:
    case Operation::Kind::send_to:
    case Operation::Kind::write:
      break;
  }
  return 1;
}

// Descriptors and violations ------------------------------------------------------------

void SimBackend::Impl::violation(const std::string& text) { violations.push_back(text); }

// The socket of `fd`; null, and a violation when the number is one of ours, when
// it is not open.
SimSocket* SimBackend::Impl::checked(native_socket fd, const char* call) {
  SimSocket* socket = network.find(fd);
  if (socket == nullptr && fd >= first_descriptor) {
    violation(std::string(call) + " on closed descriptor " + std::to_string(fd));
  }
  return socket;
}

int SimBackend::Impl::scripted_error(SimCall call) noexcept {
  std::deque<Script>& queue = scripts[static_cast<std::size_t>(call)];
  if (queue.empty()) return 0;
  const int error = queue.front().error;
  if (--queue.front().times == 0) queue.pop_front();
  return error;
}

// Ends what is kept for `socket` besides its connection.
void SimBackend::Impl::drop_claims(SimSocket& socket, const char* call) {
  for (Operation*& operation : socket.pending) {
    if (operation == nullptr) continue;
    violation(std::string(call) + " of descriptor " + std::to_string(socket.fd) +
              " under a pending " + name_of(*operation));
    orphans.push_back(std::exchange(operation, nullptr));
  }
  socket.cancelling = {};
  if (std::exchange(socket.watched, 0u) != 0) --watch_count;
  socket.watch = nullptr;
}

// Operations ---------------------------------------------------------------------------

// One try: the result, or -EAGAIN when it has to wait.
std::int64_t SimBackend::Impl::attempt(SimSocket& socket, Operation& operation) {
  const SimCall call = call_of(operation);
  switch (operation.kind) {
    case Operation::Kind::accept:
      if (is_scripted(call) && !socket.backlog_queue.empty()) {
        const int error = scripted_error(call);
        if (error == ECONNABORTED) network.abort_next(socket);
        return -error;
      }
      return attempt_accept(socket, operation);
    case Operation::Kind::connect:
      return network.connect_result(socket);
    case Operation::Kind::recv:
    case Operation::Kind::read:
    case Operation::Kind::recv_from:
      if (const int error = scripted_error(call)) return -error;
      return attempt_recv(socket, operation);
    case Operation::Kind::send:
    case Operation::Kind::write:
    case Operation::Kind::send_to: {
      if (const int error = scripted_error(call)) return -error;
      const std::string_view piece(operation.data, operation.size);
      const bool is_addressed = operation.kind == Operation::Kind::send_to;
      return network.send(
          socket, {&piece, 1},
          is_addressed ? target_of(operation.address, operation.address_size) : Address());
    }
    case Operation::Kind::poll_in:
      if (const int error = scripted_error(call)) return -error;
      return (network.readiness(socket) & Watch::readable) != 0 ? 0 : -EAGAIN;
    case Operation::Kind::poll_out:
      if (const int error = scripted_error(call)) return -error;
      return (network.readiness(socket) & Watch::writable) != 0 ? 0 : -EAGAIN;
  }
  return -EINVAL;
}

std::int64_t SimBackend::Impl::attempt_accept(SimSocket& socket, Operation& operation) {
  const std::int64_t accepted = network.accept(socket);
  if (accepted >= 0 && operation.peer != nullptr) {
    const SimSocket* made = network.find(static_cast<native_socket>(accepted));
    write_address(made->peer, operation.peer, operation.address_size);
  }
  return accepted;
}

std::int64_t SimBackend::Impl::attempt_recv(SimSocket& socket, Operation& operation) {
  Address from;
  if (operation.data != nullptr) {
    const std::int64_t got = network.recv(socket, operation.data, operation.size, from);
    if (got >= 0 && operation.kind == Operation::Kind::recv_from) {
      write_address(from, operation.peer, operation.address_size);
    }
    if (got > 0) operation.lent = {operation.data, static_cast<std::size_t>(got)};
    return got;
  }

  const std::size_t size = std::min(operation.size, lent_size_max);
  std::string bytes(size, '\0');
  const std::int64_t result = network.recv(socket, bytes.data(), size, from);
  if (result < 0) return result;
  const auto count = static_cast<std::size_t>(result);
  lent = std::make_unique<char[]>(count);
  std::copy_n(bytes.data(), count, lent.get());
  operation.lent = {lent.get(), count};
  return result;
}

// The first try, where a connect is begun; none when it has to wait.
std::optional<std::int64_t> SimBackend::Impl::start(SimSocket& socket, Operation& operation) {
  if (operation.kind != Operation::Kind::connect) {
    const std::int64_t result = inline_left == 0 ? -EAGAIN : attempt(socket, operation);
    return result == -EAGAIN ? std::nullopt : std::optional(result);
  }
  const Address address = Address::from_native(operation.address, operation.address_size);
  const int result = network.connect(socket, address, scripted_error(SimCall::connect));
  // EAGAIN is the answer of a unix socket whose backlog is full.
  return result == -EINPROGRESS ? std::nullopt : std::optional<std::int64_t>(result);
}

bool SimBackend::Impl::end_in_submit(Operation& operation, std::int64_t result) noexcept {
  ++network.ledger.operations_completed;
  operation.result = result;
  return true;
}

bool SimBackend::Impl::submit(Operation& operation) {
  if (operation.pending) {
    violation(std::string("submit of a pending ") + name_of(operation));
    return false;
  }
  ++network.ledger.operations_submitted;
  operation.lent = {};
  SimSocket* socket = checked(operation.fd, name_of(operation));
  if (socket == nullptr) return end_in_submit(operation, -EBADF);
  const std::size_t direction = direction_of(operation);
  if (socket->pending.at(direction) != nullptr) return end_in_submit(operation, -EBUSY);

  bool is_over = false;
  const std::int64_t result = guarded([&] {
    const std::optional<std::int64_t> first = start(*socket, operation);
    is_over = first.has_value();
    return first.value_or(0);
  });
  if (is_over || result < 0) {
    if (result >= 0 && inline_left > 0) --inline_left;
    return end_in_submit(operation, result);
  }
  operation.pending = true;
  operation.tag = ++tag_count;
  socket->pending.at(direction) = &operation;
  socket->cancelling.at(direction) = false;
  ++pending_count;
  network.touch(*socket);
  return false;
}

// Takes `operation` away from its socket; false when it is not pending there.
bool SimBackend::Impl::take_back(Operation& operation, const char* verb) {
  const auto orphan = std::find(orphans.begin(), orphans.end(), &operation);
  SimSocket* socket = network.find(operation.fd);
  if (orphan != orphans.end()) {
    orphans.erase(orphan);
  } else if (operation.pending && socket != nullptr &&
             socket->pending.at(direction_of(operation)) == &operation) {
    socket->pending.at(direction_of(operation)) = nullptr;
  } else {
    violation(std::string(verb) + " of a " + name_of(operation) + " that is not pending");
    return false;
  }
  operation.pending = false;
  --pending_count;
  ++network.ledger.operations_cancelled;
  return true;
}

// Polling --------------------------------------------------------------------------------

// True when a try is worth while.
bool SimBackend::Impl::is_ready(const SimSocket& socket, const Operation& operation) const {
  if (socket.cancelling.at(direction_of(operation))) return true;
  const unsigned ready = network.readiness(socket);
  switch (operation.kind) {
    case Operation::Kind::accept:
      return socket.state != SimSocket::State::listening || ready != 0;
    case Operation::Kind::connect:
      return socket.state != SimSocket::State::connecting;
    case Operation::Kind::recv:
    case Operation::Kind::read:
    case Operation::Kind::recv_from:
      return (ready & Watch::readable) != 0 || operation.size == 0 || is_scripted(SimCall::recv);
    case Operation::Kind::poll_in:
      return (ready & Watch::readable) != 0 || is_scripted(SimCall::poll_in);
    case Operation::Kind::send:
    case Operation::Kind::write:
    case Operation::Kind::send_to:
    case Operation::Kind::poll_out:
      return (ready & Watch::writable) != 0 || is_scripted(call_of(operation));
  }
  return true;
}

bool SimBackend::Impl::is_anything_ready() const {
  const std::vector<SimSocketRef>& changes = network.changes();
  return std::any_of(changes.begin(), changes.end(), [this](const SimSocketRef& change) {
    const SimSocket* socket = network.find(change);
    if (socket == nullptr) return false;
    if ((network.readiness(*socket) & socket->watched) != 0) return true;
    return std::any_of(socket->pending.begin(), socket->pending.end(),
                       [&](const Operation* operation) {
                         return operation != nullptr && is_ready(*socket, *operation);
                       });
  });
}

// Gathers into `batch` what is ready now.
void SimBackend::Impl::collect() {
  for (const SimSocketRef& change : network.take_changes()) {
    SimSocket* socket = network.find(change);
    if (socket == nullptr) continue;
    for (Operation* operation : socket->pending) {
      if (operation != nullptr && is_ready(*socket, *operation)) {
        batch.push_back({change, operation, operation->tag});
      }
    }
    if ((network.readiness(*socket) & socket->watched) != 0) {
      batch.push_back({change});
      network.touch(*socket);  // Level-triggered: look again at the next poll.
    }
  }
}

// Collects, letting virtual time pass up to `timeout` until something is ready.
// True when it was to wait for ever and nothing can happen.
bool SimBackend::Impl::collect_within(Duration timeout) {
  const TimePoint limit = aster::detail::add_saturated(network.now(), timeout);
  network.run_due();
  collect();
  while (batch.empty() && orphans.empty() && !waker->take() && network.now() < limit) {
    const TimePoint next = std::min(limit, network.next_event());
    if (next == TimePoint::max()) {
      if (!options.wait_for_threads) return true;
      return !waker->wait();
    }
    network.set_now(next);
    network.run_due();
    collect();
  }
  return false;
}

// A watch that is always ready would stop the clock: no wait ever waits. In the
// real world time passes while a program spins; here it does once a great many
// waits in a row have ended with nothing but watches.
void SimBackend::Impl::creep(Duration timeout) {
  constexpr int busy_polls_max = 1000;
  constexpr Duration step = std::chrono::milliseconds(1);
  const bool is_busy = timeout > Duration::zero() && !batch.empty() &&
                       std::all_of(batch.begin(), batch.end(),
                                   [](const Ready& ready) { return ready.operation == nullptr; });
  busy_polls = is_busy ? busy_polls + 1 : 0;
  if (busy_polls <= busy_polls_max) return;
  busy_polls = busy_polls_max;
  network.set_now(aster::detail::add_saturated(network.now(), std::min(timeout, step)));
}

void SimBackend::Impl::complete(Operation& operation, std::int64_t result) noexcept {
  ++network.ledger.operations_completed;
  --pending_count;
  operation.pending = false;
  operation.result = result;
  // A receive inside `complete` must not free what this one has lent.
  const std::unique_ptr<char[]> mine = std::move(lent);
  operation.complete(operation);
}

void SimBackend::Impl::deliver(const Ready& ready) {
  SimSocket* socket = network.find(ready.socket);
  if (socket == nullptr) return;
  if (ready.operation == nullptr) {
    const unsigned events = network.readiness(*socket) & socket->watched;
    if (events != 0) socket->watch->ready(*socket->watch, events);
    return;
  }

  const auto place = std::find(socket->pending.begin(), socket->pending.end(), ready.operation);
  if (place == socket->pending.end() || ready.operation->tag != ready.tag) return;
  Operation& operation = *ready.operation;
  bool& cancelling = socket->cancelling.at(direction_of(operation));
  std::int64_t result = -ECANCELED;
  if (!cancelling || network.random.chance(1, 2)) {
    result = guarded([&] { return attempt(*socket, operation); });
  }
  if (result == -EAGAIN && !cancelling) return network.touch(*socket);
  if (result == -EAGAIN) result = -ECANCELED;
  cancelling = false;
  *place = nullptr;
  complete(operation, result);
}

void SimBackend::Impl::deliver_orphans() {
  while (!orphans.empty()) {
    Operation& operation = *orphans.front();
    orphans.erase(orphans.begin());
    complete(operation, -EBADF);
  }
}

std::int64_t SimBackend::Impl::send_now(native_socket fd, std::span<const std::string_view> pieces,
                                        const Address& target) {
  SimSocket* socket = checked(fd, "send");
  if (socket == nullptr) return -EBADF;
  if (const int error = scripted_error(SimCall::send)) return -error;
  return network.send(*socket, pieces, target);
}

std::int64_t SimBackend::Impl::recv_from_now(native_socket fd, std::span<char> buffer,
                                             Address& from) {
  SimSocket* socket = checked(fd, "recv");
  if (socket == nullptr) return -EBADF;
  if (const int error = scripted_error(SimCall::recv)) return -error;
  return network.recv(*socket, buffer.data(), buffer.size(), from);
}

}  // namespace aster::inline v0::testing
