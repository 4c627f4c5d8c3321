// SPDX-License-Identifier: MIT
#include "testing/sim_network.hpp"

#include <aster/base/error.hpp>
#include <aster/testing/sim_backend.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

// A readiness system over SimNetwork: an operation is tried when submitted, and
// again at each poll that finds its socket changed. The network lists the
// sockets whose readiness may have grown, so a poll costs what has happened and
// not what is open. All that is ready is collected, shuffled, and then tried in
// that order; each try looks again, as an earlier completion may have closed,
// cancelled or drained what a later one was about.
//
// Unlike a real back end this one allocates. Where memory ends, calls give
// -ENOMEM.
namespace aster::inline v0::testing {

namespace {

using detail::SimNetwork;
using detail::SimSocket;
using detail::SimSocketRef;

constexpr std::size_t reading = 0;
constexpr std::size_t writing = 1;
constexpr std::size_t call_count = static_cast<std::size_t>(SimCall::set_watch) + 1;
constexpr std::size_t lent_size_max = std::size_t{64} * 1024;

std::size_t direction_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::accept:
    case Operation::Kind::recv:
    case Operation::Kind::poll_in:
    case Operation::Kind::recv_from:
    case Operation::Kind::read:
      return reading;
    case Operation::Kind::connect:
    case Operation::Kind::send:
    case Operation::Kind::poll_out:
    case Operation::Kind::send_to:
    case Operation::Kind::write:
      break;
  }
  return writing;
}

const char* name_of(const Operation& operation) noexcept {
  constexpr std::array names{"accept",   "connect",   "recv",    "send", "poll_in",
                             "poll_out", "recv_from", "send_to", "read", "write"};
  return names.at(static_cast<std::size_t>(operation.kind));
}

SimCall call_of(const Operation& operation) noexcept {
  switch (operation.kind) {
    case Operation::Kind::recv_from:
    case Operation::Kind::read:
      return SimCall::recv;
    case Operation::Kind::send_to:
    case Operation::Kind::write:
      return SimCall::send;
    default:
      return static_cast<SimCall>(operation.kind);
  }
}

// Runs `call`, whose exceptions become error numbers.
template <class Call>
auto guarded(Call&& call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (const ValueError&) {  // An address of impossible size.
    return -EINVAL;
  }
}

class SimWaker final : public Waker {
 public:
  // An atomic flag unless somebody really waits, so that a signal handler may
  // call it while no thread is waited for.
  void wake() noexcept override {
    woken_.store(true);
    if (!waiting_.load()) return;
    {
      const std::lock_guard lock(mutex_);
    }
    changed_.notify_all();
  }

  // True when there was a wake since the last call.
  bool take() noexcept { return woken_.exchange(false); }

  // Waits for a wake, and takes it; false when none comes.
  bool wait() noexcept {
    constexpr std::chrono::seconds patience(60);
    std::unique_lock lock(mutex_);
    waiting_.store(true);
    const bool woken = changed_.wait_for(lock, patience, [this] { return woken_.load(); });
    waiting_.store(false);
    woken_.store(false);
    return woken;
  }

 private:
  std::atomic<bool> woken_{false};
  std::atomic<bool> waiting_{false};  // Set before woken_ is looked at; see wake().
  std::mutex mutex_;
  std::condition_variable changed_;
};

int write_address(const Address& from, void* address, std::uint32_t& size) noexcept {
  std::memcpy(address, from.data(), std::min(size, from.size()));
  size = from.size();
  return 0;
}

}  // namespace

class SimBackend::Impl {
 public:
  explicit Impl(const SimOptions& chosen)
      : options(chosen), network(chosen), inline_left(chosen.inline_budget) {}

  // Something of one socket that a poll found ready.
  struct Ready {
    SimSocketRef socket;
    Operation* operation = nullptr;  // Null: its watch.
    std::uint64_t tag = 0;           // Of the operation, whose record may be used anew.
  };
  struct Script {
    int error;
    std::size_t times;
  };

  SimSocket* checked(native_socket fd, const char* call);
  void violation(const std::string& text);

  std::int64_t attempt(SimSocket& socket, Operation& operation);
  std::int64_t attempt_accept(SimSocket& socket, Operation& operation);
  std::int64_t attempt_recv(SimSocket& socket, Operation& operation);
  std::optional<std::int64_t> start(SimSocket& socket, Operation& operation);
  bool submit(Operation& operation);
  bool end_in_submit(Operation& operation, std::int64_t result) noexcept;
  bool take_back(Operation& operation, const char* verb);

