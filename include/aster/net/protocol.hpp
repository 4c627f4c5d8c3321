// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/net/transport.hpp>

#include <cstddef>
#include <exception>
#include <span>
#include <string_view>

/// What a program derives from to be told of a connection's events by callbacks: the
/// counterparts of asyncio's protocol classes. Streams are easier; protocols are for
/// those who want every event at once and no task per connection.
///
///     struct Echo : aster::Protocol {
///       aster::Transport* transport = nullptr;
///       void connection_made(aster::Transport& made) override { transport = &made; }
///       void data_received(std::string_view data) override { transport->write(data); }
///     };
///
/// Order: `connection_made` once and first, `connection_lost` once and last. All are
/// called by the loop, never inside a call of the program's. The transport and its loop
/// hold the protocol until `connection_lost` has returned; when the loop is closed
/// before, that is not called.
///
/// An exception that leaves a callback is told to the loop's exception handler and ends
/// that connection, with the exception for `connection_lost`; those of `pause_writing`,
/// `resume_writing` and `connection_lost`, and all of a DatagramProtocol's, are only told.
namespace aster::inline v0 {

/// What all protocols have.
class ASTER_API BaseProtocol {
 public:
  BaseProtocol() noexcept = default;
  BaseProtocol(const BaseProtocol&) = delete;
  BaseProtocol& operator=(const BaseProtocol&) = delete;
  virtual ~BaseProtocol();

  /// The connection is over. `error` is null when we closed or aborted it, or when the
  /// peer ended it in an orderly way.
  virtual void connection_lost(std::exception_ptr error);
  /// More than the high-water mark is buffered: stop writing.
  virtual void pause_writing();
  /// No more than the low-water mark is buffered: go on.
  virtual void resume_writing();
};

/// A protocol for a connection or pipe that is handed the bytes.
class ASTER_API Protocol : public BaseProtocol {
 public:
  /// There is a connection. `transport` is valid until `connection_lost` has returned;
  /// its `ref()` keeps it longer. A pipe's transport has one half only: the other's
  /// calls are RuntimeErrors.
  virtual void connection_made(Transport& transport);
  /// Bytes have come; `data` is valid during the call.
  virtual void data_received(std::string_view data);
  /// The peer has ended its half, at most once. False closes the transport, once
  /// everything is sent; true leaves our half open.
  virtual bool eof_received();
};

/// A protocol that says where received bytes are to go.
///
///     struct Sink : aster::BufferedProtocol {
///       std::array<char, 4096> room;
///       std::span<char> get_buffer(std::size_t) override { return room; }
///       void buffer_updated(std::size_t size) override { use({room.data(), size}); }
///     };
class ASTER_API BufferedProtocol : public BaseProtocol {
 public:
  /// As `Protocol::connection_made`.
  virtual void connection_made(Transport& transport);
  /// Where the next bytes may go; it must stay valid until `buffer_updated`,
  /// `eof_received` or `connection_lost`, and be there when asked again. `hint` says how
  /// much may come, `any_size` that nobody knows. An empty one ends the connection.
  virtual std::span<char> get_buffer(std::size_t hint) = 0;
  /// `size` bytes have come.
  virtual void buffer_updated(std::size_t size) = 0;
  /// As `Protocol::eof_received`.
  virtual bool eof_received();

  /// What `get_buffer` is told when any size will do (asyncio's -1).
  static constexpr std::size_t any_size = static_cast<std::size_t>(-1);
};

/// A protocol for datagrams.
class ASTER_API DatagramProtocol : public BaseProtocol {
 public:
  /// There is an endpoint; as `Protocol::connection_made`.
  virtual void connection_made(DatagramTransport& transport);
  /// A datagram has come, maybe an empty one; `data` is valid during the call.
  virtual void datagram_received(std::string_view data, const Address& address);
  /// A send or receive has failed; the endpoint goes on.
  virtual void error_received(std::exception_ptr error);
};

}  // namespace aster::inline v0
