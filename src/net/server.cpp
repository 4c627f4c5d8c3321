// SPDX-License-Identifier: MIT
// Accepting: each listening socket has one accept operation, submitted again as
// soon as it is over. A completion runs inside the back end's poll, so it only
// collects the connection; a queued note then starts the handlers.
#include "base/debug_text.hpp"
#include "net/net_events.hpp"
#include "net/server_state.hpp"

#include <aster/base/log.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/exception_context.hpp>

#include <algorithm>
#include <cerrno>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>

namespace aster::inline v0 {
namespace detail {
namespace {

constexpr Duration shortage_pause = std::chrono::seconds(1);  // K-8.

bool is_shortage(int number) noexcept {
  return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

/// Errors of one connection that never was, as accept(2) reports them.
bool is_lost_connection(int number) noexcept {
  switch (number) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
    case EINTR:
    case ETIMEDOUT:
    case ECONNRESET:
      return true;
    default:
      return false;
  }
}

/// A connection whose handler has not begun; closed when it never will, as its task
/// was cancelled before.
class UntakenLink {
 public:
  explicit UntakenLink(StateRef<StreamLink> link) noexcept : link_(std::move(link)) {}
  UntakenLink(UntakenLink&& other) noexcept = default;
  UntakenLink& operator=(UntakenLink&&) = delete;
  ~UntakenLink() {
    if (link_) link_->close();
  }
  [[nodiscard]] StateRef<StreamLink> take() noexcept { return std::move(link_); }

