// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/intrusive_list.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/promise.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/net/stream_reader.hpp>
#include <aster/net/tls.hpp>
#include <aster/net/transport.hpp>
#include <aster/task/future.hpp>

#include <coroutine>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::inline v0 {

namespace detail {

class StreamLink;
struct StreamAccess;

/// A counted reference to a link, whose type is the library's own.
class LinkRef {
 public:
  LinkRef() noexcept = default;
  /// `link` is a StreamLink.
  explicit LinkRef(StateRef<ReaderState> link) noexcept : link_(std::move(link)) {}
  // Defined beside StreamLink.
  [[nodiscard]] inline StreamLink& operator*() const noexcept;
  [[nodiscard]] inline StreamLink* operator->() const noexcept;
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(link_); }
  /// Whether `drain` has nothing to wait for or to throw.
  [[nodiscard]] bool is_calm() const noexcept {
    ASTER_ASSERT(link_);
    return link_->is_calm();
  }

 private:
  StateRef<ReaderState> link_;
};

/// A task that waits for a connection's buffer to drain, or for its end.
class ASTER_API LinkWaiter : public Waiter, public ListNode {
 public:
  using aster_awaiter = void;
  /// The link is ready for it; it is out of the list already.
  void wake() noexcept { driver_->wake(); }

 protected:
  ~LinkWaiter() = default;  // Those derived from it unlink it.
  bool cancel(Driver& driver, std::string& message) noexcept override;

  Driver* driver_ = nullptr;  // Null until it suspends.
};

class ASTER_API DrainAwaiter final : public LinkWaiter {
 public:
  explicit DrainAwaiter(LinkRef link) noexcept : link_(std::move(link)) {}
  ~DrainAwaiter() { unlink(); }
  [[nodiscard]] bool await_ready() const noexcept { return link_.is_calm(); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    wait(driver_of(handle));
  }
  void await_resume() {
    if (driver_ != nullptr) finish();
  }

 private:
  void wait(Driver& driver) noexcept;
  void finish();

  LinkRef link_;
};

class ASTER_API ClosedAwaiter final : public LinkWaiter {
 public:
  explicit ClosedAwaiter(LinkRef link) noexcept : link_(std::move(link)) {}
  ~ClosedAwaiter() { unlink(); }
  [[nodiscard]] bool await_ready() const noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    wait(driver_of(handle));
  }
  void await_resume();

 private:
  void wait(Driver& driver) noexcept;

  LinkRef link_;
};

/// A wait for a connection that has not begun.
template <class Awaiter>
class [[nodiscard("it does nothing until it is awaited")]] LinkWait {
 public:
  explicit LinkWait(LinkRef link) noexcept : link_(std::move(link)) {}
  [[nodiscard]] Awaiter operator co_await() const& { return Awaiter(link_); }
  [[nodiscard]] Awaiter operator co_await() && { return Awaiter(std::move(link_)); }

 private:
  LinkRef link_;
};

}  // namespace detail

/// The sending half of a stream: the counterpart of asyncio.StreamWriter. A movable
/// handle that owns the connection: dropping it closes, after what was written has
/// been sent.
///
///     writer.write("GET / HTTP/1.0\r\n\r\n");
///     co_await writer.drain();
///
/// `write` never waits: what the system does not take at once is buffered. `drain`
/// waits while more than the high-water mark is buffered, so a writer that drains
/// after every write holds at most that mark and one write. Thread rule: the loop's
/// thread.
class ASTER_API StreamWriter {
 public:
  /// Refers to no connection, as left by a move; all calls on it are a precondition
  /// violation (checked).
  StreamWriter() noexcept = default;
  StreamWriter(StreamWriter&& other) noexcept = default;
  StreamWriter& operator=(StreamWriter&& other) noexcept;
  StreamWriter(const StreamWriter&) = delete;
  StreamWriter& operator=(const StreamWriter&) = delete;
  ~StreamWriter();

