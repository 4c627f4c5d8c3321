// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/io/socket.hpp>
#include <aster/net/options.hpp>
#include <aster/net/server.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/stream_writer.hpp>
#include <aster/task/task.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// A connection: its two halves. Works as a pair: `auto& [reader, writer] = link;`.
struct Connection {
  /// From two halves.
  Connection(StreamReader r, StreamWriter w) noexcept
      : reader(std::move(r)), writer(std::move(w)) {}
  StreamReader reader;
  StreamWriter writer;
};

/// Connects to a host by TCP: the counterpart of asyncio.open_connection.
///
///     Connection c = co_await open_connection("127.0.0.1", 8080);
///     c.writer.write("hello\n");
///     std::string answer = co_await c.reader.readline();
///
/// A host with several addresses is tried address by address, in the resolver's
/// order, or staggered; see `ConnectOptions`. When all fail: the error, when it is one or all are
/// alike, else one `std::system_error` that lists them. ValueError for an empty or over-long host,
/// a port outside 1 to 65535 and a negative `interleave`; a failed look-up is a `std::system_error`
/// of `gai_category()`. Cancelling it closes the socket.
[[nodiscard]] ASTER_API Coroutine<Connection> open_connection(std::string_view host, int port,
                                                              ConnectOptions options = {});
/// A stream on a connected stream socket, which it takes over. ValueError for other
/// kinds of sockets; then, and while the call has not been awaited, it is closed.
[[nodiscard]] ASTER_API Coroutine<Connection> open_connection(Socket socket,
                                                              ConnectOptions options = {});
/// Connects to the path of a unix socket, or with a '\0' in front to a name of Linux's
/// abstract namespace. ValueError for an empty or over-long path. While the server's
/// backlog is full it tries again for a while, as TCP does.
[[nodiscard]] ASTER_API Coroutine<Connection> open_unix_connection(std::string_view path,
                                                                   UnixConnectOptions options = {});

/// A pipe that is read from.
struct ReadPipe {
  /// From its parts.
  ReadPipe(StreamReader r, TransportRef<ReadTransport> t) noexcept
      : reader(std::move(r)), transport(std::move(t)) {}
  StreamReader reader;
  TransportRef<ReadTransport> transport;  ///< To close it before its end.
};

/// Reads a pipe, FIFO, terminal or other character device, or a socket: the counterpart
/// of `loop.connect_read_pipe` with a StreamReaderProtocol.
///
///     ReadPipe input = co_await open_read_pipe(STDIN_FILENO);
///     std::string line = co_await input.reader.readline();
///
/// Takes the descriptor over, makes it non-blocking and closes it at the end of the
/// stream. ValueError for other kinds of files; the descriptor then stays the caller's.
[[nodiscard]] ASTER_API Coroutine<ReadPipe> open_read_pipe(native_file fd,
                                                           PipeOptions options = {});
/// Writes to such a file. When its reader goes, the stream closes; with bytes that are
/// not yet written, `drain` throws EPIPE.
[[nodiscard]] ASTER_API Coroutine<StreamWriter> open_write_pipe(native_file fd,
                                                                PipeOptions options = {});

namespace detail {

/// What a server calls for every connection; kept until the last handler ended.
class ASTER_API ClientHandler {
 public:
  ClientHandler() noexcept = default;
  ClientHandler(const ClientHandler&) = delete;
  ClientHandler& operator=(const ClientHandler&) = delete;
  virtual ~ClientHandler();
  /// Handles one connection; a plain callback is over when this returns.
  virtual Coroutine<> handle(StreamReader reader, StreamWriter writer) = 0;
};

template <class F>
class TypedClientHandler final : public ClientHandler {
 public:
  explicit TypedClientHandler(F callback) : callback_(std::move(callback)) {}
  Coroutine<> handle(StreamReader reader, StreamWriter writer) override {
    if constexpr (is_coroutine<
                      std::remove_cvref_t<std::invoke_result_t<F&, StreamReader, StreamWriter>>>) {
      static_assert(
          std::is_same_v<std::invoke_result_t<F&, StreamReader, StreamWriter>, Coroutine<>>,
          "aster: the callback of start_server gives Coroutine<> or void");
      return callback_(std::move(reader), std::move(writer));
    } else {
      callback_(std::move(reader), std::move(writer));
      return Coroutine<>();
    }
  }

 private:
  F callback_;
};

[[nodiscard]] ASTER_API Coroutine<Server> start_server(std::shared_ptr<ClientHandler> handler,
                                                       std::vector<std::string> hosts, int port,
                                                       ServerOptions options, KeptTls tls);

[[nodiscard]] ASTER_API Coroutine<Server> start_server(std::shared_ptr<ClientHandler> handler,
                                                       Socket socket, ServerOptions options,
                                                       KeptTls tls);
[[nodiscard]] ASTER_API Coroutine<Server> start_unix_server(std::shared_ptr<ClientHandler> handler,
                                                            std::string path,
                                                            UnixServerOptions options, KeptTls tls);

template <class F>
[[nodiscard]] std::shared_ptr<ClientHandler> client_handler(F&& callback) {
  return std::make_shared<TypedClientHandler<std::decay_t<F>>>(std::forward<F>(callback));
}

}  // namespace detail

/// Listens on a host and calls `callback(reader, writer)` for every connection: the
/// counterpart of asyncio.start_server. A callback that is a coroutine runs as a
/// task of its own; an error that leaves it goes to the loop's exception handler
/// and closes that connection only.
///
///     Server server = co_await start_server(
///         [](StreamReader r, StreamWriter w) -> Coroutine<> { co_return; }, "127.0.0.1", 0);
///
/// The callback and its captures live until the last handler it started has ended. A
/// host of "" means all interfaces; port 0 takes a free port for each address.
/// ValueError for a port outside 0 to 65535; `std::system_error` when an address
/// cannot be bound ("bind 127.0.0.1:80: Permission denied").
template <class F>
  requires(std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>)
[[nodiscard]] Coroutine<Server> start_server(F&& callback, std::string_view host, int port,
                                             ServerOptions options = {}) {
  std::vector<std::string> hosts;
  hosts.emplace_back(host);
  return detail::start_server(detail::client_handler(std::forward<F>(callback)), std::move(hosts),
                              port, options, detail::KeptTls(options.ssl));
}

/// The same on several hosts.
template <class F>
  requires(std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>)
[[nodiscard]] Coroutine<Server> start_server(F&& callback, std::vector<std::string> hosts, int port,
                                             ServerOptions options = {}) {
  return detail::start_server(detail::client_handler(std::forward<F>(callback)), std::move(hosts),
                              port, options, detail::KeptTls(options.ssl));
}

/// The same on a bound stream socket, which the server takes over.
template <class F>
  requires(std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>)
[[nodiscard]] Coroutine<Server> start_server(F&& callback, Socket socket,
                                             ServerOptions options = {}) {
  return detail::start_server(detail::client_handler(std::forward<F>(callback)), std::move(socket),
                              options, detail::KeptTls(options.ssl));
}

/// The same on the path of a unix socket: the counterpart of asyncio.start_unix_server.
/// A file that a dead server has left at `path` is removed; a path in use, by a server
/// that lives or a file of another kind, is an EADDRINUSE. Closing removes the file.
template <class F>
  requires(std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>)
[[nodiscard]] Coroutine<Server> start_unix_server(F&& callback, std::string_view path,
                                                  UnixServerOptions options = {}) {
  return detail::start_unix_server(detail::client_handler(std::forward<F>(callback)),
                                   std::string(path), options, detail::KeptTls(options.ssl));
}

}  // namespace aster::inline v0
