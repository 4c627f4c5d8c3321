// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/backend.hpp>
#include <aster/loop/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace aster::inline v0 {

struct Accepted;

namespace detail {
class SocketUse;
}

/// A look at a socket that somebody else owns: its addresses and options. What
/// `Server::sockets()` gives. Copies freely and never closes anything; valid
/// while the owner keeps the socket open.
///
///     server.sockets().front().getsockname().port()
///
/// Calls that the system refuses throw `std::system_error` with what was called,
/// on what: "getpeername of socket 5: Transport endpoint is not connected".
class ASTER_API SocketView {
 public:
  /// A view of nothing; every call is an EBADF.
  SocketView() noexcept = default;

  /// `backend`: whose descriptor it is, when only a back end can tell about it
  /// (simulated sockets); null for a socket of the system.
  explicit SocketView(native_socket fd, IoBackend* backend = nullptr) noexcept
      : fd_(fd), backend_(backend) {}

  /// The descriptor; -1 when closed.
  [[nodiscard]] native_socket fileno() const noexcept { return fd_; }
  /// Null for a socket of the system.
  [[nodiscard]] IoBackend* backend() const noexcept { return backend_; }

  /// Its own address.
  [[nodiscard]] Address getsockname() const;
  /// The address of the other end; ENOTCONN without one.
  [[nodiscard]] Address getpeername() const;

  /// An option whose value is an int: `getsockopt(SOL_SOCKET, SO_ERROR)`.
  [[nodiscard]] int getsockopt(int level, int name) const;
  /// Any other option, as at most `size` bytes.
  [[nodiscard]] std::string getsockopt(int level, int name, std::size_t size) const;
  /// Sets an option whose value is an int.
  void setsockopt(int level, int name, int value) const;
  /// Sets any other option, as the bytes of its struct.
  void setsockopt(int level, int name, std::string_view value) const;

 protected:
  [[noreturn]] void fail(std::int64_t result, const char* call) const;

  static constexpr native_socket closed = static_cast<native_socket>(-1);
  native_socket fd_ = closed;
  IoBackend* backend_ = nullptr;
};

/// A socket that is owned: closed when this goes. Non-blocking and
/// close-on-exec from birth. For servers and clients prefer `start_server` and
/// `open_connection`; this is for the `sock_*` functions of the loop.
///
///     Socket listener{AF_INET, SOCK_STREAM};
///     listener.bind(Address{"127.0.0.1", 0});
///     listener.listen(128);
///     Accepted accepted = co_await loop.sock_accept(listener);
///
/// Movable. Before it closes, `add_reader` and `add_writer` must be undone; a `sock_*`
/// operation that is under way fails with EBADF. A socket of a back end must go
/// before the back end. From its first `sock_*` operation on a socket belongs to that
/// loop and its thread, until it is closed or the loop is; `release` and `adopt` take
/// it to another. Failures throw `std::system_error`: "bind 127.0.0.1:80: Permission
/// denied".
class ASTER_API Socket : public SocketView {
 public:
  /// A closed one.
  Socket() noexcept = default;
  /// As `socket(2)`: AF_INET, SOCK_STREAM …
  Socket(int family, int type, int protocol = 0);
  /// A socket of `backend`, for simulated ones.
  Socket(IoBackend& backend, int family, int type, int protocol = 0);
  /// Takes over an open descriptor, which is made non-blocking and
  /// close-on-exec. When that fails the descriptor stays the caller's.
  [[nodiscard]] static Socket adopt(native_socket fd, IoBackend* backend = nullptr);

  /// Leaves a closed one behind.
  Socket(Socket&& other) noexcept
      : SocketView(std::exchange(other.view(), SocketView())),
        use_(std::exchange(other.use_, nullptr)) {}
  /// Closes the present one first.
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      view() = std::exchange(other.view(), SocketView());
      use_ = std::exchange(other.use_, nullptr);
    }
    return *this;
  }
  ~Socket() { close(); }

  /// Gives it an address of its own; port 0 takes a free one.
  void bind(const Address& address);
  /// Lets others connect; `backlog` is how many may wait to be accepted.
  void listen(int backlog = 128);
  /// SHUT_RD, SHUT_WR or SHUT_RDWR; a back end's sockets know SHUT_WR only.
  void shutdown(int how);
  /// The loop's functions want it non-blocking, as it is from birth. A back end's
  /// sockets cannot be made blocking (EOPNOTSUPP).
  void setblocking(bool blocking);
  /// Whether it is blocking.
  [[nodiscard]] bool getblocking() const;

  // The system's own calls, without a loop: they wait on a blocking socket, and fail
  // with EAGAIN on another. Not for a back end's sockets (EOPNOTSUPP). A task uses the
  // loop's functions of these names.

  /// Takes a connection, which is blocking when this is; see io/sock.hpp.
  [[nodiscard]] Accepted accept();
  /// Connects to `address`; on a socket that is not blocking it may be EINPROGRESS.
  void connect(const Address& address);
  /// At most `size` bytes; "" at the end of the stream.
  [[nodiscard]] std::string recv(std::size_t size);
  /// Sends what goes; the number of bytes.
  std::size_t send(std::string_view data);
  /// Sends all of it; after an error nobody knows how much was sent.
  void sendall(std::string_view data);

  /// Closes it; nothing when it is closed. An error of the system cannot be
  /// acted on, the descriptor is gone all the same, and so is not reported.
  void close() noexcept;
  /// True once it was closed, released or moved away.
  [[nodiscard]] bool is_closed() const noexcept { return fd_ == closed; }
  /// Gives the descriptor away without closing it. Bytes that a cancelled receive has
  /// left behind are lost.
  [[nodiscard]] native_socket release() noexcept {
    end_use();
    return std::exchange(view(), SocketView()).fileno();
  }

 private:
  friend class detail::SocketUse;
  SocketView& view() noexcept { return *this; }
  void require_system(const char* call) const;
  void end_use() noexcept;

  detail::SocketUse* use_ = nullptr;  // Owned; null until the first sock_* operation.
};

}  // namespace aster::inline v0