  bool is_ready(const SimSocket& socket, const Operation& operation) const;
  [[nodiscard]] bool is_anything_ready() const;
  void collect();
  bool collect_within(Duration timeout);
  void creep(Duration timeout);
  void deliver(const Ready& ready);
  void deliver_orphans();
  void complete(Operation& operation, std::int64_t result) noexcept;

  void drop_claims(SimSocket& socket, const char* call);
  std::int64_t send_now(native_socket fd, std::span<const std::string_view> pieces);

  [[nodiscard]] bool is_scripted(SimCall call) const noexcept {
    return !scripts[static_cast<std::size_t>(call)].empty();
  }
  int scripted_error(SimCall call) noexcept;

  SimOptions options;
  SimNetwork network;
  std::shared_ptr<SimWaker> waker = std::make_shared<SimWaker>();
  std::array<std::deque<Script>, call_count> scripts;
  std::vector<std::string> violations;
  std::vector<Ready> batch;
  std::vector<Operation*> orphans;  // Their descriptor was closed under them.
  std::unique_ptr<char[]> lent;     // Exactly what was lent last, so that ASan sees misuse.
  std::uint64_t tag_count = 0;
  std::size_t pending_count = 0;
  std::size_t watch_count = 0;
  std::size_t inline_left;
  int busy_polls = 0;  // See creep().
  bool deadlocked = false;
};

// Descriptors and violations ------------------------------------------------------------

void SimBackend::Impl::violation(const std::string& text) { violations.push_back(text); }

// The socket of `fd`; null, and a violation when the number is one of ours, when
// it is not open.
SimSocket* SimBackend::Impl::checked(native_socket fd, const char* call) {
  SimSocket* socket = network.find(fd);
  if (socket == nullptr && fd >= first_descriptor) {
    violation(std::string(call) + " on closed descriptor " + std::to_string(fd));
  }
  return socket;
}

int SimBackend::Impl::scripted_error(SimCall call) noexcept {
  std::deque<Script>& queue = scripts[static_cast<std::size_t>(call)];
  if (queue.empty()) return 0;
  const int error = queue.front().error;
  if (--queue.front().times == 0) queue.pop_front();
  return error;
}

// Ends what is kept for `socket` besides its connection.
void SimBackend::Impl::drop_claims(SimSocket& socket, const char* call) {
  for (Operation*& operation : socket.pending) {
    if (operation == nullptr) continue;
    violation(std::string(call) + " of descriptor " + std::to_string(socket.fd) +
              " under a pending " + name_of(*operation));
    orphans.push_back(std::exchange(operation, nullptr));
  }
  socket.cancelling = {};
  if (std::exchange(socket.watched, 0u) != 0) --watch_count;
  socket.watch = nullptr;
}

// Operations ---------------------------------------------------------------------------

// One try: the result, or -EAGAIN when it has to wait.
std::int64_t SimBackend::Impl::attempt(SimSocket& socket, Operation& operation) {
  const SimCall call = call_of(operation);
  switch (operation.kind) {
    case Operation::Kind::accept:
      if (is_scripted(call) && !socket.backlog_queue.empty()) {
        const int error = scripted_error(call);
        if (error == ECONNABORTED) network.abort_next(socket);
        return -error;
      }
      return attempt_accept(socket, operation);
    case Operation::Kind::connect:
      return network.connect_result(socket);
    case Operation::Kind::recv:
    case Operation::Kind::read:
    case Operation::Kind::recv_from:  // Without datagrams: nobody's address.
      if (const int error = scripted_error(call)) return -error;
      if (operation.kind == Operation::Kind::recv_from) operation.address_size = 0;
      return attempt_recv(socket, operation);
    case Operation::Kind::send:
    case Operation::Kind::write:
    case Operation::Kind::send_to: {  // TCP does not look at the address.
      if (const int error = scripted_error(call)) return -error;
      const std::string_view piece(operation.data, operation.size);
      return network.send(socket, {&piece, 1});
    }
    case Operation::Kind::poll_in:
      if (const int error = scripted_error(call)) return -error;
      return (network.readiness(socket) & Watch::readable) != 0 ? 0 : -EAGAIN;
    case Operation::Kind::poll_out:
      if (const int error = scripted_error(call)) return -error;
      return (network.readiness(socket) & Watch::writable) != 0 ? 0 : -EAGAIN;
  }
  return -EINVAL;
}

