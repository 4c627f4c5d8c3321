// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aster::inline v0 {

/// A socket of the system; what `fileno()` gives and `add_reader` takes.
#if defined(_WIN32)
using native_socket = std::uintptr_t;
/// An open file of the system; what `sock_sendfile` takes.
using native_file = void*;
#else
/// A socket of the system; what `fileno()` gives and `add_reader` takes.
using native_socket = int;
/// An open file of the system; what `sock_sendfile` takes.
using native_file = int;
#endif

/// Something with a descriptor: `Socket`, `SocketView` …
template <class T>
concept has_fileno = requires(const T& object) {
  { object.fileno() } -> std::convertible_to<native_socket>;
};

/// One request to a back end: "receive into these bytes", "accept one
/// connection". Completion-shaped: whoever submits it is told once, by
/// `complete`, when it is over.
///
/// The record and the bytes it points at belong to the back end from
/// `IoBackend::submit` until the terminal completion, or until a
/// `cancel` or `reclaim` that says they are free. They live in the waiter's
/// coroutine frame or in the transport: submitting allocates nothing.
///
/// Thread rule: loop thread only. `complete` is called from inside
/// `IoBackend::poll`, or in its own turn (`IoBackend::deliver_in_turn`), never from
/// `submit`; it may submit and cancel operations (this one included), but does not
/// run user code: it marks a task or handle ready.
class Operation {
 public:
  /// What is asked for.
  enum class Kind : std::uint8_t {
    /// `result` is the accepted socket (non-blocking, close-on-exec); its peer's
    /// address goes to `peer`.
    accept,
    /// Connects to `address`/`address_size`; `result` is 0.
    connect,
    /// Receives at most `size` bytes into `data`. When `data` is null the back
    /// end lends its own buffer: what arrived is valid only until `complete`
    /// returns. `result` is the number of bytes, 0 at the end of the stream.
    recv,
    /// Sends at most `size` bytes from `data`; `result` is the number sent,
    /// which may be fewer.
    send,
    /// Waits until `fd` can be read (or has failed or hung up); `result` is 0.
    poll_in,
    /// Waits until `fd` can be written (or has failed or hung up); `result` is 0.
    poll_out,
    /// As `recv` with `data`, and tells from whom: for datagrams. The sender's address
    /// goes to `peer`; of a datagram that is larger than `size` the rest is lost.
    recv_from,
    /// As `send`, to `address`: for datagrams.
    send_to,
    /// As `recv`, from what may be no socket: a pipe, a terminal.
    read,
    /// As `send`, to what may be no socket. Never raises SIGPIPE.
    write,
  };

  using Complete = void (*)(Operation&) noexcept;

  /// A request without an owner yet; `on_complete` is told when it is over.
  Operation() noexcept = default;
  explicit Operation(Complete on_complete) noexcept : complete(on_complete) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  /// True between a `submit` that returned false and the terminal completion.
  [[nodiscard]] bool is_pending() const noexcept { return pending; }

  // The request, written by the owner before `submit`.
  Complete complete = nullptr;
  native_socket fd = static_cast<native_socket>(-1);
  Kind kind = Kind::recv;

  // The back end's own while pending.
  bool pending = false;

  /// `poll_in`, `poll_out`: false when the owner can do with being told too early, which
  /// saves a system call.
  bool is_exact = true;

  // The outcome, written by the back end.
  /// `recv` without `data`: `lent` outlives `complete`, until what that has woken has
  /// had its next step, or the next operation is submitted.
  bool lent_lasts = false;
  std::int64_t result = 0;  ///< >= 0: as `kind` says; < 0: minus the error number.
  std::string_view lent;    ///< `recv`: what arrived, when `result` is above 0.

  char* data = nullptr;  ///< `send` only reads it.
  std::size_t size = 0;  ///< Bytes at `data`; with lent buffers the most wanted.
  /// An operation has one or the other.
  union {
    void* peer = nullptr;  ///< `accept`, `recv_from`: room for a sockaddr, or null.
    const void* address;   ///< `connect`, `send_to`: a sockaddr, the submitter's.
  };
  std::uint32_t address_size = 0;  ///< Size of `address`, or room at `peer` and then its size.

  // The back end's own.
  std::uint64_t tag = 0;
};

}  // namespace aster::inline v0
