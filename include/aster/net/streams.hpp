// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/net/server.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/stream_writer.hpp>
#include <aster/task/task.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <source_location>
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

/// Options of `open_connection`.
struct ConnectOptions {
  /// The reader's limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  /// AF_INET or AF_INET6; 0: both.
  int family = 0;
  /// Throws all errors as an ExceptionGroup when every address fails.
  bool all_errors = false;
  /// The local address to connect from, numeric; empty: the system's choice.
  std::string_view local_host = {};
  int local_port = 0;
  /// Happy eyeballs (RFC 8305): begins the next attempt when the one before has not
  /// ended after this time (250 ms is usual), and takes the first that succeeds. Empty:
  /// one attempt after the other.
  std::optional<Delay> happy_eyeballs_delay = {};
  /// Takes so many addresses of the first family, then one of each in turn. 0: the
  /// resolver's order, or 1 with happy eyeballs.
  int interleave = 0;
  std::source_location source = std::source_location::current();
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

/// Options of `start_server`.
struct ServerOptions {
  /// The readers' limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  /// AF_INET or AF_INET6; 0: both.
  int family = 0;
  /// How many connections may wait to be accepted.
  int backlog = 100;
  /// Allows to bind an address that was in use a moment ago.
  bool reuse_address = true;
  /// Allows several servers on one address; the system spreads connections.
  bool reuse_port = false;
  /// Sets SO_KEEPALIVE on the listening sockets.
  bool keep_alive = false;
  /// False: listens only once `Server::start_serving` or `serve_forever` is called.
  bool start_serving = true;
  std::source_location source = std::source_location::current();
};

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
                                                       ServerOptions options);

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
  return detail::start_server(
      std::make_shared<detail::TypedClientHandler<std::decay_t<F>>>(std::forward<F>(callback)),
      std::move(hosts), port, options);
}

/// The same on several hosts.
template <class F>
  requires(std::invocable<std::decay_t<F>&, StreamReader, StreamWriter>)
[[nodiscard]] Coroutine<Server> start_server(F&& callback, std::vector<std::string> hosts, int port,
                                             ServerOptions options = {}) {
  return detail::start_server(
      std::make_shared<detail::TypedClientHandler<std::decay_t<F>>>(std::forward<F>(callback)),
      std::move(hosts), port, options);
}

}  // namespace aster::inline v0
