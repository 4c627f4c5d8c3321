// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/ready_queue.hpp>
#include <aster/base/time.hpp>
#include <aster/base/waker.hpp>
#include <aster/loop/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace aster::inline v0 {

/// Which system facility drives a loop.
enum class Backend : std::uint8_t {
  automatic,  ///< `ASTER_BACKEND` when set, else the best that works here.
  epoll,      ///< Linux.
  poll,       ///< Any POSIX system.
  select,     ///< Any POSIX system; descriptors below FD_SETSIZE only.
  kqueue,     ///< BSD and macOS.
  io_uring,   ///< Linux.
  iocp,       ///< Windows.
};

/// Told by the back end, once per poll, that a watched descriptor is ready;
/// what `add_reader` and `add_writer` stand on. Level-triggered.
class Watch {
 public:
  /// In a mask: can be read without blocking, or has failed or hung up.
  static constexpr unsigned readable = 1;
  /// In a mask: can be written without blocking, or has failed or hung up.
  static constexpr unsigned writable = 2;

  /// `events` is a mask of `readable` and `writable`, limited to what is
  /// watched; an error or hang-up counts as both (FD-8). Called by a delivery: see
  /// `IoBackend::deliver_in_turn`. May then tell of what was so at the poll.
  using Ready = void (*)(Watch&, unsigned events) noexcept;

  /// Calls `on_ready` when ready.
  explicit Watch(Ready on_ready) noexcept : ready(on_ready) {}
  Ready ready;
};

/// Who does the I/O for one loop: the seam between aster and a system (or the
/// simulator). Everything the library asks of sockets, descriptors and the
/// clock goes through here.
///
/// Calls give error numbers as values (minus errno) and never throw. All belong
/// to the loop's thread, `Waker::wake` excepted.
class ASTER_API IoBackend {
 public:
  IoBackend() = default;
  IoBackend(const IoBackend&) = delete;
  IoBackend& operator=(const IoBackend&) = delete;
  virtual ~IoBackend();

  /// "epoll", "poll", "select", "sim" …
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  /// Whether its descriptors and paths are those of the system; false for a simulator.
  [[nodiscard]] virtual bool is_system() const noexcept { return true; }

  /// The clock; monotonic. Virtual on the simulator.
  [[nodiscard]] virtual TimePoint now() noexcept = 0;

  /// Waits at most `timeout` (`Duration::zero()`: not at all;
  /// `Duration::max()`: for ever; rounded up, never early) and delivers what is
  /// ready: completions and watches. An interrupted wait returns early.
  virtual void poll(Duration timeout) noexcept = 0;

  /// Lets deliveries wait for their turn. A back end that learns of readiness, and
  /// must still make the call, then does not make it in `poll`: there it queues a
  /// node on `ready`, which delivers one event at a time. What an event's
  /// completions queue on `ready` goes to the front of `batch`, the rest of the turn
  /// that runs, so it runs at once and in the same order as if `poll` had delivered.
  /// Both queues must outlive the back end, or drop the node before. While `is_timed`,
  /// which must too, each node runs from `batch`, never inside the delivering one, so
  /// that the loop can time it. For back ends whose completions come from elsewhere it
  /// does nothing.
  virtual void deliver_in_turn(detail::ReadyQueue& /*ready*/, detail::ReadyQueue& /*batch*/,
                               const bool& /*is_timed*/) noexcept {}

  /// True while an operation is pending or a descriptor is watched, the waker's
  /// own excepted: only then is a poll due while work is ready.
  [[nodiscard]] virtual bool is_watching() const noexcept = 0;

  /// True when the next poll will not wait, whatever its timeout: something that
  /// no descriptor announces is due. For hosts of the loop (guest mode), who wait
  /// elsewhere.
  [[nodiscard]] virtual bool is_poll_due() const noexcept { return false; }

  /// What interrupts this back end's `poll`; may outlive the back end.
  [[nodiscard]] virtual std::shared_ptr<Waker> waker() const noexcept = 0;

  // Operations ---------------------------------------------------------------

  /// Tries the operation; true: it is over already and `result` is set, and
  /// `complete` will not be called. False: it is pending. So that a descriptor
  /// that is always ready cannot starve the others, a back end may refuse to try
  /// (and complete at the next poll) once some operations have succeeded
  /// since the last poll. One pending operation a direction and descriptor: a
  /// second one is over at once with -EBUSY.
  ///
  /// A back end remembers what it learnt about a descriptor. So whoever has
  /// submitted operations on one must hand it back, by `close_socket` or
  /// `forget`, before its number can come to mean another file; else an
  /// operation on that file may wait for ever.
  virtual bool submit(Operation& operation) noexcept = 0;

  /// Asks a pending operation to end early. True: it is over, `complete` will
  /// not be called, record and bytes are free, and nothing was transferred.
  /// False: `complete` will come from a later poll, with the true outcome when
  /// the operation had taken effect, else -ECANCELED.
  virtual bool cancel(Operation& operation) noexcept = 0;