std::int64_t SimBackend::Impl::attempt_accept(SimSocket& socket, Operation& operation) {
  const std::int64_t accepted = network.accept(socket);
  if (accepted >= 0 && operation.peer != nullptr) {
    const SimSocket* made = network.find(static_cast<native_socket>(accepted));
    write_address(made->peer, operation.peer, operation.address_size);
  }
  return accepted;
}

std::int64_t SimBackend::Impl::attempt_recv(SimSocket& socket, Operation& operation) {
  if (operation.data != nullptr) {
    const std::int64_t got = network.recv(socket, operation.data, operation.size);
    if (got > 0) operation.lent = {operation.data, static_cast<std::size_t>(got)};
    return got;
  }

  const std::size_t size = std::min(operation.size, lent_size_max);
  std::string bytes(size, '\0');
  const std::int64_t result = network.recv(socket, bytes.data(), size);
  if (result < 0) return result;
  const auto count = static_cast<std::size_t>(result);
  lent = std::make_unique<char[]>(count);
  std::copy_n(bytes.data(), count, lent.get());
  operation.lent = {lent.get(), count};
  return result;
}

// The first try, where a connect is begun; none when it has to wait.
std::optional<std::int64_t> SimBackend::Impl::start(SimSocket& socket, Operation& operation) {
  if (operation.kind != Operation::Kind::connect) {
    const std::int64_t result = inline_left == 0 ? -EAGAIN : attempt(socket, operation);
    return result == -EAGAIN ? std::nullopt : std::optional(result);
  }
  const Address address = Address::from_native(operation.address, operation.address_size);
  const int result = network.connect(socket, address, scripted_error(SimCall::connect));
  // EAGAIN is the answer of a unix socket whose backlog is full.
  return result == -EINPROGRESS ? std::nullopt : std::optional<std::int64_t>(result);
}

bool SimBackend::Impl::end_in_submit(Operation& operation, std::int64_t result) noexcept {
  ++network.ledger.operations_completed;
  operation.result = result;
  return true;
}

bool SimBackend::Impl::submit(Operation& operation) {
  if (operation.pending) {
    violation(std::string("submit of a pending ") + name_of(operation));
    return false;
  }
  ++network.ledger.operations_submitted;
  operation.lent = {};
  SimSocket* socket = checked(operation.fd, name_of(operation));
  if (socket == nullptr) return end_in_submit(operation, -EBADF);
  const std::size_t direction = direction_of(operation);
  if (socket->pending.at(direction) != nullptr) return end_in_submit(operation, -EBUSY);

  bool is_over = false;
  const std::int64_t result = guarded([&] {
    const std::optional<std::int64_t> first = start(*socket, operation);
    is_over = first.has_value();
    return first.value_or(0);
  });
  if (is_over || result < 0) {
    if (result >= 0 && inline_left > 0) --inline_left;
    return end_in_submit(operation, result);
  }
  operation.pending = true;
  operation.tag = ++tag_count;
  socket->pending.at(direction) = &operation;
  socket->cancelling.at(direction) = false;
  ++pending_count;
  network.touch(*socket);
  return false;
}

// Takes `operation` away from its socket; false when it is not pending there.
bool SimBackend::Impl::take_back(Operation& operation, const char* verb) {
  const auto orphan = std::find(orphans.begin(), orphans.end(), &operation);
  SimSocket* socket = network.find(operation.fd);
  if (orphan != orphans.end()) {
    orphans.erase(orphan);
  } else if (operation.pending && socket != nullptr &&
             socket->pending.at(direction_of(operation)) == &operation) {
    socket->pending.at(direction_of(operation)) = nullptr;
  } else {
    violation(std::string(verb) + " of a " + name_of(operation) + " that is not pending");
    return false;
  }
  operation.pending = false;
  --pending_count;
  ++network.ledger.operations_cancelled;
  return true;
}

// Polling --------------------------------------------------------------------------------

