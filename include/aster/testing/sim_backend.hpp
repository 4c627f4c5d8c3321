// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/time.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/backend.hpp>
#include <aster/loop/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aster::inline v0::testing {

/// How a `SimBackend` behaves.
struct SimOptions {
  /// Decides everything that is random; the same seed gives the same run.
  std::uint64_t seed = 0;
  /// How long a segment travels, one way.
  Delay latency{};
  /// Bytes one direction of a connection holds, in flight and unread together.
  std::size_t capacity = std::size_t{64} * 1024;
  /// When not 0 every receive and send moves a random 1 to `max_chunk` bytes.
  std::size_t max_chunk = 0;
  /// How many datagrams of a hundred are lost …
  unsigned loss_percent = 0;
  /// … arrive twice …
  unsigned duplicates_percent = 0;
  /// … and are overtaken by later ones.
  unsigned reorder_percent = 0;
  /// Random order of what one poll delivers; else the order in which it became ready.
  bool shuffle = true;
  /// Operations `submit` may end at once between two polls; 0: none ever does.
  std::size_t inline_budget = 16;
  /// Half of the cancelled operations end at the next poll only, some of them
  /// with success: what a kernel that owns the buffer may do.
  bool late_cancel = false;
  /// With nothing left that could happen, wait (really) for a `wake` from
  /// another thread instead of reporting a deadlock.
  bool wait_for_threads = false;
  /// Where a `SimLoop` was made, for reports.
  std::source_location source = std::source_location::current();
};

/// What can be made to fail by `SimBackend::fail_next`. The first six are the
/// kinds of `Operation`; `recv` covers `recv_from`, `recv_from_now` and `read`, `send`
/// covers `send_to`, `write`, `send_now` and `send_to_now` as well.
enum class SimCall : std::uint8_t {
  accept,
  connect,
  recv,
  send,
  poll_in,
  poll_out,
  open_socket,
  bind,
  listen,
  set_option,
  get_option,
  set_watch,
};

/// What went into a simulated system and what came out of it.
struct SimLedger {
  std::uint64_t descriptors_opened = 0;
  std::uint64_t descriptors_closed = 0;
  std::uint64_t operations_submitted = 0;
  std::uint64_t operations_completed = 0;  ///< In `submit` or in `poll`.
  std::uint64_t operations_cancelled = 0;  ///< Taken back by `cancel` or `reclaim`.
  std::uint64_t bytes_accepted = 0;        ///< By sends.
  std::uint64_t bytes_delivered = 0;       ///< By receives.
  std::uint64_t bytes_discarded = 0;       ///< Lost by closes, resets and cuts.

  friend bool operator==(const SimLedger&, const SimLedger&) = default;
};

/// A pipe of a simulated system; whoever takes the descriptors closes them.
struct SimPipe {
  native_socket read_end;
  native_socket write_end;
};

/// A whole system in memory for one loop: a clock that jumps to the next event
/// instead of waiting, a network with TCP and UDP (IPv4 and IPv6) that keeps Linux's
/// rules, unix sockets and pipes. The path of a unix socket is a name without a
/// file: it is free again once the socket is closed. `SimLoop` runs on one; use it directly to
/// test what stands on `IoBackend`, and to make the network misbehave.
///
///     SimBackend sim({.seed = 7, .latency = 5ms, .max_chunk = 3});
///     sim.fail_next(SimCall::accept, EMFILE, 2);
///     sim.add_black_hole(Address{"10.0.0.9", 0});
///     …
///     EXPECT_EQ(sim.violations(), std::vector<std::string>{});
///
/// The clock stands while there is something to deliver. (Only when a thousand
/// waits in a row end with nothing but watches does it creep on, a millisecond
/// each, lest a watch that is always ready stop time for good.)
///
/// Everything random comes from the seed. Descriptors are numbers from
/// `first_descriptor` on and mean nothing to the system; the lowest free one is
/// handed out again at once, as by a kernel, so that a use after close hits a
/// stranger. What can be seen to be wrong (a second close, a close under a
/// pending operation) is written to `violations()`.
///
/// Thread rule: loop thread only, `Waker::wake` excepted.
class ASTER_API SimBackend final : public IoBackend {
 public:
  /// The lowest number of a simulated descriptor.
  static constexpr native_socket first_descriptor = 1'000'000;

