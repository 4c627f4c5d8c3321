// SPDX-License-Identifier: MIT
// Accepting: each listening socket has one accept operation, submitted again as
// soon as it is over. A completion runs inside the back end's poll, so it only
// collects the connection; a queued note then starts the handlers.
#include "base/debug_text.hpp"
#include "net/connecting.hpp"
#include "net/net_events.hpp"
#include "net/net_service.hpp"
#include "net/server_state.hpp"
#include "net/stream_link.hpp"

#include <aster/base/log.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/exception_context.hpp>

#include <algorithm>
#include <cerrno>
#include <string>

#include <netdb.h>
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

}  // namespace

Acceptor::~Acceptor() = default;

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

ServerState::ServerState(EventLoop& loop, std::shared_ptr<Acceptor> acceptor,
                         const ServerOptions& options)
    : loop_(loop),
      scheduler_(&loop.scheduler()),
      context_(scheduler_->current_context()),
      backend_(&loop.backend()),
      acceptor_(std::move(acceptor)),
      options_(options),
      note_(*this) {
  scheduler_->add_reference();
}

ServerState::~ServerState() { scheduler_->release_reference(); }

namespace {

[[noreturn]] void fail_at(const Address& address, std::int64_t result, const char* call) {
  throw_system_error(static_cast<int>(-result), std::string(call) + " " + address.str());
}

/// Closes a descriptor that nobody owns yet.
class OpenedSocket {
 public:
  OpenedSocket(IoBackend& backend, native_socket fd) noexcept : backend_(backend), fd_(fd) {}
  OpenedSocket(const OpenedSocket&) = delete;
  OpenedSocket& operator=(const OpenedSocket&) = delete;
  ~OpenedSocket() {
    if (armed_) static_cast<void>(backend_.close_socket(fd_));
  }
  void release() noexcept { armed_ = false; }

 private:
  IoBackend& backend_;
  native_socket fd_;
  bool armed_ = true;
};

}  // namespace

bool ServerState::bind(const Address& address) {
  const std::int64_t opened = backend_->open_socket(address.family(), SOCK_STREAM, 0);
  if (opened == -EAFNOSUPPORT || opened == -EPROTONOSUPPORT) return false;
  if (opened < 0) fail_at(address, opened, "socket for");
  const auto fd = static_cast<native_socket>(opened);
  OpenedSocket socket(*backend_, fd);
  const int on = 1;
  const auto set = [&](int level, int name, const char* what) {
    const int result = backend_->set_option(fd, level, name, &on, sizeof on);
    if (result < 0) fail_at(address, result, what);
  };
  if (options_.reuse_address) set(SOL_SOCKET, SO_REUSEADDR, "setsockopt SO_REUSEADDR of");
  if (options_.reuse_port) set(SOL_SOCKET, SO_REUSEPORT, "setsockopt SO_REUSEPORT of");
  if (options_.keep_alive) set(SOL_SOCKET, SO_KEEPALIVE, "setsockopt SO_KEEPALIVE of");
  // So that "all interfaces" is one socket for IPv4 and one for IPv6 (CON-18).
  if (address.family() == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, "setsockopt IPV6_V6ONLY of");
  const int bound = backend_->bind(fd, address.data(), address.size());
  if (bound == -EADDRNOTAVAIL) return false;
  if (bound < 0) fail_at(address, bound, "bind");
  listeners_.emplace_back(*this, fd);
  socket.release();
  return true;
}

void ServerState::bind_path(const Address& address, const UnixPathOptions& options) {
  const std::int64_t opened = backend_->open_socket(AF_UNIX, SOCK_STREAM, 0);
  if (opened < 0) fail_at(address, opened, "socket for");
  const auto fd = static_cast<native_socket>(opened);
  OpenedSocket socket(*backend_, fd);
  paths_.emplace_back();
  paths_.back().bind(*backend_, fd, address, options);
  listeners_.emplace_back(*this, fd);
  socket.release();
}

void ServerState::take(Socket socket) {
  const native_socket fd = socket.fileno();
  listeners_.emplace_back(*this, fd);
  static_cast<void>(socket.release());
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
    if (closed_) return;  // By a callback of TLS.
  }
}

