// SPDX-License-Identifier: MIT
#pragma once

#include <aster/coro/coroutine.hpp>
#include <aster/io/address.hpp>
#include <aster/io/resolve.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/net/options.hpp>

#include <string>
#include <string_view>
#include <vector>

/// From names and paths to connected descriptors, for streams and protocols alike.
namespace aster::inline v0::detail {

/// ValueError unless `port` is `lowest` to 65535.
void check_port(const char* call, int port, int lowest);

/// The addresses of a host for TCP, in the resolver's order; numeric ones without a
/// look-up. Throws ValueError and look-up errors that name `call`.
[[nodiscard]] Coroutine<std::vector<Address>> resolve_for(const char* call, std::string host,
                                                          int port, GetaddrinfoOptions options);

/// What a connection attempt needs after its first suspension.
struct ConnectPlan {
  /// ValueError for what cannot be; `caller` is what the errors name.
  ConnectPlan(const char* caller, std::string_view host_, int port_, const ConnectOptions& options);
  const char* call;
  std::string host;
  int port;
  GetaddrinfoOptions lookup;
  bool all_errors;
  Duration stagger;  // Between attempts; `max`: each waits for the end of the one before.
  int interleave;    // 0: not at all.
  int local_port;
  std::string local_host;
};

/// A connected TCP socket, the caller's.
[[nodiscard]] Coroutine<native_socket> connect_host(ConnectPlan plan);
/// A connected unix socket, the caller's.
[[nodiscard]] Coroutine<native_socket> connect_path(Address path);

/// ValueError unless `socket` is a stream socket of the loop's system, RuntimeError when
/// it belongs to a transport.
void require_stream_socket(const char* call, EventLoop& loop, const Socket& socket);
/// The descriptor of such a socket, made non-blocking.
[[nodiscard]] native_socket take_connected(const char* call, EventLoop& loop, Socket socket);

}  // namespace aster::inline v0::detail
