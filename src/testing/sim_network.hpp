// SPDX-License-Identifier: MIT
#pragma once

#include "testing/sim_datagrams.hpp"
#include "testing/sim_ports.hpp"
#include "testing/sim_socket.hpp"

#include <aster/base/function.hpp>
#include <aster/base/random.hpp>
#include <aster/base/time.hpp>
#include <aster/io/address.hpp>
#include <aster/loop/backend.hpp>
#include <aster/testing/sim_backend.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The simulated system without the loop's view of it: descriptors, TCP, the
/// events on their way and the virtual clock; SimPorts and SimDatagrams are parts of
/// it. `SimBackend` adds operations, watches and faults. Private to src/testing.
namespace aster::inline v0::testing::detail {

class SimNetwork {
 public:
  explicit SimNetwork(const SimOptions& options);

  // Descriptors; results are values or minus errno.
  std::int64_t open(int family, int type, int protocol);
  [[nodiscard]] SimPipe open_pipe();
  [[nodiscard]] SimSocket* find(native_socket fd) const noexcept;
  [[nodiscard]] SimSocket* find(SimSocketRef ref) const noexcept;
  void close(SimSocket& socket);
  [[nodiscard]] std::vector<native_socket> open_descriptors() const;

  // Calls; -EAGAIN where a kernel gives it.
  int listen(SimSocket& socket, int backlog);
  /// -EINPROGRESS when under way. `refusal`: an error the attempt is to end with.
  int connect(SimSocket& socket, const Address& address, int refusal);
  /// How the attempt under way ended, or -EAGAIN.
  int connect_result(SimSocket& socket) noexcept;
  std::int64_t accept(SimSocket& socket);
  /// Resets the connection that would be accepted next.
  void abort_next(SimSocket& socket);
  /// `from`: the sender of a datagram; no address from a stream.
  std::int64_t recv(SimSocket& socket, char* data, std::size_t size, Address& from);
  /// Streams do not look at `target`; without an address a datagram goes to the peer.
  std::int64_t send(SimSocket& socket, std::span<const std::string_view> pieces,
                    const Address& target);
  int shutdown_write(SimSocket& socket);
  int set_option(SimSocket& socket, int level, int name, std::string_view value);
  [[nodiscard]] std::string get_option(SimSocket& socket, int level, int name);
  /// False once it was reset or both directions have ended.
  [[nodiscard]] static bool is_connected(const SimSocket& socket) noexcept;
  /// A mask of Watch's.
  [[nodiscard]] unsigned readiness(const SimSocket& socket) const noexcept;

  void cut_after(SimSocket& socket, std::size_t bytes, SimBackend::Cut cut);

  // Time.
  void after(Duration delay, Function<void()> action);
  [[nodiscard]] TimePoint now() const noexcept { return now_; }
  void set_now(TimePoint now) noexcept { now_ = now; }
  /// When the next event is due; `TimePoint::max()` without one.
  [[nodiscard]] TimePoint next_event() const noexcept;
  /// Lets everything happen that is due.
  void run_due();

  /// Puts `socket` on the list of changes, from which polls work: whose
  /// readiness may have grown since the list was last taken.
  void touch(SimSocket& socket);
  void touch_all();
  [[nodiscard]] const std::vector<SimSocketRef>& changes() const noexcept { return changes_; }
  [[nodiscard]] std::vector<SimSocketRef> take_changes();

  SimLedger ledger;
  SeededRandom random;
  SimPorts ports;

 private:
  using ConnectionPtr = std::shared_ptr<SimConnection>;

  std::int64_t give_descriptor(std::shared_ptr<SimSocket> socket);
  [[nodiscard]] SimSocket* listener_for(const Address& target);
  void knock(const std::weak_ptr<SimSocket>& client, int tries);
  void establish(const std::shared_ptr<SimSocket>& client, SimSocket& listener);
  static void join(SimSocket& client, const std::shared_ptr<SimSocket>& server);
  int connect_path(SimSocket& socket, const Address& address, int refusal);
  void fail_connect(const std::weak_ptr<SimSocket>& client, int error);
  void arrive(const ConnectionPtr& connection, std::size_t side, std::size_t count);
  void arrive_fin(SimConnection& connection, std::size_t side);
  void arrive_reset(SimConnection& connection, std::size_t side);
  void apply_cut(SimConnection& connection, SimBackend::Cut cut);
  void discard(SimConnection& connection, std::size_t side, std::size_t count);
  void detach(SimSocket& socket, bool with_reset);
  std::int64_t recv_stream(SimSocket& socket, char* data, std::size_t size);
  std::int64_t send_stream(SimSocket& socket, std::span<const std::string_view> pieces);
  [[nodiscard]] std::size_t chunk(std::size_t most) noexcept;

  SimOptions options_;
  TimePoint now_;
  std::uint64_t generation_count_ = 0;
  std::multimap<TimePoint, Function<void()>> events_;  // Equal times: oldest first.
  std::vector<std::shared_ptr<SimSocket>> sockets_;    // By descriptor; null: free.
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
  SimDatagrams datagrams_;
  std::vector<SimSocketRef> changes_;
};

}  // namespace aster::inline v0::testing::detail