// True when a try is worth while.
bool SimBackend::Impl::is_ready(const SimSocket& socket, const Operation& operation) const {
  if (socket.cancelling.at(direction_of(operation))) return true;
  const unsigned ready = network.readiness(socket);
  switch (operation.kind) {
    case Operation::Kind::accept:
      return socket.state != SimSocket::State::listening || ready != 0;
    case Operation::Kind::connect:
      return socket.state != SimSocket::State::connecting;
    case Operation::Kind::recv:
    case Operation::Kind::read:
    case Operation::Kind::recv_from:
      return (ready & Watch::readable) != 0 || operation.size == 0 || is_scripted(SimCall::recv);
    case Operation::Kind::poll_in:
      return (ready & Watch::readable) != 0 || is_scripted(SimCall::poll_in);
    case Operation::Kind::send:
    case Operation::Kind::write:
    case Operation::Kind::send_to:
    case Operation::Kind::poll_out:
      return (ready & Watch::writable) != 0 || is_scripted(call_of(operation));
  }
  return true;
}

bool SimBackend::Impl::is_anything_ready() const {
  const std::vector<SimSocketRef>& changes = network.changes();
  return std::any_of(changes.begin(), changes.end(), [this](const SimSocketRef& change) {
    const SimSocket* socket = network.find(change);
    if (socket == nullptr) return false;
    if ((network.readiness(*socket) & socket->watched) != 0) return true;
    return std::any_of(socket->pending.begin(), socket->pending.end(),
                       [&](const Operation* operation) {
                         return operation != nullptr && is_ready(*socket, *operation);
                       });
  });
}

// Gathers into `batch` what is ready now.
void SimBackend::Impl::collect() {
  for (const SimSocketRef& change : network.take_changes()) {
    SimSocket* socket = network.find(change);
    if (socket == nullptr) continue;
    for (Operation* operation : socket->pending) {
      if (operation != nullptr && is_ready(*socket, *operation)) {
        batch.push_back({change, operation, operation->tag});
      }
    }
    if ((network.readiness(*socket) & socket->watched) != 0) {
      batch.push_back({change});
      network.touch(*socket);  // Level-triggered: look again at the next poll.
    }
  }
}

// Collects, letting virtual time pass up to `timeout` until something is ready.
// True when it was to wait for ever and nothing can happen.
bool SimBackend::Impl::collect_within(Duration timeout) {
  const TimePoint limit = aster::detail::add_saturated(network.now(), timeout);
  network.run_due();
  collect();
  while (batch.empty() && orphans.empty() && !waker->take() && network.now() < limit) {
    const TimePoint next = std::min(limit, network.next_event());
    if (next == TimePoint::max()) {
      if (!options.wait_for_threads) return true;
      return !waker->wait();
    }
    network.set_now(next);
    network.run_due();
    collect();
  }
  return false;
}

// A watch that is always ready would stop the clock: no wait ever waits. In the
// real world time passes while a program spins; here it does once a great many
// waits in a row have ended with nothing but watches.
void SimBackend::Impl::creep(Duration timeout) {
  constexpr int busy_polls_max = 1000;
  constexpr Duration step = std::chrono::milliseconds(1);
  const bool is_busy = timeout > Duration::zero() && !batch.empty() &&
                       std::all_of(batch.begin(), batch.end(),
                                   [](const Ready& ready) { return ready.operation == nullptr; });
  busy_polls = is_busy ? busy_polls + 1 : 0;
  if (busy_polls <= busy_polls_max) return;
  busy_polls = busy_polls_max;
  network.set_now(aster::detail::add_saturated(network.now(), std::min(timeout, step)));
}

void SimBackend::Impl::complete(Operation& operation, std::int64_t result) noexcept {
  ++network.ledger.operations_completed;
  --pending_count;
  operation.pending = false;
  operation.result = result;
  // A receive inside `complete` must not free what this one has lent.
  const std::unique_ptr<char[]> mine = std::move(lent);
  operation.complete(operation);
}

