// SPDX-License-Identifier: MIT
#pragma once

#include "net/stream_transport.hpp"

#include <aster/coro/coroutine.hpp>
#include <aster/task/future.hpp>

namespace aster::inline v0::detail {

/// A file is being sent over a transport: while this lives `write` throws. One at a
/// time; the transport must outlive it.
class SendfileWait {
 public:
  /// RuntimeError when a file is being sent already, or after `write_eof`.
  explicit SendfileWait(StreamTransport& link);
  SendfileWait(const SendfileWait&) = delete;
  SendfileWait& operator=(const SendfileWait&) = delete;
  ~SendfileWait();

  /// Waits until everything that was written before is sent.
  [[nodiscard]] Coroutine<> drained();
  /// Waits until the socket takes bytes again.
  [[nodiscard]] Coroutine<> room();
  /// Throws the connection's error, or ECONNABORTED, when it is not open any longer.
  void check_open() const;
  /// Fails the connection, as no one knows how much of the file is missing; throws.
  [[noreturn]] void fail(int number);
  /// As `IoBackend::send_file_now`.
  [[nodiscard]] std::int64_t send(native_file file, std::int64_t offset, std::size_t size) noexcept;
  /// Adds bytes to be sent behind the others, as `write` would.
  void write(std::string_view data);

  /// The transport: something has happened.
  void wake() noexcept;

 private:
  [[nodiscard]] Coroutine<> pause();

  StreamTransport& link_;
  Future<> waiter_;
};

}  // namespace aster::inline v0::detail