void ServerState::accept_more(Listener& listener) noexcept {
  while (!closed_ && !listener.paused && !listener.is_pending()) {
    listener.peer = listener.from.bytes.data();
    listener.address_size = AddressRoom::size;
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
      const OpenDescriptor made(static_cast<native_socket>(result),
                                {listener.peer, listener.address_size});
      welcome(acceptor_->adopt(loop_, made, options_.source));
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
void ServerState::welcome(StateRef<StreamTransport> link) {
  try {
    link->attach(*this);
    if (acceptor_->tls) return link->begin_tls(*acceptor_->tls, {});
    accepted_.push_back(link);
  } catch (...) {
    link->abort();
    throw;
  }
  queue_note();
}

void ServerState::secured(StreamTransport& link) noexcept {
  try {
    accepted_.push_back(StateRef<StreamTransport>::share(link));
  } catch (const std::bad_alloc&) {
    return link.abort();
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
    StateRef<StreamTransport> link = std::move(accepted_.front());
    accepted_.pop_front();
    if (link->is_lost()) continue;
    try {
      acceptor_->begin(loop_, link, options_.source);
    } catch (const BaseError&) {
      throw;
    } catch (...) {
      link->abort();
      loop_.call_exception_handler({"Error on transport creation for incoming connection",
                                    std::current_exception(),
                                    {},
                                    link->subject(),
                                    options_.source});
    }
  }
}

void ServerState::connection_made(StreamTransport& link) {
  connections_.push_back(&link);
  link.server_index = connections_.size() - 1;
}

void ServerState::connection_lost(StreamTransport& link) noexcept {
  connections_[link.server_index] = connections_.back();
  connections_[link.server_index]->server_index = link.server_index;
  connections_.pop_back();
  finish_if_over();
}

void ServerState::for_each_connection(void (StreamTransport::*action)() noexcept) noexcept {
  // Closing only queues notes, so the list stays as it is.
  for (StreamTransport* link : connections_) (link->*action)();
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
  paths_.clear();  // Not `listeners_`: one of them may be accepting, further up the stack.
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

/// A server whose sockets `bind(state)` makes.
template <class Bind>
Server make_server(EventLoop& loop, std::shared_ptr<Acceptor> acceptor,
                   const ServerOptions& options, Bind&& bind) {
  auto* state = new ServerState(loop, std::move(acceptor), options);
  Server server = StreamAccess::server(*state);
  loop.service<NetService>().servers_.push_back(*state);
  state->add_reference();
  try {
    bind(*state);
    if (options.start_serving) state->begin();
  } catch (...) {
    state->close();
    throw;
  }
  return server;
}

}  // namespace

Coroutine<Server> serve_hosts(const char* call, std::shared_ptr<Acceptor> acceptor,
                              std::vector<std::string> hosts, int port, ServerOptions options) {
  EventLoop& loop = get_running_loop();
  std::vector<Address> addresses;
  GetaddrinfoOptions lookup;
  lookup.family = options.family;
  lookup.flags = options.flags.value_or(AI_PASSIVE);
  for (const std::string& host : hosts) {
    std::vector<Address> found = all_interfaces(host, port, options.family);
    if (found.empty()) found = co_await resolve_for(call, host, port, lookup);
    for (Address& address : found) {
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
        addresses.push_back(address);
      }
    }
  }
  co_return make_server(loop, std::move(acceptor), options, [&](ServerState& state) {
    for (const Address& address : addresses) state.bind(address);
    if (!state.has_sockets()) {
      throw_system_error(EADDRNOTAVAIL,
                         std::string(call) + ": could not bind on any address out of " +
                             (addresses.empty() ? std::string("none") : addresses.front().str()));
    }
  });
}

Coroutine<Server> serve_socket(const char* call, std::shared_ptr<Acceptor> acceptor, Socket socket,
                               ServerOptions options) {
  EventLoop& loop = get_running_loop();
  require_stream_socket(call, loop, socket);
  socket.setblocking(false);
  co_return make_server(loop, std::move(acceptor), options,
                        [&socket](ServerState& state) { state.take(std::move(socket)); });
}

Coroutine<Server> serve_path(std::shared_ptr<Acceptor> acceptor, Address path,
                             UnixServerOptions options) {
  EventLoop& loop = get_running_loop();
  ServerOptions common;
  common.backlog = options.backlog;
  common.start_serving = options.start_serving;
  common.source = options.source;
  const UnixPathOptions rules(options.mode, options.cleanup_socket);
  co_return make_server(loop, std::move(acceptor), common,
                        [&](ServerState& state) { state.bind_path(path, rules); });
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
void Server::close_clients() noexcept {
  state().for_each_connection(&detail::StreamTransport::close);
}
void Server::abort_clients() noexcept {
  state().for_each_connection(&detail::StreamTransport::abort);
}

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
  if (state.is_closed()) state.forever.cancel();  // By a callback of TLS.
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