  /// Sends `data`, or buffers a copy of what does not go at once. RuntimeError after
  /// `write_eof`. Once the connection is closing or lost it does nothing; `drain` tells.
  void write(std::string_view data);
  /// Sends several pieces as one call of the system where possible.
  void writelines(std::span<const std::string_view> pieces);
  /// The same for a list in braces.
  void writelines(std::initializer_list<std::string_view> pieces) {
    writelines(std::span<const std::string_view>(pieces.begin(), pieces.size()));
  }

  /// Waits until it makes sense to write on; while closing, until what is buffered is
  /// sent. Throws the connection's error, or a `std::system_error` ECONNRESET
  /// "Connection lost" once it is closed. Any number of tasks may wait.
  [[nodiscard]] detail::LinkWait<detail::DrainAwaiter> drain() const {
    return detail::LinkWait<detail::DrainAwaiter>(link_);
  }

  /// Ends the writing half once everything is sent; the peer reads the end of the
  /// stream, and may still be read from. Nothing when called again or closing.
  void write_eof();
  /// Whether `write_eof` works: true for sockets and for pipes that are written to.
  [[nodiscard]] bool can_write_eof() const noexcept;

  /// Closes the connection once everything is sent; returns at once.
  void close() noexcept;
  /// Closes the connection now; what is buffered is lost.
  void abort() noexcept;
  /// Whether it is closed or closing.
  [[nodiscard]] bool is_closing() const noexcept;
  /// Waits until the connection is closed; throws the error that ended it, if one
  /// did. Cancelling the wait leaves it, and other waiters, alone.
  [[nodiscard]] detail::LinkWait<detail::ClosedAwaiter> wait_closed() const {
    return detail::LinkWait<detail::ClosedAwaiter>(link_);
  }

  /// The other end's address. Nothing when the system could not tell, as when the client
  /// had gone by the time it was accepted: look before you use `*`. It stays what it was
  /// when the connection was made, also after its end.
  [[nodiscard]] std::optional<Address> peername() const;
  /// Our end's address.
  [[nodiscard]] std::optional<Address> sockname() const;
  /// The socket, for options; valid while the connection is open.
  [[nodiscard]] SocketView socket() const;

  /// Sets the marks, in bytes: `drain` waits above `high` until `low` is reached.
  /// Without `low` it is a quarter of `high`; without `high` that is four times
  /// `low`; without both they are 64 KiB and 16 KiB, as at first. ValueError unless
  /// low <= high.
  void set_write_buffer_limits(std::optional<std::size_t> high = {},
                               std::optional<std::size_t> low = {});
  /// How many bytes are written but not yet with the system.
  [[nodiscard]] std::size_t get_write_buffer_size() const noexcept;
  /// The marks.
  [[nodiscard]] WriteBufferLimits get_write_buffer_limits() const noexcept;

  /// Begins TLS on a connection that had none ("STARTTLS"): sends what was written before,
  /// then shakes hands. Reader and writer stay what they are. On the end that connected
  /// `server_hostname` is needed, and bytes that were received but not read are an
  /// SSLError: they came from who knows whom. On a server's end they belong to the
  /// handshake. A failed handshake and a cancelled call close the connection;
  /// RuntimeError while a read waits. With TLS already there is then TLS inside TLS.
  ///
  ///     co_await writer.start_tls(ctx, {.server_hostname = "example.org"});
  [[nodiscard]] Coroutine<> start_tls(const SSLContext& context,
                                      const StartTlsOptions& options = {});
  /// The connection's TLS: version, cipher, certificates; an empty one without TLS.
  [[nodiscard]] SSLObject ssl_object() const;

  /// What moves the bytes, for what only transports can do. Valid while a handle on the
  /// stream or its `ref()` is kept, or the connection is open.
  [[nodiscard]] Transport& transport() const noexcept;

 private:
  friend struct detail::StreamAccess;
  void drop() noexcept;
  explicit StreamWriter(detail::LinkRef link) noexcept : link_(std::move(link)) {}
  detail::LinkRef link_;
};

}  // namespace aster::inline v0
