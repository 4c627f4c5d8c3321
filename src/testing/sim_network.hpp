// SPDX-License-Identifier: MIT
#pragma once

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
/// events on their way and the virtual clock. `SimBackend` adds operations,
/// watches and faults. Private to src/testing.
namespace aster::inline v0::testing::detail {

struct SimSocket;

/// One direction of a connection.
struct SimStream {
  std::string bytes;         ///< Arrived ones first, then those in flight.
  std::size_t consumed = 0;  ///< Bytes at the front that have been received.
  std::size_t arrived = 0;   ///< Bytes after them that can be received.
  bool fin_arrived = false;
  std::optional<std::size_t> cut_left;  ///< Bytes that still pass before the cut.
  SimBackend::Cut cut = SimBackend::Cut::fin;

  [[nodiscard]] std::size_t held() const noexcept { return bytes.size() - consumed; }
};

/// Two sockets and the bytes between them; outlives either while bytes travel.
struct SimConnection {
  std::array<SimStream, 2> to;      ///< to[i] is received by end[i].
  std::array<SimSocket*, 2> end{};  ///< Null once closed.
  bool severed = false;             ///< Cut by a FIN: nothing passes any more.
};

struct SimSocket {
  enum class State : std::uint8_t { idle, listening, connecting, connected };

  int family = 0;
  State state = State::idle;
  native_socket fd = -1;         ///< -1 while it waits to be accepted.
  std::uint64_t generation = 0;  ///< Tells it from former owners of its number.
  Address local;
  Address peer;
  bool bound = false;                                  ///< It is in the network's table of ports.
  int error = 0;                                       ///< SO_ERROR.
  std::map<std::pair<int, int>, std::string> options;  ///< By level and name.

  // Listening.
  std::size_t backlog = 0;
  std::deque<std::shared_ptr<SimSocket>> backlog_queue;

  // Connecting and connected.
  bool is_pipe = false;
  std::shared_ptr<SimConnection> connection;
  std::size_t side = 0;           ///< Its index in the connection.
  bool connect_reported = false;  ///< The success of connect has been told.
  bool write_shut = false;
  bool reset = false;  ///< A RST has arrived.

  // What the back end keeps; the network does not look at it.
  std::array<Operation*, 2> pending{};  ///< By direction: 0 reads, 1 writes.
  std::array<bool, 2> cancelling{};
  Watch* watch = nullptr;
  unsigned watched = 0;
  bool touched = false;  ///< It is in the network's list of changes.
};

/// A socket that may have been closed meanwhile.
struct SimSocketRef {
  native_socket fd = -1;
  std::uint64_t generation = 0;
};

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
  int bind(SimSocket& socket, const Address& address);
  int listen(SimSocket& socket, int backlog);
  /// -EINPROGRESS when under way. `refusal`: an error the attempt is to end with.
  int connect(SimSocket& socket, const Address& address, int refusal);

  /// How the attempt under way ended, or -EAGAIN.
  int connect_result(SimSocket& socket) noexcept;
  std::int64_t accept(SimSocket& socket);
  /// Resets the connection that would be accepted next.
  void abort_next(SimSocket& socket);
  std::int64_t recv(SimSocket& socket, char* data, std::size_t size);
  std::int64_t send(SimSocket& socket, std::span<const std::string_view> pieces);
  int shutdown_write(SimSocket& socket);
  int set_option(SimSocket& socket, int level, int name, std::string_view value);
  [[nodiscard]] std::string get_option(SimSocket& socket, int level, int name);
  /// False once it was reset or both directions have ended.
  [[nodiscard]] static bool is_connected(const SimSocket& socket) noexcept;
  /// A mask of Watch's.
  [[nodiscard]] unsigned readiness(const SimSocket& socket) const noexcept;

  void add_local_network(std::string_view text);
  void clear_local_networks() noexcept { local_networks_.clear(); }
  void add_black_hole(const Address& address) { black_holes_.push_back(address); }
  void cut_after(SimSocket& socket, std::size_t bytes, SimBackend::Cut cut);

  // Time.
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

 private:
  using ConnectionPtr = std::shared_ptr<SimConnection>;

  struct LocalNetwork {
    Address base;
    std::size_t prefix_size;  // In bits.
  };

  void after(Duration delay, Function<void()> action);
  std::int64_t give_descriptor(std::shared_ptr<SimSocket> socket);
  [[nodiscard]] bool is_local(const Address& address) const noexcept;
  [[nodiscard]] bool is_black_hole(const Address& address) const;
  [[nodiscard]] bool is_taken(const SimSocket& socket, const Address& address) const;
  [[nodiscard]] int free_port(const SimSocket& socket, const Address& address);
  void claim(SimSocket& socket, const Address& address);
  void unclaim(SimSocket& socket) noexcept;
  [[nodiscard]] SimSocket* listener_for(const Address& target);
  void knock(const std::weak_ptr<SimSocket>& client, int tries);
  void establish(const std::shared_ptr<SimSocket>& client, SimSocket& listener);
  static void join(SimSocket& client, const std::shared_ptr<SimSocket>& server);
  int bind_path(SimSocket& socket, const Address& address);
  int connect_path(SimSocket& socket, const Address& address, int refusal);
  void fail_connect(const std::weak_ptr<SimSocket>& client, int error);
  void arrive(const ConnectionPtr& connection, std::size_t side, std::size_t count);
  void arrive_fin(SimConnection& connection, std::size_t side);
  void arrive_reset(SimConnection& connection, std::size_t side);
  void apply_cut(SimConnection& connection, SimBackend::Cut cut);
  void discard(SimConnection& connection, std::size_t side, std::size_t count);
  void detach(SimSocket& socket, bool with_reset);
  [[nodiscard]] std::size_t chunk(std::size_t most) noexcept;

  SimOptions options_;
  TimePoint now_;
  std::uint64_t generation_count_ = 0;
  int next_port_;
  std::multimap<TimePoint, Function<void()>> events_;  // Equal times: oldest first.
  std::vector<std::shared_ptr<SimSocket>> sockets_;    // By descriptor; null: free.
  std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> free_;
  std::multimap<int, SimSocket*> ports_;     // Bound sockets, accepted ones excepted.
  std::map<std::string, SimSocket*> paths_;  // Bound unix sockets.
  std::vector<LocalNetwork> local_networks_;
  std::vector<Address> black_holes_;
  std::vector<SimSocketRef> changes_;
};

}  // namespace aster::inline v0::testing::detail