void SimBackend::Impl::deliver(const Ready& ready) {
  SimSocket* socket = network.find(ready.socket);
  if (socket == nullptr) return;
  if (ready.operation == nullptr) {
    const unsigned events = network.readiness(*socket) & socket->watched;
    if (events != 0) socket->watch->ready(*socket->watch, events);
    return;
  }

  const auto place = std::find(socket->pending.begin(), socket->pending.end(), ready.operation);
  if (place == socket->pending.end() || ready.operation->tag != ready.tag) return;
  Operation& operation = *ready.operation;
  bool& cancelling = socket->cancelling.at(direction_of(operation));
  std::int64_t result = -ECANCELED;
  if (!cancelling || network.random.chance(1, 2)) {
    result = guarded([&] { return attempt(*socket, operation); });
  }
  if (result == -EAGAIN && !cancelling) return network.touch(*socket);
  if (result == -EAGAIN) result = -ECANCELED;
  cancelling = false;
  *place = nullptr;
  complete(operation, result);
}

void SimBackend::Impl::deliver_orphans() {
  while (!orphans.empty()) {
    Operation& operation = *orphans.front();
    orphans.erase(orphans.begin());
    complete(operation, -EBADF);
  }
}

std::int64_t SimBackend::Impl::send_now(native_socket fd,
                                        std::span<const std::string_view> pieces) {
  SimSocket* socket = checked(fd, "send");
  if (socket == nullptr) return -EBADF;
  if (const int error = scripted_error(SimCall::send)) return -error;
  return network.send(*socket, pieces);
}

// The public face -------------------------------------------------------------------------

SimBackend::SimBackend() : SimBackend(SimOptions()) {}
SimBackend::SimBackend(SimOptions options) : impl_(std::make_unique<Impl>(options)) {}
SimBackend::~SimBackend() = default;

void SimBackend::advance(Duration time) {
  impl_->network.set_now(aster::detail::add_saturated(impl_->network.now(), time));
}

bool SimBackend::deadlocked() const noexcept { return impl_->deadlocked; }

void SimBackend::add_local_network(std::string_view network) {
  impl_->network.add_local_network(network);
}

void SimBackend::clear_local_networks() { impl_->network.clear_local_networks(); }

void SimBackend::add_black_hole(const Address& address) { impl_->network.add_black_hole(address); }

void SimBackend::fail_next(SimCall call, int error, std::size_t times) {
  if (times == 0) return;
  impl_->scripts.at(static_cast<std::size_t>(call)).push_back({error, times});
  impl_->network.touch_all();  // What is pending fails at the next poll.
}

void SimBackend::cut_after(native_socket fd, std::size_t bytes, Cut cut) {
  SimSocket* socket = impl_->network.find(fd);
  if (socket == nullptr || !socket->connection) {
    throw ValueError("cut_after: descriptor " + std::to_string(fd) + " is not connected");
  }
  impl_->network.cut_after(*socket, bytes, cut);
}

SimPipe SimBackend::open_pipe() { return impl_->network.open_pipe(); }

SimLedger SimBackend::ledger() const noexcept { return impl_->network.ledger; }

const std::vector<std::string>& SimBackend::violations() const noexcept {
  return impl_->violations;
}

std::vector<native_socket> SimBackend::open_descriptors() const {
  return impl_->network.open_descriptors();
}

std::string_view SimBackend::name() const noexcept { return "sim"; }

TimePoint SimBackend::now() noexcept { return impl_->network.now(); }

void SimBackend::poll(Duration timeout) noexcept {
  Impl& impl = *impl_;
  impl.inline_left = impl.options.inline_budget;
  impl.lent.reset();
  impl.batch.clear();
  impl.deadlocked = impl.collect_within(timeout);
  impl.creep(timeout);
  if (impl.options.shuffle) impl.network.random.shuffle(std::span(impl.batch));
  impl.deliver_orphans();
  for (const Impl::Ready& ready : std::exchange(impl.batch, {})) impl.deliver(ready);
}

bool SimBackend::is_watching() const noexcept {
  return impl_->pending_count + impl_->watch_count > 0;
}

bool SimBackend::is_poll_due() const noexcept {
  return !impl_->orphans.empty() || impl_->network.next_event() <= impl_->network.now() ||
         impl_->is_anything_ready();
}

std::shared_ptr<Waker> SimBackend::waker() const noexcept { return impl_->waker; }

bool SimBackend::submit(Operation& operation) noexcept { return impl_->submit(operation); }

bool SimBackend::cancel(Operation& operation) noexcept {
  SimSocket* socket = impl_->network.find(operation.fd);
  const std::size_t direction = direction_of(operation);
  const bool is_here = socket != nullptr && socket->pending.at(direction) == &operation;
  if (is_here && socket->cancelling.at(direction)) return false;
  if (is_here && impl_->options.late_cancel && impl_->network.random.chance(1, 2)) {
    socket->cancelling.at(direction) = true;
    impl_->network.touch(*socket);
    return false;
  }
  impl_->take_back(operation, "cancel");
  return true;
}

