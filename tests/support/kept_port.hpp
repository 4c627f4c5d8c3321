// SPDX-License-Identifier: MIT
#pragma once

#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>

#include <string>

#include <sys/socket.h>

namespace aster::support {

/// A TCP port of an address where nobody listens and that nobody else is given meanwhile: a
/// bound socket that does not listen holds it, so connections are refused. A port that is only let
/// go may at once be another program's. A server that sets SO_REUSEADDR, as servers do by default,
/// can still take it, and let it go.
class KeptPort {
 public:
  /// By a socket of this back end; of `host`'s addresses, "::" meaning those of IPv4 too.
  explicit KeptPort(IoBackend& backend, const std::string& host = "127.0.0.1")
      : socket_(backend, Address(host, 0).family(), SOCK_STREAM) {
    socket_.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1);
    socket_.bind(Address(host, 0));
  }
  /// Of the running loop's back end.
  KeptPort() : KeptPort(get_running_loop().backend()) {}

  [[nodiscard]] Address address() const { return socket_.getsockname(); }
  [[nodiscard]] int number() const { return address().port(); }

 private:
  Socket socket_;
};

}  // namespace aster::support