 private:
  StateRef<StreamLink> link_;
};

/// Runs one client's handler; its error ends that connection only.
Coroutine<> run_handler(std::shared_ptr<ClientHandler> handler, UntakenLink accepted,
                        EventLoop& loop) {
  const StateRef<StreamLink> link = accepted.take();
  std::exception_ptr error;
  try {
    auto work = handler->handle(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                                StreamAccess::writer(link));
    if (!work) co_return;  // A plain callback.
    co_await std::move(work);
    co_return;
  } catch (const CancelledError&) {
    link->close();
    throw;
  } catch (const BaseError&) {
    link->close();
    throw;
  } catch (...) {
    error = std::current_exception();
  }
  link->close();
  loop.call_exception_handler({"Unhandled exception in client_connected_cb",
                               error,
                               current_task(),
                               link->peer().str(),
                               {}});
}

}  // namespace

ClientHandler::~ClientHandler() = default;

const RunnableOps ServerState::DeliverNote::ops{
    [](Runnable& node) {
      ServerState& server = static_cast<DeliverNote&>(node).owner;
      server.note_queued_ = false;
      struct Release {
        ServerState& server;
        ~Release() {
          // A base error has left the loop: a later run goes on with the others.
          if (!server.accepted_.empty()) server.queue_note();
          server.release_reference();
        }
      } release{server};
      server.deliver();
    },
    [](Runnable& node) noexcept {
      ServerState& server = static_cast<DeliverNote&>(node).owner;
      server.note_queued_ = false;
      server.release_reference();
    }};

const RunnableOps ServerState::retry_ops{
    [](Runnable& node) {
      auto& listener = static_cast<Listener&>(static_cast<Timer&>(node));
      listener.paused = false;
      if (!listener.server.closed_) listener.server.accept_more(listener);
    },
    [](Runnable& node) noexcept {
      static_cast<Listener&>(static_cast<Timer&>(node)).paused = false;
    }};

ServerState::Listener::Listener(ServerState& state, native_socket listening) noexcept
    : Operation([](Operation& operation) noexcept {
        auto& self = static_cast<Listener&>(operation);
        if (self.server.accepted(self)) self.server.accept_more(self);
      }),
      Timer(&retry_ops),
      server(state),
      socket(listening) {
  kind = Kind::accept;
  fd = listening;
}

ServerState::ServerState(EventLoop& loop, std::shared_ptr<ClientHandler> handler,
                         ServerOptions options)
    : loop_(loop),
      scheduler_(&loop.scheduler()),
      context_(scheduler_->current_context()),
      backend_(&loop.backend()),
      handler_(std::move(handler)),
      options_(options),
      note_(*this) {
  scheduler_->add_reference();
}

ServerState::~ServerState() { scheduler_->release_reference(); }

bool ServerState::bind(const Address& address) {
  const auto fail = [&address](std::int64_t result, const char* call) {
    throw_system_error(static_cast<int>(-result), std::string(call) + " " + address.str());
  };
  const std::int64_t opened = backend_->open_socket(address.family(), SOCK_STREAM, 0);
  if (opened == -EAFNOSUPPORT || opened == -EPROTONOSUPPORT) return false;
  if (opened < 0) fail(opened, "socket for");
  const auto fd = static_cast<native_socket>(opened);
  struct Guard {
    IoBackend& backend;
    native_socket fd;
    bool armed = true;
    ~Guard() {
      if (armed) static_cast<void>(backend.close_socket(fd));
    }
  } guard{*backend_, fd};
  const int on = 1;
  const auto set = [&](int level, int name, const char* what) {
    const int result = backend_->set_option(fd, level, name, &on, sizeof on);
    if (result < 0) fail(result, what);
  };
  if (options_.reuse_address) set(SOL_SOCKET, SO_REUSEADDR, "setsockopt SO_REUSEADDR of");
  if (options_.reuse_port) set(SOL_SOCKET, SO_REUSEPORT, "setsockopt SO_REUSEPORT of");
  if (options_.keep_alive) set(SOL_SOCKET, SO_KEEPALIVE, "setsockopt SO_KEEPALIVE of");
  // So that "all interfaces" is one socket for IPv4 and one for IPv6 (CON-18).
  if (address.family() == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, "setsockopt IPV6_V6ONLY of");
  const int bound = backend_->bind(fd, address.data(), address.size());
  if (bound == -EADDRNOTAVAIL) return false;
  if (bound < 0) fail(bound, "bind");
  listeners_.emplace_back(*this, fd);
  guard.armed = false;
  return true;
}

void ServerState::begin() {
  if (std::exchange(serving_, true)) return;
  for (Listener& listener : listeners_) {
    const int result = backend_->listen(listener.socket, options_.backlog);
    if (result < 0) {
      serving_ = false;
      const SocketView socket(listener.socket, backend_);
      throw_system_error(-result, "listen " + socket.getsockname().str());
    }
  }
  for (Listener& listener : listeners_) {
    log_event(*scheduler_, [this, &listener] {
      return "serving on " + SocketView(listener.socket, backend_).getsockname().str() +
             ", made at " + short_place(options_.source);
    });
    accept_more(listener);
  }
}

void ServerState::accept_more(Listener& listener) noexcept {
  while (!closed_ && !listener.paused && !listener.is_pending()) {
    if (!backend_->submit(listener)) return;
    if (!accepted(listener)) return;
  }
}

/// Takes what an accept gave; true when the next one may be submitted at once.
bool ServerState::accepted(Listener& listener) noexcept {
  const std::int64_t result = listener.result;
  if (closed_) {
    if (result >= 0) static_cast<void>(backend_->close_socket(static_cast<native_socket>(result)));
    return false;
  }
  try {
    if (result >= 0) {
      shortage_reported_ = false;
      welcome(NetService::adopt(loop_, static_cast<native_socket>(result), options_.limit,
                                options_.source));
      return true;
    }
    const int number = static_cast<int>(-result);
    if (is_lost_connection(number)) return true;
    if (number == ECANCELED) return false;
    // Out of descriptors or memory, or something nobody has thought of: let the
    // others finish their work, then try again.
    if (!std::exchange(shortage_reported_, true)) {
      shortage_ = number;
      queue_note();
    }
    pause(listener);
  } catch (...) {
    // No memory for the connection, which is closed already.
    log_error("accept: a connection could not be set up");
    return true;
  }
  return false;
}

/// Takes an accepted connection in; its handler starts in the note.
void ServerState::welcome(StateRef<StreamLink> link) {
  try {
    link->attach(*this);
    accepted_.push_back(link);
  } catch (...) {
    link->abort();
    throw;
  }
  queue_note();
}

void ServerState::pause(Listener& listener) noexcept {
  listener.paused = true;
  try {
    scheduler_->call_at(listener, add_saturated(scheduler_->now(), shortage_pause));
  } catch (...) {  // Not even memory for a timer: try again in the next turn.
    scheduler_->post(listener);
  }
}

void ServerState::queue_note() noexcept {
  if (std::exchange(note_queued_, true)) return;
  add_reference();
  scheduler_->post(note_);
}

void ServerState::report_shortage() {
  const int number = std::exchange(shortage_, 0);
  if (closed_) return;
  std::string where;
  try {
    where = sockets().front().getsockname().str();
  } catch (const std::system_error&) {  // Somebody else has closed the descriptor.
    where = "a closed socket";
  }
  loop_.call_exception_handler({is_shortage(number) ? "socket.accept() out of system resource"
                                                    : "socket.accept() failed; listening pauses",
                                system_error_ptr(number, "accept"),
                                {},
                                where,
                                options_.source});
}

void ServerState::deliver() {
  const ContextEntry context(scheduler_->context_cell(), context_);
  if (shortage_ != 0) report_shortage();
  while (!accepted_.empty()) {
    StateRef<StreamLink> link = std::move(accepted_.front());
    accepted_.pop_front();
    if (link->is_lost()) continue;
    try {
      TaskOptions options;
      options.source = options_.source;
      loop_.create_task(run_handler(handler_, UntakenLink(link), loop_), options);
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      link->abort();
      loop_.call_exception_handler({"a client's handler could not be started",
                                    std::current_exception(),
                                    {},
                                    link->peer().str(),
                                    {}});
    }
  }
}

void ServerState::connection_made(StreamLink& link) {
  connections_.push_back(&link);
  link.server_index = connections_.size() - 1;
}

void ServerState::connection_lost(StreamLink& link) noexcept {
  connections_[link.server_index] = connections_.back();
  connections_[link.server_index]->server_index = link.server_index;
  connections_.pop_back();
  finish_if_over();
}

void ServerState::for_each_connection(void (StreamLink::*action)() noexcept) noexcept {
  // Closing only queues notes, so the list stays as it is.
  for (StreamLink* link : connections_) (link->*action)();
}

std::vector<SocketView> ServerState::sockets() const {
  std::vector<SocketView> views;
  if (closed_) return views;
  for (const Listener& listener : listeners_) views.emplace_back(listener.socket, backend_);
  return views;
}

void ServerState::close_listeners() noexcept {
  for (Listener& listener : listeners_) {
    if (std::exchange(listener.paused, false)) scheduler_->withdraw(listener);
    if (listener.is_pending()) backend_->reclaim(listener);
    static_cast<void>(backend_->close_socket(listener.socket));
  }
  listeners_.clear();
}

void ServerState::close() noexcept {
  if (std::exchange(closed_, true)) return;
  close_listeners();
  if (forever && !forever.done()) forever.cancel();
  add_reference();
  finish_if_over();
  release_reference();
}

void ServerState::finish_if_over() noexcept {
  if (!is_finished() || !is_linked()) return;
  for (Future<>& waiter : close_waiters) {
    if (!waiter.done()) waiter.set_result();
  }
  close_waiters.clear();
  unlink();
  release_reference();  // The loop's.
}

void ServerState::tear_down() noexcept {
  if (!std::exchange(closed_, true)) close_listeners();
  accepted_.clear();
  unlink();
  release_reference();
}

namespace {

/// The addresses that a host of "" stands for; none for other hosts.
std::vector<Address> all_interfaces(const std::string& host, int port, int family) {
  std::vector<Address> found;
  if (host.empty()) {
    if (family != AF_INET6) found.emplace_back("0.0.0.0", port);
    if (family != AF_INET) found.emplace_back("::", port);
  }
  return found;
}

}  // namespace

Coroutine<Server> start_server(std::shared_ptr<ClientHandler> handler,
                               std::vector<std::string> hosts, int port, ServerOptions options) {
  if (port < 0 || port > 65535) {
    throw ValueError("start_server: port must be 0 to 65535, not " + std::to_string(port));
  }
  if (options.limit == 0) throw ValueError("start_server: limit must not be 0");
  EventLoop& loop = get_running_loop();
  std::vector<Address> addresses;
  for (const std::string& host : hosts) {
    std::vector<Address> found = all_interfaces(host, port, options.family);
    if (found.empty())
      found = co_await resolve_for("start_server", host, port, options.family, true);
    for (Address& address : found) {
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
        addresses.push_back(address);
      }
    }
  }
  auto* state = new ServerState(loop, std::move(handler), options);
  Server server = StreamAccess::server(*state);
  loop.service<NetService>().servers_.push_back(*state);
  state->add_reference();
  try {
    for (const Address& address : addresses) state->bind(address);
    if (!state->has_sockets()) {
      throw_system_error(EADDRNOTAVAIL,
                         "start_server: could not bind on any address out of " +
                             (addresses.empty() ? std::string("none") : addresses.front().str()));
    }
    if (options.start_serving) state->begin();
  } catch (...) {
    state->close();
    throw;
  }
  co_return server;
}

}  // namespace detail

