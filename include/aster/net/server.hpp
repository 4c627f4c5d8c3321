// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/io/socket.hpp>
#include <aster/task/future.hpp>

#include <exception>
#include <utility>
#include <vector>

namespace aster::inline v0 {

class EventLoop;

namespace detail {
class ServerState;
struct StreamAccess;
}  // namespace detail

/// A listening server, from `start_server`: the counterpart of asyncio.Server. A
/// handle; copies refer to the same server, and a dropped one keeps serving until
/// its loop closes.
///
///     Server server = co_await start_server(handle, "127.0.0.1", 0);
///     std::cout << server.sockets().front().getsockname().str() << '\n';
///     co_await server.serve_forever();
///
/// A failed accept never ends it: connections that reset before they are accepted
/// are skipped, and when descriptors or memory run out the loop's exception handler
/// is told once, accepting pauses for a second and then goes on. Works with `with`:
/// closes and waits at the end. Thread rule: the loop's thread.
class ASTER_API Server {
 public:
  /// Another handle on the same server.
  Server(const Server& other) noexcept;
  Server(Server&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Server& operator=(Server other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~Server();

  /// The listening sockets; empty once closed.
  [[nodiscard]] std::vector<SocketView> sockets() const;
  /// Whether it accepts connections.
  [[nodiscard]] bool is_serving() const noexcept;
  /// Its loop; RuntimeError when that is gone.
  [[nodiscard]] EventLoop& get_loop() const;

  /// Begins to accept, when it was made with `.start_serving = false`. RuntimeError
  /// when closed.
  [[nodiscard]] Coroutine<> start_serving();
  /// Serves until it is closed, then throws CancelledError. Cancelling it closes the
  /// server and waits until all connections have ended. RuntimeError when closed or
  /// called already.
  [[nodiscard]] Coroutine<> serve_forever();

  /// Stops listening. Connections go on. Nothing when closed already.
  void close() noexcept;
  /// Waits until the server is closed and all its connections have ended.
  [[nodiscard]] Coroutine<> wait_closed();
  /// Closes all connections, after what is written has been sent.
  void close_clients() noexcept;
  /// Closes all connections at once.
  void abort_clients() noexcept;

  /// For `with`.
  [[nodiscard]] Coroutine<Server&> enter();
  /// For `with`: closes, and waits for the connections.
  [[nodiscard]] Coroutine<bool> exit(std::exception_ptr error);

 private:
  friend struct detail::StreamAccess;
  friend class detail::ServerState;
  /// Takes a reference over.
  explicit Server(detail::ServerState& state) noexcept : state_(&state) {}
  [[nodiscard]] detail::ServerState& state() const noexcept {
    ASTER_REQUIRE(state_ != nullptr, "this Server was moved from: use the one it was moved to");
    return *state_;
  }
  detail::ServerState* state_;
};

}  // namespace aster::inline v0
