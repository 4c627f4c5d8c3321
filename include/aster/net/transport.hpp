// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/operation.hpp>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// What moves the bytes of a protocol: the counterparts of asyncio's transport classes.
/// A transport is made by the loop (`create_connection`, `create_server` …) and handed
/// to `connection_made`; programs do not derive from these.
///
///     struct Greeter : aster::Protocol {
///       void connection_made(aster::Transport& transport) override {
///         transport.write("hello\n");
///         transport.close();                      // Once it is sent.
///       }
///     };
///
/// The loop keeps a transport until `connection_lost` has returned; `ref()` keeps it
/// longer. A transport that is lost still answers: it is closing, writes do nothing.
///
/// No member calls the protocol back: what follows from a call (`pause_writing`,
/// `connection_lost` …) comes in a later turn of the loop. Thread rule: the loop's
/// thread.
namespace aster::inline v0 {

class BaseProtocol;
class SSLObject;

/// Keeps a transport alive; a movable handle, copies refer to the same one. What
/// `ref()` gives.
///
///     aster::TransportRef<aster::Transport> kept = transport.ref();
///     kept->write("still here");
template <class T>
class TransportRef {
 public:
  /// Refers to none.
  TransportRef() noexcept = default;
  /// Refers to `transport`.
  explicit TransportRef(T& transport) noexcept : transport_(&transport) { transport_->retain(); }
  /// Another handle on the same transport.
  TransportRef(const TransportRef& other) noexcept : transport_(other.transport_) {
    if (transport_ != nullptr) transport_->retain();
  }
  TransportRef(TransportRef&& other) noexcept
      : transport_(std::exchange(other.transport_, nullptr)) {}
  TransportRef& operator=(TransportRef other) noexcept {
    std::swap(transport_, other.transport_);
    return *this;
  }
  ~TransportRef() {
    if (transport_ != nullptr) transport_->release();
  }

  /// The transport; null when it refers to none.
  [[nodiscard]] T* get() const noexcept { return transport_; }
  /// The transport; there must be one (checked).
  [[nodiscard]] T& operator*() const noexcept {
    ASTER_REQUIRE(transport_ != nullptr, "this TransportRef refers to no transport");
    return *transport_;
  }
  /// The same.
  [[nodiscard]] T* operator->() const noexcept { return &**this; }
  explicit operator bool() const noexcept { return transport_ != nullptr; }

 private:
  T* transport_ = nullptr;
};

/// What all transports have: an end, a protocol, and facts about the connection.
class ASTER_API BaseTransport {
 public:
  BaseTransport() noexcept = default;
  BaseTransport(const BaseTransport&) = delete;
  BaseTransport& operator=(const BaseTransport&) = delete;

  /// Closes it: nothing is received any more, what is written is sent, then the
  /// protocol's `connection_lost` is called with null. Nothing when closing already.
  virtual void close() noexcept = 0;
  /// Whether it is closed, closing or lost.
  [[nodiscard]] virtual bool is_closing() const noexcept = 0;

  /// The protocol; null before there is one and once it was told of the end.
  [[nodiscard]] virtual std::shared_ptr<BaseProtocol> get_protocol() const noexcept = 0;
  /// Hands the callbacks to another protocol from now on; `connection_made` is not
  /// called. TypeError unless it is of a kind that the transport can serve, RuntimeError
  /// for the transport of a stream.
  virtual void set_protocol(std::shared_ptr<BaseProtocol> protocol) = 0;

  // What asyncio's `get_extra_info` tells; nothing where it makes no sense. Addresses
  // stay what they were when the connection was made, also after its end.

  /// The address of the other end.
  [[nodiscard]] virtual std::optional<Address> peername() const { return {}; }
  /// Our end's address.
  [[nodiscard]] virtual std::optional<Address> sockname() const { return {}; }
  /// The socket, for its options; a view of nothing for a pipe, and after the end.
  [[nodiscard]] virtual SocketView socket() const { return SocketView(); }
  /// The descriptor of a pipe; nothing for a socket, and after the end.
  [[nodiscard]] virtual std::optional<native_socket> pipe() const { return {}; }
  /// The connection's TLS: version, cipher, certificates; an empty one without TLS. See
  /// net/tls.hpp.
  [[nodiscard]] virtual SSLObject ssl_object() const;

  /// Keeps it alive.
  [[nodiscard]] TransportRef<BaseTransport> ref() noexcept {
    return TransportRef<BaseTransport>(*this);
  }
  /// For people and logs (TR-29): "<transport fd=7 read=polling write=<idle, bufsize=0>>".
  /// The form may change.
  [[nodiscard]] virtual std::string str() const = 0;

 protected:
  virtual ~BaseTransport();

