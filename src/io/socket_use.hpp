// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/intrusive_list.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/driver.hpp>
#include <aster/coro/promise.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/operation.hpp>
#include <aster/task/scheduler.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace aster::inline v0::detail {

class SockAwaiter;
class SockClaim;
class SocketUse;

/// A loop's sockets with sock_* operations.
class SockService final : public EventLoop::Service {
 public:
  explicit SockService(EventLoop& loop) noexcept : loop_(loop) {}
  /// Ends all use; the sockets stay open, and may be used on another loop.
  void close() noexcept override;

 private:
  friend class SocketUse;
  EventLoop& loop_;
  IntrusiveList<SocketUse> uses_;
};

/// What a loop keeps for a socket from its first sock_* operation until it is closed:
/// who reads and who writes, and what a cancelled operation has left behind.
///
/// A completion and a cancellation may meet in one turn. The task then gets the
/// cancellation, and what had come is kept here for the next operation: nothing that
/// the kernel has handed out is ever dropped silently.
class SocketUse final : public Report {
 public:
  enum Direction : unsigned { reading, writing };

  /// That of `socket`, made when need be.
  static SocketUse& of(EventLoop& loop, Socket& socket, const char* call);
  /// A socket that owns `fd`, which is non-blocking and close-on-exec already.
  static Socket socket_of(native_socket fd, IoBackend* backend) noexcept;

  /// The socket closes or is released: operations end with EBADF. Deletes this, or
  /// leaves it to the loop's next turn to tell of a connection that nobody took.
  void end() noexcept;

  /// Keeps what a cancelled accept has taken. Never throws, never allocates.
  void keep_connection(native_socket fd, const Address& from) noexcept;
  /// Keeps what a cancelled receive has taken: `bytes` or, when that is not 0, `error`.
  void keep_bytes(std::span<const char> bytes, const Address& from, bool is_datagram,
                  int error) noexcept;

  [[nodiscard]] bool has_connection() const noexcept { return !connection_.is_closed(); }
  [[nodiscard]] Socket take_connection(Address& from) noexcept;
  [[nodiscard]] bool has_bytes() const noexcept { return has_bytes_; }
  /// The number of bytes, or minus the error number.
  [[nodiscard]] std::int64_t take_bytes(std::span<char> into, Address& from) noexcept;

 private:
  friend class SockClaim;
  friend class SockService;
  SocketUse(SockService& service, native_socket fd, IoBackend* own_backend) noexcept
      : service_(&service), fd_(fd), own_backend_(own_backend) {}
  ~SocketUse() = default;
  void leave_loop() noexcept;
  void tell(Scheduler& scheduler) override;
  [[nodiscard]] std::string lost_text() const;

  SockService* service_;  // Null once the loop is closed.
  native_socket fd_;
  IoBackend* own_backend_;              // The socket's; null for the system's.
  std::array<SockClaim*, 2> claims_{};  // By direction: whose turn it is.
  Socket connection_;                   // Of a cancelled accept.
  Address from_;                        // Of `connection_` or `bytes_`.
  std::string bytes_;                   // Of a cancelled receive, when `has_bytes_`.
  int error_ = 0;                       // The same.
  bool has_bytes_ = false;
  bool is_datagram_ = false;
};

/// One direction of a socket, taken for the time of one sock_* call. Its constructor
/// checks everything that is alike for all of them.
class SockClaim {
 public:
  SockClaim(EventLoop& loop, Socket& socket, SocketUse::Direction direction, const char* call);
  SockClaim(const SockClaim&) = delete;
  SockClaim& operator=(const SockClaim&) = delete;
  ~SockClaim();

  /// What cancelled calls have left; null once the socket is closed.
  [[nodiscard]] SocketUse* use() const noexcept { return use_; }
  [[nodiscard]] native_socket fd() const noexcept { return fd_; }
  [[nodiscard]] IoBackend& backend() const noexcept { return backend_; }
  /// Whose descriptors are not the system's; else null.
  [[nodiscard]] IoBackend* own_backend() const noexcept { return own_backend_; }
  [[nodiscard]] EventLoop& loop() const noexcept { return loop_; }
  [[nodiscard]] const char* call() const noexcept { return call_; }

  /// Throws the error `result` of the call, "sock_recv on socket 5: …".
  [[noreturn]] void fail(std::int64_t result) const;
  /// The same with an address instead of the socket.
  [[noreturn]] void fail(std::int64_t result, const Address& address) const;

 private:
  friend class SocketUse;
  friend class SockAwaiter;
  void socket_closed() noexcept;

  EventLoop& loop_;
  IoBackend& backend_;
  IoBackend* own_backend_;
  native_socket fd_;
  SocketUse::Direction direction_;
  const char* call_;
  SocketUse* use_ = nullptr;
  SockAwaiter* waiting_ = nullptr;
};

/// One operation of the back end on a claimed direction; awaiting it gives its result,
/// a value or minus the error number.
class SockAwaiter : Waiter, protected Operation {
 public:
  using aster_awaiter = void;
  SockAwaiter(SockClaim& claim, Kind what) noexcept;
  SockAwaiter(SockClaim& claim, Kind what, const char* bytes, std::size_t count) noexcept;
  ~SockAwaiter();

  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    claim_.waiting_ = this;
    driver_->suspend(*this);
  }
  std::int64_t await_resume();

  /// After an accept or recv_from: from whom.
  [[nodiscard]] Address from() const;

 private:
  friend class SockClaim;
  bool cancel(Driver& driver, std::string& message) noexcept override;
  [[nodiscard]] bool keep_what_came() noexcept;
  void report_lost_connection();
  void close_accepted() noexcept;

  SockClaim& claim_;
  Driver* driver_ = nullptr;  // Null until it suspends.
  bool taken_ = false;        // The result was given out.
};

/// One with an address.
class AddressedAwaiter final : public SockAwaiter {
 public:
  /// Which the system writes, for `accept` and `recv_from`.
  explicit AddressedAwaiter(SockClaim& claim, Kind what, std::span<char> buffer = {}) noexcept;
  /// Which is given, for `connect` and `send_to`.
  AddressedAwaiter(SockClaim& claim, Kind what, std::string_view bytes,
                   const Address& target) noexcept;

 private:
  alignas(8) std::array<char, 128> room_;
};

/// Sends all of `data`, which must outlive the await.
[[nodiscard]] Coroutine<> send_all(SockClaim& claim, std::string_view data);

}  // namespace aster::inline v0::detail
