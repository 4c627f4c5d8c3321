// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_link.hpp"

#include <aster/net/streams.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace aster::inline v0::detail {

/// A server: its listening sockets, its connections, and who waits for its end.
/// The loop holds it until it is closed and its last connection is gone.
class ServerState final : public ListNode {
 public:
  ServerState(EventLoop& loop, std::shared_ptr<ClientHandler> handler, ServerOptions options);
  ServerState(const ServerState&) = delete;
  ServerState& operator=(const ServerState&) = delete;

  void add_reference() noexcept { ++references_; }
  void release_reference() noexcept {
    if (--references_ == 0) delete this;
  }

  /// Binds one more socket to `address`; throws `std::system_error`. False when the
  /// address does not exist here and others may do.
  bool bind(const Address& address);
  [[nodiscard]] bool has_sockets() const noexcept { return !listeners_.empty(); }
  void begin();
  void close() noexcept;
  void tear_down() noexcept;

  void connection_made(StreamLink& link);
  void connection_lost(StreamLink& link) noexcept;
  void for_each_connection(void (StreamLink::*action)() noexcept) noexcept;

  [[nodiscard]] std::vector<SocketView> sockets() const;
  [[nodiscard]] bool is_serving() const noexcept { return serving_ && !closed_; }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  [[nodiscard]] bool is_finished() const noexcept { return closed_ && connections_.empty(); }
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
  void welcome(StateRef<StreamLink> link);
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
  std::shared_ptr<ClientHandler> handler_;
  ServerOptions options_;
  std::uint32_t references_ = 1;
  bool serving_ = false;
  bool closed_ = false;
  bool shortage_reported_ = false;  // In the present episode.
  int shortage_ = 0;                // The error to be reported by the note; 0: none.
  bool note_queued_ = false;
  std::deque<Listener> listeners_;
  std::deque<StateRef<StreamLink>> accepted_;  // Handlers not started yet.
  std::vector<StreamLink*> connections_;       // Each knows its place.
  DeliverNote note_;
};

}  // namespace aster::inline v0::detail
