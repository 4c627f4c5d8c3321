// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/buffer.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>
#include <aster/net/server.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/stream_writer.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aster::inline v0::detail {

class NetService;
class ServerState;

/// One TCP connection: what its reader and writer handles share, and the loop
/// holds while it is open.
///
/// Its life: open; closing (no more reads, what is written is flushed); ending
/// (nothing to flush: a note is queued); lost (descriptor closed, waiters woken,
/// the loop's reference gone). The descriptor is closed in that queued note only,
/// once no operation is in flight, never inside a call of the user's.
class StreamLink final : public ReaderState, public ListNode {
 public:
  StreamLink(EventLoop& loop, native_socket fd, std::size_t limit,
             const std::source_location& source);
  ~StreamLink() override;

  // The writer's side, see StreamWriter ----------------------------------------

  void write(std::string_view data);
  void writelines(std::span<const std::string_view> pieces);
  void write_eof();
  void close() noexcept;
  void abort() noexcept { end(nullptr); }
  [[nodiscard]] bool is_closing() const noexcept { return stage_ != Stage::open; }
  [[nodiscard]] bool is_lost() const noexcept { return stage_ == Stage::lost; }
  [[nodiscard]] bool is_paused() const noexcept { return paused_; }
  [[nodiscard]] const std::exception_ptr& lost_error() const noexcept { return lost_error_; }
  [[nodiscard]] std::size_t buffer_size() const noexcept { return sending_.size() + out_.size(); }
  [[nodiscard]] std::size_t low_water() const noexcept { return low_; }
  [[nodiscard]] std::size_t high_water() const noexcept { return high_; }
  void set_limits(std::size_t low, std::size_t high);

  void add_drain_waiter(LinkWaiter& waiter) noexcept { drain_waiters_.push_back(waiter); }
  void add_close_waiter(LinkWaiter& waiter) noexcept { close_waiters_.push_back(waiter); }

  [[nodiscard]] const Address& peer() const noexcept { return peer_; }
  [[nodiscard]] const Address& local() const noexcept { return local_; }
  [[nodiscard]] native_socket fd() const noexcept { return fd_; }
  [[nodiscard]] IoBackend* backend() const noexcept { return backend_; }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  /// A warning of debug mode: "unclosed <what> of a connection to 127.0.0.1:80" (DBG-9).
  void warn_unclosed(const char* what) const noexcept;

  /// The server that accepted it; told when it is lost. Throws only `std::bad_alloc`,
  /// and has no effect then.
  void attach(ServerState& server);

  void read_addresses() noexcept;

  /// Its place in its server's list of connections.
  std::size_t server_index = 0;

  /// The loop closes: everything ends here and now.
  void tear_down() noexcept;

 private:
  enum class Stage : std::uint8_t { open, closing, ending, lost };

  struct LinkOperation : Operation {
    LinkOperation(StreamLink& link, Complete on_complete) noexcept
        : Operation(on_complete), owner(link) {}
    StreamLink& owner;
  };
  /// The queued note that finishes the connection; counted while it is queued.
  struct EndNote final : Runnable {
    explicit EndNote(StreamLink& link) noexcept : Runnable(&ops), owner(link) {}
    static const RunnableOps ops;
    StreamLink& owner;
  };

  bool pull() noexcept override;
  bool pull_slowly() noexcept;
  void stop_pull() noexcept override;
  void received(Operation& operation) noexcept;
  void sent(Operation& operation) noexcept;
  void received_slowly() noexcept;
  void take_received() noexcept;
  void submit_send() noexcept;
  void flushed_some() noexcept;
  void check_high_water() noexcept;
  void write_slowly(std::string_view data, std::int64_t result);
  [[nodiscard]] bool ignore_write() noexcept;
  void update_calm() noexcept { calm_ = !paused_ && stage_ == Stage::open && error() == nullptr; }
  void queue_rest(std::span<const std::string_view> pieces, std::size_t sent);
  /// Stops everything and queues the note; `error` is what the waiters get.
  void end(std::exception_ptr error) noexcept;
  void post_end() noexcept;
  void finish() noexcept;
  void become_lost() noexcept;
  void fail_call(int number, const char* call) noexcept;

  IoBackend* backend_;  // Null once lost.
  native_socket fd_;
  Stage stage_ = Stage::open;
  bool paused_ = false;        // Writers that drain must wait.
  bool sends_at_once_ = true;  // Open, write_eof not called, and nothing is buffered.
  bool eof_wanted_ = false;    // write_eof was called.
  LinkOperation receive_;
  bool note_queued_ = false;
  std::uint32_t writes_after_loss_ = 0;
  Scheduler* scheduler_;
  std::size_t high_;
  std::size_t low_;
  LinkOperation send_;
  EndNote note_;
  // Written, not yet sent: first `sending_`, then `out_`. While the send operation is
  // pending the system may read `sending_` at any time, so nothing is added to it.
  Buffer sending_;
  Buffer out_;
  IntrusiveList<LinkWaiter> drain_waiters_;
  IntrusiveList<LinkWaiter> close_waiters_;
  std::exception_ptr lost_error_;
  ServerState* server_ = nullptr;  // Counted.
  Address peer_;
  Address local_;
  std::source_location source_;  // The call that made it, or its server.
};

/// The connections and servers of a loop: holds them while they are open, ends
/// them when the loop closes.
class NetService final : public EventLoop::Service {
 public:
  explicit NetService(EventLoop& loop) noexcept : loop_(loop) {}
  ~NetService() override = default;
  void close() noexcept override;

  /// A link for a connected socket, which it owns from here on, also when this
  /// throws.
  static StateRef<StreamLink> adopt(EventLoop& loop, native_socket fd, std::size_t limit,
                                    const std::source_location& source);

  EventLoop& loop_;
  IntrusiveList<StreamLink> links_;
  IntrusiveList<ServerState> servers_;
};

/// The addresses of a host for TCP, in the resolver's order; numeric ones without a
/// look-up. Throws ValueError and look-up errors that name `call`.
Coroutine<std::vector<Address>> resolve_for(const char* call, std::string host, int port,
                                            int family, bool passive);

inline StreamLink& LinkRef::operator*() const noexcept {
  ASTER_REQUIRE(link_,
                "this StreamReader or StreamWriter was moved from: use the one it was moved to");
  return static_cast<StreamLink&>(*link_);
}
inline StreamLink* LinkRef::operator->() const noexcept { return &**this; }

/// Makes handles of states and back.
struct StreamAccess {
  static StreamReader reader(StateRef<ReaderState> state) noexcept {
    return StreamReader(std::move(state));
  }
  static StreamWriter writer(StateRef<StreamLink> link) noexcept {
    return StreamWriter(LinkRef(StateRef<ReaderState>::share(*link)));
  }
  static Server server(ServerState& state) noexcept { return Server(state); }
  static StreamLink& link(const StreamWriter& writer) noexcept { return *writer.link_; }
};

}  // namespace aster::inline v0::detail
