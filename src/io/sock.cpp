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

using detail::AddressedAwaiter;
using detail::SockAwaiter;
using detail::SockClaim;
using detail::SocketUse;
using Kind = Operation::Kind;

void require_room(const char* call, std::size_t size) {
  if (size == 0) throw ValueError(std::string(call) + ": the buffer has a size of 0");
}

/// The number of bytes that `result` is, or its error thrown.
std::size_t count_of(SockClaim& claim, std::int64_t result) {
  if (result < 0) claim.fail(result);
  return static_cast<std::size_t>(result);
}

/// What a cancelled receive has left, of which there is something.
std::size_t take_left(SockClaim& claim, std::span<char> buffer, Address& from) {
  return count_of(claim, claim.use()->take_bytes(buffer, from));
}
std::size_t take_left(SockClaim& claim, std::span<char> buffer) {
  Address from;
  return take_left(claim, buffer, from);
}

/// Receives once, for a claim that `sock_recvfrom` or its like has made.
Coroutine<std::size_t> receive_from(SockClaim& claim, std::span<char> buffer, Address& from) {
  if (claim.use()->has_bytes()) co_return take_left(claim, buffer, from);
  AddressedAwaiter receiving(claim, Kind::recv_from, buffer);
  const std::int64_t result = co_await receiving;
  const std::size_t count = count_of(claim, result);
  from = receiving.from();
  co_return count;
}

Coroutine<> connect_to(EventLoop& loop, Socket& socket, Address address) {
  SockClaim claim(loop, socket, SocketUse::writing, "sock_connect");
  if (address.size() == 0) throw ValueError("sock_connect: the address is empty");
  AddressedAwaiter connecting(claim, Kind::connect, {}, address);
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
  AddressedAwaiter accepting(claim, Kind::accept);
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
  std::size_t count = 0;
  if (claim.use()->has_bytes()) {
    count = take_left(claim, {buffer.get(), size});
  } else {
    SockAwaiter receiving(claim, Kind::recv, buffer.get(), size);
    const std::int64_t result = co_await receiving;
    count = count_of(claim, result);
  }
  co_return std::string(buffer.get(), count);
}

Coroutine<std::size_t> EventLoop::sock_recv_into(Socket& socket, std::span<char> buffer) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recv_into");
  require_room("sock_recv_into", buffer.size());
  if (claim.use()->has_bytes()) co_return take_left(claim, buffer);
  SockAwaiter receiving(claim, Kind::recv, buffer.data(), buffer.size());
  const std::int64_t result = co_await receiving;
  co_return count_of(claim, result);
}

Coroutine<ReceivedFrom> EventLoop::sock_recvfrom(Socket& socket, std::size_t size) {
  SockClaim claim(*this, socket, SocketUse::reading, "sock_recvfrom");
  require_room("sock_recvfrom", size);
  const auto buffer = std::make_unique_for_overwrite<char[]>(size);
  Address from;
  auto receiving = receive_from(claim, {buffer.get(), size}, from);
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
  auto receiving = receive_from(claim, buffer, from);
  const std::size_t count = co_await std::move(receiving);
  co_return ReceivedIntoFrom(count, from);
}

Coroutine<> EventLoop::sock_sendall(Socket& socket, std::string_view data) {
  SockClaim claim(*this, socket, SocketUse::writing, "sock_sendall");
  if (data.empty()) co_return;
  SockAwaiter sending(claim, Kind::send, data.data(), data.size());
  const std::int64_t result = co_await sending;
  data.remove_prefix(count_of(claim, result));
  if (data.empty()) co_return;  // As a rule.
  auto rest = detail::send_all(claim, data);
  co_await std::move(rest);
}

Coroutine<std::size_t> EventLoop::sock_sendto(Socket& socket, std::string_view data,
                                              Address address) {
  SockClaim claim(*this, socket, SocketUse::writing, "sock_sendto");
  if (address.size() == 0) throw ValueError("sock_sendto: the address is empty");
  AddressedAwaiter sending(claim, Kind::send_to, data, address);
  const std::int64_t result = co_await sending;
  if (result < 0) claim.fail(result, address);
  co_return static_cast<std::size_t>(result);
}

namespace detail {

Coroutine<> send_all(SockClaim& claim, std::string_view data) {
  while (!data.empty()) {
    SockAwaiter sending(claim, Kind::send, data.data(), data.size());
    const std::int64_t result = co_await sending;
    data.remove_prefix(count_of(claim, result));
  }
}

}  // namespace detail
}  // namespace aster::inline v0
