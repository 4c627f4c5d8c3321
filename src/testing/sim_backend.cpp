// SPDX-License-Identifier: MIT
#include <aster/testing/sim_backend.hpp>

#include "testing/sim_system.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace aster::inline v0::testing {

using detail::direction_of;
using detail::guarded;
using detail::SimNetwork;
using detail::SimSocket;
using detail::write_address;

SimBackend::SimBackend() : SimBackend(SimOptions()) {}
SimBackend::SimBackend(SimOptions options) : impl_(std::make_unique<Impl>(options)) {}
SimBackend::~SimBackend() = default;

void SimBackend::advance(Duration time) {
  impl_->network.set_now(aster::detail::add_saturated(impl_->network.now(), time));
}

bool SimBackend::deadlocked() const noexcept { return impl_->deadlocked; }

void SimBackend::add_local_network(std::string_view network) {
  impl_->network.ports.add_local_network(network);
}

void SimBackend::clear_local_networks() { impl_->network.ports.clear_local_networks(); }

void SimBackend::add_black_hole(const Address& address) {
  impl_->network.ports.add_black_hole(address);
}

void SimBackend::fail_next(SimCall call, int error, std::size_t times) {
  if (times == 0) return;
  impl_->scripts.at(static_cast<std::size_t>(call)).push_back({error, times});
  impl_->network.touch_all();  // What is pending fails at the next poll.
}

void SimBackend::cut_after(native_socket fd, std::size_t bytes, Cut cut) {
  SimSocket* socket = impl_->network.find(fd);
  if (socket == nullptr || !socket->connection) {
    throw ValueError("cut_after: descriptor " + std::to_string(fd) + " is not connected");
  }
  impl_->network.cut_after(*socket, bytes, cut);
}

SimPipe SimBackend::open_pipe() { return impl_->network.open_pipe(); }

SimLedger SimBackend::ledger() const noexcept { return impl_->network.ledger; }

const std::vector<std::string>& SimBackend::violations() const noexcept {
  return impl_->violations;
}

std::vector<native_socket> SimBackend::open_descriptors() const {
  return impl_->network.open_descriptors();
}

std::string_view SimBackend::name() const noexcept { return "sim"; }

TimePoint SimBackend::now() noexcept { return impl_->network.now(); }

void SimBackend::poll(Duration timeout) noexcept {
  Impl& impl = *impl_;
  impl.inline_left = impl.options.inline_budget;
  impl.lent.reset();
  impl.batch.clear();
  impl.deadlocked = impl.collect_within(timeout);
  impl.creep(timeout);
  if (impl.options.shuffle) impl.network.random.shuffle(std::span(impl.batch));
  impl.deliver_orphans();
  for (const Impl::Ready& ready : std::exchange(impl.batch, {})) impl.deliver(ready);
}

bool SimBackend::is_watching() const noexcept {
  return impl_->pending_count + impl_->watch_count > 0;
}

bool SimBackend::is_poll_due() const noexcept {
  return !impl_->orphans.empty() || impl_->network.next_event() <= impl_->network.now() ||
         impl_->is_anything_ready();
}

std::shared_ptr<Waker> SimBackend::waker() const noexcept { return impl_->waker; }

bool SimBackend::submit(Operation& operation) noexcept { return impl_->submit(operation); }

bool SimBackend::cancel(Operation& operation) noexcept {
  SimSocket* socket = impl_->network.find(operation.fd);
  const std::size_t direction = direction_of(operation);
  const bool is_here = socket != nullptr && socket->pending.at(direction) == &operation;
  if (is_here && socket->cancelling.at(direction)) return false;
  if (is_here && impl_->options.late_cancel && impl_->network.random.chance(1, 2)) {
    socket->cancelling.at(direction) = true;
    impl_->network.touch(*socket);
    return false;
  }
  impl_->take_back(operation, "cancel");
  return true;
}

void SimBackend::reclaim(Operation& operation) noexcept { impl_->take_back(operation, "reclaim"); }

