// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>

#include <cstddef>
#include <string>
#include <utility>

/// What the loop's `sock_*` functions give and take. They work on a `Socket` of the
/// program's own; for servers and clients prefer streams.
///
///     Coroutine<> echo(EventLoop& loop, Socket client) {
///       for (;;) {
///         std::string data = co_await loop.sock_recv(client, 4096);
///         if (data.empty()) break;
///         co_await loop.sock_sendall(client, data);
///       }
///     }
///
/// All of them are coroutines: nothing happens and nothing is checked before they are
/// awaited. The call is tried at once; the task waits only when it would block. The
/// socket must outlive the await; closing it meanwhile ends the wait with EBADF.
///
/// Thread rule: tasks of that loop only (RuntimeError elsewhere). One operation at a
/// time reads (accepts, receives) and one writes (connects, sends): a second one of
/// the same direction is a RuntimeError that names both, where asyncio would lose the
/// first. RuntimeError for a descriptor that belongs to a transport; ValueError for an
/// empty buffer and, in debug mode, for a blocking socket. The system's errors are
/// `std::system_error`s: "sock_recv on socket 5: Connection reset by peer".
///
/// Cancelling one loses nothing: a connection or bytes that came in the very turn of
/// the cancellation are given to the next `sock_accept` or receive. A connection that
/// no later `sock_accept` takes is closed with its listener, and the loop's exception
/// handler is told.
namespace aster::inline v0 {

/// A connection that `sock_accept` took.
struct Accepted {
  /// From its parts.
  Accepted(Socket socket_, const Address& address_) noexcept
      : socket(std::move(socket_)), address(address_) {}

  Socket socket;
  Address address;  ///< Where it comes from.
};

/// What `sock_recvfrom` received.
struct ReceivedFrom {
  /// From its parts.
  ReceivedFrom(std::string data_, const Address& address_)
      : data(std::move(data_)), address(address_) {}

  std::string data;
  Address address;  ///< The sender; none from a stream socket.
};

/// What `sock_recvfrom_into` received.
struct ReceivedIntoFrom {
  /// From its parts.
  ReceivedIntoFrom(std::size_t size_, const Address& address_) noexcept
      : size(size_), address(address_) {}

  std::size_t size = 0;  ///< Bytes at the buffer's begin.
  Address address;       ///< The sender; none from a stream socket.
};

/// Options of `sock_sendfile`.
struct SendfileOptions {
  /// Reads the file in a thread and sends it in pieces of 256 KiB where the kernel
  /// cannot send it itself; false: that is a SendfileNotAvailableError.
  bool fallback = true;
};

}  // namespace aster::inline v0
