// SPDX-License-Identifier: MIT
// The loop's sock_* functions. Each claims its direction of the socket, takes what a
// cancelled call has left, and else asks the back end.
#include <aster/base/error.hpp>
#include <aster/io/resolve.hpp>
#include <aster/io/sock.hpp>

#include "io/socket_use.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace aster::inline v0 {
namespace {

using detail::SockAwaiter;
using detail::SockClaim;
using detail::SocketUse;
using Kind = Operation::Kind;

void require_room(const char* call, std::size_t size) {
  if (size == 0) throw ValueError(std::string(call) + ": the buffer has a size of 0");
}

/// Receives once; the number of bytes.
Coroutine<std::size_t> receive(SockClaim& claim, Kind kind, std::span<char> buffer, Address& from) {
  if (claim.use()->has_bytes()) {
    const std::int64_t left = claim.use()->take_bytes(buffer, from);
    if (left < 0) claim.fail(left);
    co_return static_cast<std::size_t>(left);
  }
  SockAwaiter receiving(claim, kind, buffer.data(), buffer.size());
  const std::int64_t result = co_await receiving;
  if (result < 0) claim.fail(result);
  from = receiving.from();
  co_return static_cast<std::size_t>(result);
}

Coroutine<> connect_to(EventLoop& loop, Socket& socket, Address address) {
  SockClaim claim(loop, socket, SocketUse::writing, "sock_connect");
  if (address.size() == 0) throw ValueError("sock_connect: the address is empty");
  SockAwaiter connecting(claim, Kind::connect, nullptr, 0, address);
  const std::int64_t result = co_await connecting;
  if (result < 0) claim.fail(result, address);
}

Coroutine<> look_up_and_connect(EventLoop& loop, Socket& socket, std::string host, int port) {
  if (socket.is_closed()) detail::throw_system_error(EBADF, "sock_connect on a closed socket");
  if (std::optional<Address> literal = Address::try_parse(host, port)) {
    auto connecting = connect_to(loop, socket, *literal);
    co_await std::move(connecting);
    co_return;
  }
  GetaddrinfoOptions options;
  options.family = socket.getsockname().family();
  options.type = SOCK_STREAM;
  auto looking_up = loop.getaddrinfo(host, port, options);
  const std::vector<AddressInfo> found = co_await std::move(looking_up);
  auto connecting = connect_to(loop, socket, found.front().address);
  co_await std::move(connecting);
}

}  // namespace

Coroutine<Accepted> EventLoop::sock_accept(Socket& socket) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_accept");
  if (claim.use()->has_connection()) {
    Address from;
    Socket kept = claim.use()->take_connection(from);
    co_return Accepted(std::move(kept), from);
  }
  SockAwaiter accepting(claim, Kind::accept);
  const std::int64_t result = co_await accepting;
  if (result < 0) claim.fail(result);
  Socket made = SocketUse::socket_of(static_cast<native_socket>(result), claim.own_backend());
  const Address from = accepting.from();
  co_return Accepted(std::move(made), from);
}

Coroutine<> EventLoop::sock_connect(Socket& socket, Address address) {
  return connect_to(*this, socket, address);
}

Coroutine<> EventLoop::sock_connect(Socket& socket, std::string_view host, int port) {
  return look_up_and_connect(*this, socket, std::string(host), port);
}

Coroutine<std::string> EventLoop::sock_recv(Socket& socket, std::size_t size) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recv");
  require_room("sock_recv", size);
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  Address from;
  auto receiving = receive(claim, Kind::recv, {buffer.get(), size}, from);
  const std::size_t count = co_await std::move(receiving);
  co_return std::string(buffer.get(), count);
}

Coroutine<std::size_t> EventLoop::sock_recv_into(Socket& socket, std::span<char> buffer) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recv_into");
  require_room("sock_recv_into", buffer.size());
  Address from;
  auto receiving = receive(claim, Kind::recv, buffer, from);
  const std::size_t count = co_await std::move(receiving);
  co_return count;
}

Coroutine<ReceivedFrom> EventLoop::sock_recvfrom(Socket& socket, std::size_t size) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recvfrom");
  require_room("sock_recvfrom", size);
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  Address from;
  auto receiving = receive(claim, Kind::recv_from, {buffer.get(), size}, from);
  const std::size_t count = co_await std::move(receiving);
  std::string data(buffer.get(), count);
  co_return ReceivedFrom(std::move(data), from);
}

Coroutine<ReceivedIntoFrom> EventLoop::sock_recvfrom_into(Socket& socket, std::span<char> buffer,
                                                          std::size_t size) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recvfrom_into");
  require_room("sock_recvfrom_into", buffer.size());
  if (size > buffer.size()) {
    throw ValueError("sock_recvfrom_into: a size of " + std::to_string(size) +
                     " is more than the buffer's " + std::to_string(buffer.size()));
  }
  if (size != 0) buffer = buffer.first(size);
  Address from;
  auto receiving = receive(claim, Kind::recv_from, buffer, from);
  const std::size_t count = co_await std::move(receiving);
  co_return ReceivedIntoFrom(count, from);
}

Coroutine<> EventLoop::sock_sendall(Socket& socket, std::string_view data) {
  SockClaim claim(*this, socket, SocketUse::writing, "sock_sendall");
  auto sending = detail::send_all(claim, data);
  co_await std::move(sending);
}

Coroutine<std::size_t> EventLoop::sock_sendto(Socket& socket, std::string_view data,
                                              Address address) {
  SockClaim claim(*this, socket, SocketUse::writing, "sock_sendto");
  if (address.size() == 0) throw ValueError("sock_sendto: the address is empty");
  SockAwaiter sending(claim, Kind::send_to, data.data(), data.size(), address);
  const std::int64_t result = co_await sending;
  if (result < 0) claim.fail(result, address);
  co_return static_cast<std::size_t>(result);
}

namespace detail {

Coroutine<> send_all(SockClaim& claim, std::string_view data) {
  while (!data.empty()) {
    SockAwaiter sending(claim, Kind::send, const_cast<char*>(data.data()), data.size());
    const std::int64_t result = co_await sending;
    if (result < 0) claim.fail(result);
    data.remove_prefix(static_cast<std::size_t>(result));
  }
}

}  // namespace detail
}  // namespace aster::inline v0