  /// A system without sockets, at a fixed point of time.
  explicit SimBackend(SimOptions options);
  /// With default options.
  SimBackend();
  ~SimBackend() override;

  // The clock ------------------------------------------------------------------

  /// Lets virtual time pass; what becomes due is delivered by the next poll.
  void advance(Duration time);

  /// True when the last poll was to wait for ever with nothing left that could
  /// end the wait. It returned at once.
  [[nodiscard]] bool deadlocked() const noexcept;

  // The network ----------------------------------------------------------------

  /// Makes the addresses of `network`, such as "192.168.0.0/16", local: sockets
  /// can bind to them and reach them. At first 127.0.0.0/8, 10.0.0.0/8 and ::1
  /// are (and 0.0.0.0 and ::, which mean all of them). ValueError for a bad text.
  void add_local_network(std::string_view network);
  /// Makes no address but 0.0.0.0 and :: local.
  void clear_local_networks();

  /// Connects to `address` (port 0: to any port there) never complete.
  void add_black_hole(const Address& address);

  /// A new pipe.
  [[nodiscard]] SimPipe open_pipe();

  // Faults ---------------------------------------------------------------------

  /// The next `times` such calls fail with `error`. A scripted accept fails when
  /// a connection is there to be accepted: ECONNABORTED takes it away, other
  /// errors leave it. Scripts for one call queue up.
  void fail_next(SimCall call, int error, std::size_t times = 1);

  /// How a connection breaks.
  enum class Cut : std::uint8_t {
    fin,    ///< Both ends see the other's orderly end; later sends are lost.
    reset,  ///< Both ends see ECONNRESET.
  };
  /// Cuts the connection of `fd` once the next `bytes` bytes sent by `fd` have
  /// arrived at its peer. ValueError when `fd` is not connected.
  void cut_after(native_socket fd, std::size_t bytes, Cut cut);

  // The accounts ---------------------------------------------------------------

  /// The counts so far.
  [[nodiscard]] SimLedger ledger() const noexcept;
  /// Breaches of the contract of `IoBackend` seen so far, as texts.
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept;
  /// The descriptors now open, lowest first.
  [[nodiscard]] std::vector<native_socket> open_descriptors() const;

  // IoBackend --------------------------------------------------------------------

  [[nodiscard]] std::string_view name() const noexcept override;
  [[nodiscard]] bool is_system() const noexcept override { return false; }
  [[nodiscard]] TimePoint now() noexcept override;
  void poll(Duration timeout) noexcept override;
  [[nodiscard]] bool is_watching() const noexcept override;
  [[nodiscard]] bool is_poll_due() const noexcept override;
  [[nodiscard]] std::shared_ptr<Waker> waker() const noexcept override;
  bool submit(Operation& operation) noexcept override;
  bool cancel(Operation& operation) noexcept override;
  void reclaim(Operation& operation) noexcept override;
  int set_watch(native_socket fd, unsigned events, Watch& watch) noexcept override;
  std::int64_t open_socket(int family, int type, int protocol) noexcept override;
  void forget(native_socket fd) noexcept override;
  int close_socket(native_socket fd) noexcept override;
  int bind(native_socket fd, const void* address, std::uint32_t size) noexcept override;
  int listen(native_socket fd, int backlog) noexcept override;
  int local_address(native_socket fd, void* address, std::uint32_t& size) noexcept override;
  int peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept override;
  int set_option(native_socket fd, int level, int name, const void* value,
                 std::uint32_t size) noexcept override;
  int set_no_delay(native_socket fd) noexcept override;
  int get_option(native_socket fd, int level, int name, void* value,
                 std::uint32_t& size) noexcept override;
  std::int64_t send_now(native_socket fd, const char* data, std::size_t size) noexcept override;
  std::int64_t send_now(native_socket fd,
                        std::span<const std::string_view> pieces) noexcept override;
  std::int64_t send_to_now(native_socket fd, std::string_view data, const void* address,
                           std::uint32_t address_size) noexcept override;
  std::int64_t recv_from_now(native_socket fd, std::span<char> buffer, void* peer,
                             std::uint32_t& peer_size) noexcept override;
  int shutdown_write(native_socket fd) noexcept override;
  void abandon_after_fork() noexcept override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace aster::inline v0::testing