 private:
  template <class T>
  friend class TransportRef;
  virtual void retain() noexcept = 0;
  virtual void release() noexcept = 0;
};

/// The marks of a transport's flow control, in bytes; see
/// `WriteTransport::set_write_buffer_limits`.
struct WriteBufferLimits {
  /// The writer may go on when no more than this is buffered.
  std::size_t low;
  /// The writer is to pause when more than this is buffered.
  std::size_t high;

  friend bool operator==(const WriteBufferLimits&, const WriteBufferLimits&) = default;
};

/// The receiving half.
class ASTER_API ReadTransport : public virtual BaseTransport {
 public:
  /// Whether data is received: false while paused, after the end of the stream and
  /// while closing.
  [[nodiscard]] virtual bool is_reading() const noexcept = 0;
  /// No data is handed to the protocol from here on, until `resume_reading`; the peer
  /// is held back. Nothing when it is so already.
  virtual void pause_reading() noexcept = 0;
  /// Goes on. Nothing unless paused, or when closing.
  virtual void resume_reading() noexcept = 0;

  /// Keeps it alive.
  [[nodiscard]] TransportRef<ReadTransport> ref() noexcept {
    return TransportRef<ReadTransport>(*this);
  }

 protected:
  ~ReadTransport() override;
};

/// The sending half.
class ASTER_API WriteTransport : public virtual BaseTransport {
 public:
  /// Sends `data`, or buffers a copy of what does not go at once; never waits. Once
  /// closing it does nothing, and says so in the log after a few times. RuntimeError
  /// after `write_eof` and while a file is being sent.
  virtual void write(std::string_view data) = 0;
  /// Sends several pieces as one call of the system where possible.
  virtual void writelines(std::span<const std::string_view> pieces) = 0;
  /// The same for a list in braces.
  void writelines(std::initializer_list<std::string_view> pieces) {
    writelines(std::span<const std::string_view>(pieces.begin(), pieces.size()));
  }

  /// Ends the writing half once everything is sent; the peer reads the end of the
  /// stream. A transport that only writes closes. Nothing when called again or closing.
  virtual void write_eof() = 0;
  /// Whether `write_eof` works.
  [[nodiscard]] virtual bool can_write_eof() const noexcept = 0;
  /// Closes it now: what is buffered is lost, `connection_lost` is called with null.
  virtual void abort() noexcept = 0;

  /// How many bytes are written but not yet with the system.
  [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;
  /// The marks.
  [[nodiscard]] virtual WriteBufferLimits get_write_buffer_limits() const noexcept = 0;
  /// Sets the marks, in bytes: above `high` the protocol's `pause_writing` is called,
  /// at `low` `resume_writing`. Without `low` it is a quarter of `high`; without `high`
  /// that is four times `low`; without both they are 64 KiB and 16 KiB, as at first.
  /// ValueError unless low <= high.
  virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                       std::optional<std::size_t> low = {}) = 0;

  /// Keeps it alive.
  [[nodiscard]] TransportRef<WriteTransport> ref() noexcept {
    return TransportRef<WriteTransport>(*this);
  }

 protected:
  ~WriteTransport() override;
};

/// A connection: both halves.
class ASTER_API Transport : public ReadTransport, public WriteTransport {
 public:
  /// Keeps it alive.
  [[nodiscard]] TransportRef<Transport> ref() noexcept { return TransportRef<Transport>(*this); }

 protected:
  ~Transport() override;
};

/// An endpoint for datagrams.
class ASTER_API DatagramTransport : public virtual BaseTransport {
 public:
  /// Sends one datagram to the peer, or buffers a copy of it; an empty one is sent too.
  /// ValueError without a peer. Errors go to the protocol's `error_received`.
  virtual void sendto(std::string_view data) = 0;
  /// The same to `address`; with a peer, ValueError for any other address.
  virtual void sendto(std::string_view data, const Address& address) = 0;
  /// Closes it now: what is buffered is lost, `connection_lost` is called with null.
  virtual void abort() noexcept = 0;

  /// How many bytes are not yet with the system; each datagram counts 8 more.
  [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;
  /// The marks.
  [[nodiscard]] virtual WriteBufferLimits get_write_buffer_limits() const noexcept = 0;
  /// As `WriteTransport::set_write_buffer_limits`.
  virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                       std::optional<std::size_t> low = {}) = 0;

  /// Keeps it alive.
  [[nodiscard]] TransportRef<DatagramTransport> ref() noexcept {
    return TransportRef<DatagramTransport>(*this);
  }

 protected:
  ~DatagramTransport() override;
};

/// `transport.str()`, as for other objects.
[[nodiscard]] ASTER_API std::string to_string(const BaseTransport& transport);

}  // namespace aster::inline v0