int SimBackend::set_watch(native_socket fd, unsigned events, Watch& watch) noexcept {
  SimSocket* socket = impl_->network.find(fd);
  if (socket == nullptr) return events == 0 ? 0 : -EBADF;
  if (events != 0) {
    if (const int error = impl_->scripted_error(SimCall::set_watch)) return -error;
  }
  if (socket->watched != 0) --impl_->watch_count;
  if (events != 0) ++impl_->watch_count;
  socket->watched = events;
  socket->watch = events != 0 ? &watch : nullptr;
  return guarded([&] {
    impl_->network.touch(*socket);
    return 0;
  });
}

std::int64_t SimBackend::open_socket(int family, int type, int protocol) noexcept {
  if (const int error = impl_->scripted_error(SimCall::open_socket)) return -error;
  return guarded([&] { return impl_->network.open(family, type, protocol); });
}

void SimBackend::forget(native_socket fd) noexcept {
  if (SimSocket* socket = impl_->checked(fd, "forget")) impl_->drop_claims(*socket, "forget");
}

int SimBackend::close_socket(native_socket fd) noexcept {
  SimSocket* socket = impl_->checked(fd, "close");
  if (socket == nullptr) return -EBADF;
  impl_->drop_claims(*socket, "close");
  impl_->network.close(*socket);
  return 0;
}

int SimBackend::bind(native_socket fd, const void* address, std::uint32_t size) noexcept {
  SimSocket* socket = impl_->checked(fd, "bind");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::bind)) return -error;
  return guarded(
      [&] { return impl_->network.ports.bind(*socket, Address::from_native(address, size)); });
}

int SimBackend::listen(native_socket fd, int backlog) noexcept {
  SimSocket* socket = impl_->checked(fd, "listen");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::listen)) return -error;
  return guarded([&] { return impl_->network.listen(*socket, backlog); });
}

int SimBackend::local_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "local_address");
  return socket == nullptr ? -EBADF : write_address(socket->local, address, size);
}

int SimBackend::peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "peer_address");
  if (socket == nullptr) return -EBADF;
  if (!SimNetwork::is_connected(*socket)) return -ENOTCONN;
  return write_address(socket->peer, address, size);
}

int SimBackend::set_option(native_socket fd, int level, int name, const void* value,
                           std::uint32_t size) noexcept {
  SimSocket* socket = impl_->checked(fd, "set_option");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::set_option)) return -error;
  return guarded([&] {
    return impl_->network.set_option(*socket, level, name, {static_cast<const char*>(value), size});
  });
}

int SimBackend::set_no_delay(native_socket fd) noexcept {
  const int on = 1;
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int SimBackend::get_option(native_socket fd, int level, int name, void* value,
                           std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "get_option");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::get_option)) return -error;
  return guarded([&] {
    const std::string found = impl_->network.get_option(*socket, level, name);
    size = std::min(size, static_cast<std::uint32_t>(found.size()));
    std::memcpy(value, found.data(), size);
    return 0;
  });
}

std::int64_t SimBackend::send_now(native_socket fd, const char* data, std::size_t size) noexcept {
  const std::string_view piece(data, size);
  return send_now(fd, {&piece, 1});
}

std::int64_t SimBackend::send_now(native_socket fd,
                                  std::span<const std::string_view> pieces) noexcept {
  return guarded([&] { return impl_->send_now(fd, pieces, Address()); });
}

std::int64_t SimBackend::send_to_now(native_socket fd, std::string_view data, const void* address,
                                     std::uint32_t address_size) noexcept {
  return guarded(
      [&] { return impl_->send_now(fd, {&data, 1}, detail::target_of(address, address_size)); });
}

std::int64_t SimBackend::recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                                       std::uint32_t& peer_size) noexcept {
  Address from;
  const std::int64_t result = guarded([&] { return impl_->recv_from_now(fd, buffer, from); });
  if (result >= 0) write_address(from, peer, peer_size);
  return result;
}

int SimBackend::shutdown_write(native_socket fd) noexcept {
  SimSocket* socket = impl_->checked(fd, "shutdown_write");
  if (socket == nullptr) return -EBADF;
  return guarded([&] { return impl_->network.shutdown_write(*socket); });
}

// The whole system is in this process's own memory: nothing is shared with the
// parent, nothing has to be closed.
void SimBackend::abandon_after_fork() noexcept {}

}  // namespace aster::inline v0::testing