  /// Ends a pending operation here and now, waiting for the kernel if need be;
  /// `complete` is not called. For tear-down.
  virtual void reclaim(Operation& operation) noexcept = 0;

  // Watched descriptors --------------------------------------------------------

  /// Watches `fd` for `events` (a mask of Watch's; replaces the former mask; 0
  /// ends the watch). Gives 0 or minus errno: -EBADF for a bad descriptor,
  /// -EPERM when the facility cannot watch its kind, -EINVAL when the number is
  /// too large for the facility. `watch` must live until the mask is 0.
  /// A watched descriptor should be unwatched before it is closed. When it was
  /// not, epoll forgets it without a word; poll and select call `ready` once with
  /// all that is watched, and end the watch.
  virtual int set_watch(native_socket fd, unsigned events, Watch& watch) noexcept = 0;

  // Sockets ----------------------------------------------------------------------

  /// A new non-blocking, close-on-exec socket, or minus errno.
  virtual std::int64_t open_socket(int family, int type, int protocol) noexcept = 0;
  /// Ends whatever the back end keeps for `fd` without closing it. Operations
  /// pending on it must be over.
  virtual void forget(native_socket fd) noexcept = 0;
  /// `forget`, then closes; exactly once for each descriptor. 0 or minus errno.
  virtual int close_socket(native_socket fd) noexcept = 0;
  /// Gives the socket its own address. 0 or minus errno.
  virtual int bind(native_socket fd, const void* address, std::uint32_t size) noexcept = 0;
  /// Lets the socket accept connections. 0 or minus errno.
  virtual int listen(native_socket fd, int backlog) noexcept = 0;
  /// Writes the socket's own address to `address`, of which
  /// `size` says the room and then the length.
  virtual int local_address(native_socket fd, void* address, std::uint32_t& size) noexcept = 0;
  /// The address at the other end, in the same way.
  virtual int peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept = 0;
  /// setsockopt. 0 or minus errno.
  virtual int set_option(native_socket fd, int level, int name, const void* value,
                         std::uint32_t size) noexcept = 0;
  /// Has what is written to a connection of IPv4 or IPv6 sent at once (TCP_NODELAY). The
  /// socket counts as TCP until it is handed back. 0 or minus errno.
  virtual int set_no_delay(native_socket fd) noexcept = 0;
  /// getsockopt; `size` says the room and then the length. 0 or minus errno.
  virtual int get_option(native_socket fd, int level, int name, void* value,
                         std::uint32_t& size) noexcept = 0;
  /// Sends what goes at once: the number of bytes or minus errno (-EAGAIN when
  /// nothing goes). Never raises SIGPIPE.
  virtual std::int64_t send_now(native_socket fd, const char* data, std::size_t size) noexcept = 0;
  /// The same for several pieces, as one call.
  virtual std::int64_t send_now(native_socket fd,
                                std::span<const std::string_view> pieces) noexcept = 0;
  /// Sends one datagram to `address`, or with an `address_size` of 0 to the peer of a
  /// connected socket: the number of bytes or minus errno (-EAGAIN when nothing goes).
  virtual std::int64_t send_to_now(native_socket fd, std::string_view data, const void* address,
                                   std::uint32_t address_size) noexcept;
  /// Takes a datagram that has come; the sender's address goes to `peer`, of which
  /// `peer_size` says the room and then the length (0: it has none). The number of
  /// bytes, of which those that do not fit are lost, or minus errno (-EAGAIN when there
  /// is none). To wait for one, watch the descriptor. -EOPNOTSUPP where these two are
  /// not there.
  virtual std::int64_t recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                                     std::uint32_t& peer_size) noexcept;
  /// Sends at most `size` bytes of `file`, from `offset` on, without copying them
  /// through the process: the number of bytes, 0 at the end of the file, or minus
  /// errno (-EAGAIN when nothing goes). -EOPNOTSUPP where that cannot be done.
  virtual std::int64_t send_file_now(native_socket fd, native_file file, std::int64_t offset,
                                     std::size_t size) noexcept;
  /// Ends the writing half.
  virtual int shutdown_write(native_socket fd) noexcept = 0;

  // Hosting and forking ------------------------------------------------------------

  /// A descriptor that becomes readable when a poll is due, for loops that host
  /// ours (guest mode); -1 when the facility has none.
  [[nodiscard]] virtual int pollable_fd() const noexcept { return -1; }

  /// In a forked child: closes descriptors, but never touches what is shared
  /// with the parent (epoll set, ring, wake-up descriptor).
  virtual void abandon_after_fork() noexcept = 0;
};

/// Makes a back end. `automatic` obeys `ASTER_BACKEND`, then takes the best that
/// works. ValueError for a facility that is not built in or an unknown name,
/// `std::system_error` when the system refuses it.
[[nodiscard]] ASTER_API std::unique_ptr<IoBackend> make_backend(Backend kind = Backend::automatic);

}  // namespace aster::inline v0