void SimBackend::reclaim(Operation& operation) noexcept { impl_->take_back(operation, "reclaim"); }

int SimBackend::set_watch(native_socket fd, unsigned events, Watch& watch) noexcept {
  SimSocket* socket = impl_->network.find(fd);
  if (socket == nullptr) return events == 0 ? 0 : -EBADF;
  if (events != 0) {
    if (const int error = impl_->scripted_error(SimCall::set_watch)) return -error;
  }
  if (socket->watched != 0) --impl_->watch_count;
  if (events != 0) ++impl_->watch_count;
  socket->watched = events;
  socket->watch = events != 0 ? &watch : nullptr;
  return guarded([&] {
    impl_->network.touch(*socket);
    return 0;
  });
}

std::int64_t SimBackend::open_socket(int family, int type, int protocol) noexcept {
  if (const int error = impl_->scripted_error(SimCall::open_socket)) return -error;
  return guarded([&] { return impl_->network.open(family, type, protocol); });
}

void SimBackend::forget(native_socket fd) noexcept {
  if (SimSocket* socket = impl_->checked(fd, "forget")) impl_->drop_claims(*socket, "forget");
}

int SimBackend::close_socket(native_socket fd) noexcept {
  SimSocket* socket = impl_->checked(fd, "close");
  if (socket == nullptr) return -EBADF;
  impl_->drop_claims(*socket, "close");
  impl_->network.close(*socket);
  return 0;
}

int SimBackend::bind(native_socket fd, const void* address, std::uint32_t size) noexcept {
  SimSocket* socket = impl_->checked(fd, "bind");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::bind)) return -error;
  return guarded([&] { return impl_->network.bind(*socket, Address::from_native(address, size)); });
}

int SimBackend::listen(native_socket fd, int backlog) noexcept {
  SimSocket* socket = impl_->checked(fd, "listen");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::listen)) return -error;
  return guarded([&] { return impl_->network.listen(*socket, backlog); });
}

int SimBackend::local_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "local_address");
  return socket == nullptr ? -EBADF : write_address(socket->local, address, size);
}

int SimBackend::peer_address(native_socket fd, void* address, std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "peer_address");
  if (socket == nullptr) return -EBADF;
  if (!SimNetwork::is_connected(*socket)) return -ENOTCONN;
  return write_address(socket->peer, address, size);
}

int SimBackend::set_option(native_socket fd, int level, int name, const void* value,
                           std::uint32_t size) noexcept {
  SimSocket* socket = impl_->checked(fd, "set_option");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::set_option)) return -error;
  return guarded([&] {
    return impl_->network.set_option(*socket, level, name, {static_cast<const char*>(value), size});
  });
}

int SimBackend::get_option(native_socket fd, int level, int name, void* value,
                           std::uint32_t& size) noexcept {
  SimSocket* socket = impl_->checked(fd, "get_option");
  if (socket == nullptr) return -EBADF;
  if (const int error = impl_->scripted_error(SimCall::get_option)) return -error;
  return guarded([&] {
    const std::string found = impl_->network.get_option(*socket, level, name);
    size = std::min(size, static_cast<std::uint32_t>(found.size()));
    std::memcpy(value, found.data(), size);
    return 0;
  });
}

std::int64_t SimBackend::send_now(native_socket fd, const char* data, std::size_t size) noexcept {
  const std::string_view piece(data, size);
  return send_now(fd, {&piece, 1});
}

std::int64_t SimBackend::send_now(native_socket fd,
                                  std::span<const std::string_view> pieces) noexcept {
  return guarded([&] { return impl_->send_now(fd, pieces); });
}

int SimBackend::shutdown_write(native_socket fd) noexcept {
  SimSocket* socket = impl_->checked(fd, "shutdown_write");
  if (socket == nullptr) return -EBADF;
  return guarded([&] { return impl_->network.shutdown_write(*socket); });
}

// The whole system is in this process's own memory: nothing is shared with the
// parent, nothing has to be closed.
void SimBackend::abandon_after_fork() noexcept {}

}  // namespace aster::inline v0::testing
