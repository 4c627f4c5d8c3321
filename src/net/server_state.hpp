// SPDX-License-Identifier: MIT
#pragma once

#include "net/kept_address.hpp"
#include "net/stream_transport.hpp"
#include "net/tls_context.hpp"
#include "net/unix_path.hpp"

#include <aster/io/socket.hpp>
#include <aster/net/options.hpp>
#include <aster/net/server.hpp>
#include <aster/task/future.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace aster::inline v0::detail {

struct OpenDescriptor;

/// What a server makes of the connections it accepts.
class Acceptor {
 public:
  Acceptor() noexcept = default;
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  virtual ~Acceptor();

  /// A link for an accepted descriptor, which it owns from here on, also when this
  /// throws. Runs no code of the user's.
  [[nodiscard]] virtual StateRef<StreamTransport> adopt(EventLoop& loop,
                                                        const OpenDescriptor& accepted,
                                                        const std::source_location& source) = 0;
  /// In a turn of its own: hands the link to the user's code.
  virtual void begin(EventLoop& loop, StateRef<StreamTransport> link,
                     const std::source_location& source) = 0;

  /// What its connections begin with.
  std::optional<TlsSetup> tls;
};

/// A server: its listening sockets, its connections, and who waits for its end.
/// The loop holds it until it is closed and its last connection is gone.
class ServerState final : public ListNode {
 public:
  ServerState(EventLoop& loop, std::shared_ptr<Acceptor> acceptor, const ServerOptions& options);
  ServerState(const ServerState&) = delete;
  ServerState& operator=(const ServerState&) = delete;

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) delete this;
  }

  /// Binds one more socket to `address`; throws `std::system_error`. False when the
  /// address does not exist here and others may do.
  bool bind(const Address& address);
  /// Binds one more socket to a unix address.
  void bind_path(const Address& address, const UnixPathOptions& options);
  /// Takes over a bound socket.
  void take(Socket socket);
  [[nodiscard]] bool has_sockets() const noexcept { return !listeners_.empty(); }
  void begin();
  void close() noexcept;
  void tear_down() noexcept;

  void connection_made(StreamTransport& link);
  void connection_lost(StreamTransport& link) noexcept;
  /// The handshake of a connection's TLS is over.
  void secured(StreamTransport& link) noexcept;
  void for_each_connection(void (StreamTransport::*action)() noexcept) noexcept;

  [[nodiscard]] std::vector<SocketView> sockets() const;
  [[nodiscard]] bool is_serving() const noexcept { return serving_ && !closed_; }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  [[nodiscard]] bool is_finished() const noexcept { return closed_ && connections_.empty(); }
  [[nodiscard]] const ServerOptions& options() const noexcept { return options_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }

  /// Done when the server is closed; one for `serve_forever`.
  Future<> forever;
  /// Completes waits for the end.
  std::vector<Future<>> close_waiters;

 private:
  /// One listening socket.
  class Listener final : public Operation, public Timer {
   public:
    Listener(ServerState& server, native_socket socket) noexcept;
    ServerState& server;
    native_socket socket;
    bool paused = false;  // Waits for its timer.
    AddressRoom from;     // Whom an accept has given.
  };
  /// The queued note that starts the handlers of accepted connections.
  struct DeliverNote final : Runnable {
    explicit DeliverNote(ServerState& state) noexcept : Runnable(&ops), owner(state) {}
    static const RunnableOps ops;
    ServerState& owner;
  };
  static const RunnableOps retry_ops;

  ~ServerState();
  void accept_more(Listener& listener) noexcept;
  bool accepted(Listener& listener) noexcept;
  void welcome(StateRef<StreamTransport> link);
  void pause(Listener& listener) noexcept;
  void deliver();
  void queue_note() noexcept;
  void report_shortage();
  void finish_if_over() noexcept;
  void close_listeners() noexcept;

  EventLoop& loop_;
  Scheduler* scheduler_;
  ContextSlot context_;  // That `start_server` was called in; its handlers get copies.
  IoBackend* backend_;
  std::shared_ptr<Acceptor> acceptor_;
  ServerOptions options_;
  std::uint32_t references_ = 1;
  bool serving_ = false;
  bool closed_ = false;
  bool shortage_reported_ = false;  // In the present episode.
  int shortage_ = 0;                // The error to be reported by the note; 0: none.
  bool note_queued_ = false;
  std::deque<Listener> listeners_;
  std::deque<UnixPath> paths_;                      // Of the listeners.
  std::deque<StateRef<StreamTransport>> accepted_;  // Handlers not started yet.
  std::vector<StreamTransport*> connections_;       // Each knows its place.
  DeliverNote note_;
};

/// Listens on the addresses of `hosts`; `call` is what the errors name.
[[nodiscard]] Coroutine<Server> serve_hosts(const char* call, std::shared_ptr<Acceptor> acceptor,
                                            std::vector<std::string> hosts, int port,
                                            ServerOptions options);
/// Listens on a bound stream socket.
[[nodiscard]] Coroutine<Server> serve_socket(const char* call, std::shared_ptr<Acceptor> acceptor,
                                             Socket socket, ServerOptions options);
/// Listens on a unix address.
[[nodiscard]] Coroutine<Server> serve_path(std::shared_ptr<Acceptor> acceptor, Address path,
                                           UnixServerOptions options);

}  // namespace aster::inline v0::detail
