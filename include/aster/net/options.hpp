// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/tls.hpp>

#include <cstddef>
#include <optional>
#include <source_location>
#include <string_view>

/// The options of what connects and serves, alike for streams and for protocols.
namespace aster::inline v0 {

/// Options of `open_connection` and `EventLoop::create_connection`.
struct ConnectOptions {
  /// Speaks TLS by this context; null: none. It may go once the call has returned.
  const SSLContext* ssl = nullptr;
  /// The name that the server's certificate must have; empty: the host's.
  std::optional<std::string_view> server_hostname = {};
  /// How long TLS's handshake and goodbye may take; empty: 60 s and 30 s. A handshake that
  /// takes longer is a TimeoutError.
  std::optional<Delay> ssl_handshake_timeout = {};
  std::optional<Delay> ssl_shutdown_timeout = {};
  /// An earlier session with that name, by the same context, to take up.
  const SSLSession* ssl_session = nullptr;
  /// Streams: the reader's limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  /// AF_INET or AF_INET6; 0: both.
  int family = 0;
  /// The protocol of the socket; 0: the family's usual one.
  int proto = 0;
  /// For the look-up of the host, as of getaddrinfo(3).
  int flags = 0;
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

/// Options of `start_server` and `EventLoop::create_server`.
struct ServerOptions {
  /// Speaks TLS by this context, made with `SSLPurpose::client_auth`; null: none. It may
  /// go once the call has returned. Connections are handed out once their handshake is done.
  const SSLContext* ssl = nullptr;
  /// How long TLS's handshake and goodbye may take; empty: 60 s and 30 s.
  std::optional<Delay> ssl_handshake_timeout = {};
  std::optional<Delay> ssl_shutdown_timeout = {};
  /// Streams: the readers' limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  /// AF_INET or AF_INET6; 0: both.
  int family = 0;
  /// For the look-up of hosts, as of getaddrinfo(3); empty: AI_PASSIVE.
  std::optional<int> flags = {};
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

/// Options of `open_unix_connection` and `EventLoop::create_unix_connection`.
struct UnixConnectOptions {
  /// Speaks TLS by this context; null: none. It may go once the call has returned.
  const SSLContext* ssl = nullptr;
  /// The name that the server's certificate must have; empty: a ValueError with `ssl`.
  std::optional<std::string_view> server_hostname = {};
  /// How long TLS's handshake and goodbye may take; empty: 60 s and 30 s. A handshake that
  /// takes longer is a TimeoutError.
  std::optional<Delay> ssl_handshake_timeout = {};
  std::optional<Delay> ssl_shutdown_timeout = {};
  /// An earlier session with that name, by the same context, to take up.
  const SSLSession* ssl_session = nullptr;
  /// Streams: the reader's limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  std::source_location source = std::source_location::current();
};

/// Options of `start_unix_server` and `EventLoop::create_unix_server`.
struct UnixServerOptions {
  /// Speaks TLS by this context, made with `SSLPurpose::client_auth`; null: none. It may
  /// go once the call has returned. Connections are handed out once their handshake is done.
  const SSLContext* ssl = nullptr;
  /// How long TLS's handshake and goodbye may take; empty: 60 s and 30 s.
  std::optional<Delay> ssl_handshake_timeout = {};
  std::optional<Delay> ssl_shutdown_timeout = {};
  /// Streams: the readers' limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  /// How many connections may wait to be accepted.
  int backlog = 100;
  /// The permissions of the socket's file, as of chmod(2), set before anybody can
  /// connect; empty: what the umask leaves.
  std::optional<unsigned> mode = {};
  /// Removes the file when the server closes, unless another has taken its place.
  bool cleanup_socket = true;
  /// False: listens only once `Server::start_serving` or `serve_forever` is called.
  bool start_serving = true;
  std::source_location source = std::source_location::current();
};

/// Options of `EventLoop::connect_accepted_socket`.
struct AcceptedSocketOptions {
  /// Speaks TLS by this context, made with `SSLPurpose::client_auth`; null: none. It may
  /// go once the call has returned.
  const SSLContext* ssl = nullptr;
  /// How long TLS's handshake and goodbye may take; empty: 60 s and 30 s.
  std::optional<Delay> ssl_handshake_timeout = {};
  std::optional<Delay> ssl_shutdown_timeout = {};
  std::source_location source = std::source_location::current();
};

/// Options of pipes.
struct PipeOptions {
  /// Streams: the reader's limit, in bytes; see StreamReader.
  std::size_t limit = StreamReader::default_limit;
  std::source_location source = std::source_location::current();
};

}  // namespace aster::inline v0
