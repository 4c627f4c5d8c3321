// SPDX-License-Identifier: MIT
#pragma once

#include "net/kept_address.hpp"

#include <aster/base/buffer.hpp>
#include <aster/base/frame_allocator.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/base/state_ref.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>
#include <aster/net/tls.hpp>
#include <aster/net/transport.hpp>
#include <aster/task/future.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

class SendfileWait;
class ServerState;
class TlsLayer;
struct TlsSetup;

/// What a transport's descriptor is.
enum class Medium : std::uint8_t { socket, read_pipe, write_pipe };

/// The sending half of a connection or pipe, and its life, which streams and protocols
/// share; what becomes of received bytes is the derived class's.
///
/// Its life: open; closing (no more reads, what is written is flushed); ending
/// (nothing to flush: a note is queued); lost (descriptor closed, waiters woken,
/// the loop's reference gone). The descriptor is closed in that queued note only,
/// once no operation is in flight, never inside a call of the user's.
class StreamTransport : public Transport, public ListNode, protected Runnable {
 public:
  /// Gives up its reference on the scheduler; it must be lost.
  ~StreamTransport() override;

  // Recycled, as the connections of a server come and go.
  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* memory, std::size_t size) noexcept {
    release_frame(memory, size);
  }

  void add_reference() noexcept { retain(); }
  void release_reference() noexcept { release(); }

  // BaseTransport ----------------------------------------------------------------

  void close() noexcept final;
  [[nodiscard]] bool is_closing() const noexcept final { return stage_ != Stage::open; }
  [[nodiscard]] std::optional<Address> peername() const final;
  [[nodiscard]] std::optional<Address> sockname() const final;
  [[nodiscard]] SocketView socket() const final;
  [[nodiscard]] std::optional<native_socket> pipe() const final;
  [[nodiscard]] SSLObject ssl_object() const final;
  [[nodiscard]] std::string str() const final;

  // WriteTransport ---------------------------------------------------------------

  void write(std::string_view data) final;
  void writelines(std::span<const std::string_view> pieces) final;
  void write_eof() final;
  [[nodiscard]] bool can_write_eof() const noexcept final { return can_write() && !has_tls(); }
  void abort() noexcept final { end(nullptr); }
  [[nodiscard]] std::size_t get_write_buffer_size() const noexcept final { return buffer_size(); }
  [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept final {
    return {low_, high_};
  }
  void set_write_buffer_limits(std::optional<std::size_t> high,
                               std::optional<std::size_t> low) final;

  // For streams, servers and the loop ----------------------------------------------

  [[nodiscard]] bool is_lost() const noexcept { return stage_ == Stage::lost; }
  [[nodiscard]] bool is_paused() const noexcept { return paused_; }
  [[nodiscard]] const std::exception_ptr& lost_error() const noexcept { return lost_error_; }
  [[nodiscard]] bool can_write() const noexcept { return medium_ != Medium::read_pipe; }
  [[nodiscard]] bool has_tls() const noexcept { return tls_ != nullptr; }
  /// Of the user's bytes.
  [[nodiscard]] std::size_t buffer_size() const noexcept {
    return has_tls() ? tls_backlog() : raw_size();
  }
  /// Of what is to be sent as it is.
  [[nodiscard]] std::size_t raw_size() const noexcept {
    return outgoing_ != nullptr ? outgoing_->size() : 0;
  }
  [[nodiscard]] Scheduler& scheduler() const noexcept { return *scheduler_; }
  /// The other end in one word, for reports: "127.0.0.1:80", "pipe 7".
  [[nodiscard]] std::string subject() const;
  /// A warning of debug mode: "unclosed <what> of a connection to 127.0.0.1:80" (DBG-9).
  void warn_unclosed(const char* what) const noexcept;

  /// The server that accepted it; told when it is lost. Throws only `std::bad_alloc`,
  /// and has no effect then.
  void attach(ServerState& server);
  /// Whether a server has made it.
  [[nodiscard]] bool is_accepted() const noexcept { return server_ != nullptr; }
  /// Its place in its server's list of connections.
  std::size_t server_index = 0;

  /// The connection is there: notes its peer, asked for unless it was told, and does what
  /// is to be done once.
  void opened(NativeAddress peer) noexcept;
  /// A pipe that is written to: asks to be told when its reader goes (TR-27).
  void watch_reader() noexcept;
  /// Begins TLS. `done`, which may be null, gets the handshake's outcome; else the server
  /// is told of its success. A failure is the end of the connection. RuntimeError when it
  /// is not possible here.
  void begin_tls(const TlsSetup& setup, Future<> done);
  /// The loop closes: everything ends here and now.
  void tear_down() noexcept;

 protected:
  enum class Stage : std::uint8_t { open, closing, ending, lost };

  struct LinkOperation : Operation {
    LinkOperation(StreamTransport& link, Complete on_complete) noexcept
        : Operation(on_complete), owner(link) {}
    StreamTransport& owner;
  };

  /// `on_receive` is told when `receive_` is over.
  StreamTransport(EventLoop& loop, native_socket fd, Medium medium,
                  const std::source_location& source, Operation::Complete on_receive);

  void retain() noexcept override = 0;
  void release() noexcept override = 0;
  [[nodiscard]] virtual std::uint32_t reference_count() const noexcept = 0;

  // What the derived classes add ------------------------------------------------------

  /// It is not open any longer: nothing is read from here on.
  virtual void stopped() noexcept = 0;
  /// `is_paused` has changed.
  virtual void flow_changed() noexcept = 0;
  /// The last thing before the descriptor is closed; from a note, so this may call users.
  virtual void ending() {}
  /// Everything is over: wakes who waits.
  virtual void lost() noexcept = 0;
  /// Takes out what was received and not yet handed over, as TLS begins.
  [[nodiscard]] virtual std::string take_ahead() = 0;
  /// The handshake of TLS is over: receives again, first what `tls_` has.
  virtual void secured() noexcept = 0;
  /// `receive_` is over, but not for the derived class.
  [[nodiscard]] bool received_otherwise() noexcept;

  /// Stops everything and queues the note; `error` is what the waiters get.
  void end(std::exception_ptr error) noexcept;
  void post_end() noexcept;
  void fail_call(int number, const char* call) noexcept;
  void reader_gone() noexcept;

  IoBackend* backend_;  // Null once lost.
  std::unique_ptr<TlsLayer> tls_;
  native_socket fd_;
  Stage stage_ = Stage::open;
  bool paused_ = false;      // Writers are to wait.
  bool sends_at_once_;       // Open, write_eof not called, and nothing is buffered.
  bool eof_wanted_ = false;  // write_eof was called.
  LinkOperation receive_;
  bool note_queued_ = false;
  Medium medium_;

 private:
  friend class SendfileWait;
  friend class TlsLayer;

  /// As a runnable it is the note that finishes the connection; counted while queued.
  static const RunnableOps end_ops;

  void check_write(const char* call) const;
  [[nodiscard]] bool may_send_at_once() const noexcept {
    return stage_ == Stage::open && medium_ == Medium::socket && !eof_wanted_ && !has_tls() &&
           file_ == nullptr;
  }
  /// Written, not yet sent: first `sending`, then `out`. While the operation is pending the
  /// system may read `sending` at any time, so nothing is added to it.
  struct Outgoing {
    explicit Outgoing(StreamTransport& link) noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return sending.size() + out.size(); }
    LinkOperation operation;
    Buffer sending;
    Buffer out;
  };
  /// Made if there is none: an idle connection goes without. Throws `std::bad_alloc`.
  [[nodiscard]] Outgoing& outgoing();
  [[nodiscard]] bool is_sending() const noexcept {
    return outgoing_ != nullptr && outgoing_->operation.is_pending();
  }
  template <class Function>
  void for_each_pending(Function function);
  [[nodiscard]] const KeptAddress& local() const noexcept;
  void sent(Operation& operation) noexcept;
  void room_asked() noexcept;
  void submit_send() noexcept;
  void send_failed() noexcept;
  /// Sends or queues a record; 0, or minus an error number (-ENOMEM: not queued).
  [[nodiscard]] std::int64_t send_raw(std::string_view record) noexcept;
  void write_sealed(std::span<const std::string_view> pieces);
  [[nodiscard]] std::size_t tls_backlog() const noexcept;
  void flushed_some() noexcept;
  void end_writing() noexcept;
  void check_high_water() noexcept;
  void write_slowly(std::string_view data, std::int64_t result);
  [[nodiscard]] bool ignore_write() noexcept;
  void queue_rest(std::span<const std::string_view> pieces, std::size_t sent);
  void leave_open() noexcept;
  void finish();
  void become_lost() noexcept;

  std::uint32_t writes_after_loss_ = 0;

 protected:
  Scheduler* scheduler_;

 private:
  std::size_t high_;
  std::size_t low_;
  std::unique_ptr<Outgoing> outgoing_;  // Once something could not be sent at once.
  std::exception_ptr lost_error_;
  SendfileWait* file_ = nullptr;   // A file is being sent.
  ServerState* server_ = nullptr;  // Counted.
  KeptAddress peer_;
  // Our end's: asked for when first wanted, at the latest before the descriptor is closed.
  mutable KeptAddress local_;
  mutable bool is_local_known_ = false;

 protected:
  std::source_location source_;  // The call that made it, or its server.
};

}  // namespace aster::inline v0::detail
