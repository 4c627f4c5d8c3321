// SPDX-License-Identifier: MIT
// open_connection and its kin: a descriptor, and a StreamLink on it.
#include "net/connecting.hpp"
#include "net/net_service.hpp"
#include "net/pipe_file.hpp"
#include "net/stream_link.hpp"
#include "net/tls_handshake.hpp"

#include <aster/net/streams.hpp>

#include <string>
#include <utility>

namespace aster::inline v0 {
namespace detail {
namespace {

StateRef<StreamLink> open_link(native_socket fd, Medium medium, std::size_t limit,
                               const std::source_location& source) {
  return NetService::adopt<StreamLink>(get_running_loop(), fd, medium, limit, source);
}

Coroutine<Connection> connection_on(native_socket fd, std::size_t limit,
                                    std::source_location source, std::optional<TlsSetup> tls) {
  const StateRef<StreamLink> link = open_link(fd, Medium::socket, limit, source);
  if (tls) {
    auto shaking = shake_hands(StateRef<StreamTransport>::share(*link), std::move(*tls));
    co_await std::move(shaking);
  }
  co_return Connection(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                       StreamAccess::writer(link));
}

Coroutine<Connection> open(Coroutine<native_socket> connecting, std::size_t limit,
                           std::source_location source, std::optional<TlsSetup> tls) {
  const native_socket fd = co_await std::move(connecting);
  auto made = connection_on(fd, limit, source, std::move(tls));
  co_return co_await std::move(made);
}

Coroutine<Connection> open_on(Socket socket, std::size_t limit, std::source_location source,
                              std::optional<TlsSetup> tls) {
  const native_socket fd = take_connected("open_connection", get_running_loop(), std::move(socket));
  auto made = connection_on(fd, limit, source, std::move(tls));
  co_return co_await std::move(made);
}

Coroutine<ReadPipe> open_reader(native_file fd, std::size_t limit, std::source_location source) {
  EventLoop& loop = get_running_loop();
  check_pipe("open_read_pipe", loop, fd);
  const StateRef<StreamLink> link = open_link(fd, Medium::read_pipe, limit, source);
  co_return ReadPipe(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                     TransportRef<ReadTransport>(*link));
}

Coroutine<StreamWriter> open_writer(native_file fd, std::size_t limit,
                                    std::source_location source) {
  EventLoop& loop = get_running_loop();
  const bool has_reader = check_pipe("open_write_pipe", loop, fd);
  const StateRef<StreamLink> link = open_link(fd, Medium::write_pipe, limit, source);
  if (has_reader) link->watch_reader();
  co_return StreamAccess::writer(link);
}

void check_limit(const char* call, std::size_t limit) {
  if (limit == 0) throw ValueError(std::string(call) + ": limit must not be 0");
}

}  // namespace
}  // namespace detail

Coroutine<Connection> open_connection(std::string_view host, int port, ConnectOptions options) {
  detail::check_limit("open_connection", options.limit);
  return detail::open(
      detail::connect_host(detail::ConnectPlan("open_connection", host, port, options)),
      options.limit, options.source, detail::client_tls("open_connection", options, host));
}

Coroutine<Connection> open_connection(Socket socket, ConnectOptions options) {
  detail::check_limit("open_connection", options.limit);
  return detail::open_on(std::move(socket), options.limit, options.source,
                         detail::client_tls("open_connection", options, std::nullopt));
}

Coroutine<Connection> open_unix_connection(std::string_view path, UnixConnectOptions options) {
  detail::check_limit("open_unix_connection", options.limit);
  return detail::open(detail::connect_path(Address::unix_path(path)), options.limit, options.source,
                      detail::client_tls("open_unix_connection", options, std::nullopt));
}

Coroutine<ReadPipe> open_read_pipe(native_file fd, PipeOptions options) {
  detail::check_limit("open_read_pipe", options.limit);
  return detail::open_reader(fd, options.limit, options.source);
}

Coroutine<StreamWriter> open_write_pipe(native_file fd, PipeOptions options) {
  detail::check_limit("open_write_pipe", options.limit);
  return detail::open_writer(fd, options.limit, options.source);
}

}  // namespace aster::inline v0