Server::Server(const Server& other) noexcept : state_(other.state_) {
  if (state_ != nullptr) state_->add_reference();
}
Server::~Server() {
  if (state_ != nullptr) state_->release_reference();
}

std::vector<SocketView> Server::sockets() const { return state().sockets(); }
bool Server::is_serving() const noexcept { return state().is_serving(); }
EventLoop& Server::get_loop() const { return state().scheduler().loop(); }
void Server::close() noexcept { state().close(); }
void Server::close_clients() noexcept { state().for_each_connection(&detail::StreamLink::close); }
void Server::abort_clients() noexcept { state().for_each_connection(&detail::StreamLink::abort); }

namespace {

// The members of a handle are no coroutines themselves: the handle may go while
// one runs.
Coroutine<> start_serving_of([[maybe_unused]] Server server, detail::ServerState& state) {
  if (state.is_closed()) throw RuntimeError("start_serving: server is closed");
  state.begin();
  co_await yield_now();
}

Coroutine<> wait_closed_of(Server server, detail::ServerState& state) {
  if (state.is_finished()) co_return;
  Future<> waiter = server.get_loop().create_future<>();
  // Those whose wait was cancelled are not kept.
  std::erase_if(state.close_waiters, [](const Future<>& other) { return other.done(); });
  state.close_waiters.push_back(waiter);
  co_await std::move(waiter);
}

Coroutine<> serve_forever_of(Server server, detail::ServerState& state) {
  if (state.forever) throw RuntimeError("serve_forever: server is already being awaited on");
  if (state.is_closed()) throw RuntimeError("serve_forever: server is closed");
  state.begin();
  state.forever = server.get_loop().create_future<>();
  std::exception_ptr end;
  try {
    co_await state.forever;
  } catch (...) {
    end = std::current_exception();
  }
  state.close();
  server.close_clients();  // Else Ctrl-C would wait for the clients to go by themselves.
  auto closing = wait_closed_of(server, state);
  try {
    co_await std::move(closing);
  } catch (...) {
    if (end == nullptr) end = std::current_exception();
  }
  state.forever = {};
  std::rethrow_exception(end);
}

Coroutine<Server&> enter_of(Server& server) { co_return server; }

Coroutine<bool> exit_of(Server server, detail::ServerState& state) {
  state.close();
  auto closing = wait_closed_of(server, state);
  co_await std::move(closing);
  co_return false;
}

}  // namespace

Coroutine<> Server::start_serving() { return start_serving_of(*this, state()); }
Coroutine<> Server::wait_closed() { return wait_closed_of(*this, state()); }
Coroutine<> Server::serve_forever() { return serve_forever_of(*this, state()); }
Coroutine<Server&> Server::enter() { return enter_of(*this); }
Coroutine<bool> Server::exit(std::exception_ptr) { return exit_of(*this, state()); }

}  // namespace aster::inline v0
