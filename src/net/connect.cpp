// SPDX-License-Identifier: MIT
#include "net/server_state.hpp"

#include <aster/io/resolve.hpp>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include <netdb.h>
#include <sys/socket.h>

namespace aster::inline v0 {
namespace detail {
namespace {

/// Waits until a socket is connected; closes nothing.
class ConnectAwaiter final : Waiter, Operation {
 public:
  using aster_awaiter = void;
  ConnectAwaiter(IoBackend& backend, native_socket socket, const Address& target) noexcept
      : Operation([](Operation& operation) noexcept {
          static_cast<ConnectAwaiter&>(operation).driver_->wake();
        }),
        backend_(backend),
        target_(target) {
    kind = Kind::connect;
    fd = socket;
    address = target_.data();
    address_size = target_.size();
  }
  ~ConnectAwaiter() {
    if (is_pending()) backend_.reclaim(*this);
  }
  [[nodiscard]] bool await_ready() noexcept { return backend_.submit(*this); }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    driver_ = &driver_of(handle);
    driver_->suspend(*this);
  }
  /// 0 or minus errno.
  int await_resume() {
    if (driver_ != nullptr) driver_->check();
    return static_cast<int>(result);
  }

 private:
  bool cancel(Driver& driver, std::string& message) noexcept override {
    // False: over, or about to be: the completion wakes the driver, which throws.
    if (!is_pending() || !backend_.cancel(*this)) return false;
    driver.wake_cancelled(message);
    return true;
  }

  IoBackend& backend_;
  Address target_;
  Driver* driver_ = nullptr;  // Null until it suspends.
};

/// A socket that is closed unless it is handed on.
class OwnedSocket {
 public:
  OwnedSocket(IoBackend& backend, native_socket fd) noexcept : backend_(backend), fd_(fd) {}
  OwnedSocket(const OwnedSocket&) = delete;
  OwnedSocket& operator=(const OwnedSocket&) = delete;
  ~OwnedSocket() {
    if (owned_) static_cast<void>(backend_.close_socket(fd_));
  }
  [[nodiscard]] native_socket get() const noexcept { return fd_; }
  native_socket release() noexcept {
    owned_ = false;
    return fd_;
  }

 private:
  IoBackend& backend_;
  native_socket fd_;
  bool owned_ = true;
};

[[noreturn]] void fail(std::int64_t result, const std::string& what) {
  throw_system_error(static_cast<int>(-result), what);
}

Coroutine<native_socket> connect_to(EventLoop& loop, Address target, std::optional<Address> local) {
  IoBackend& backend = loop.backend();
  const std::int64_t opened = backend.open_socket(target.family(), SOCK_STREAM, 0);
  if (opened < 0) fail(opened, "socket for " + target.str());
  OwnedSocket socket(backend, static_cast<native_socket>(opened));
  if (local) {
    const int bound = backend.bind(socket.get(), local->data(), local->size());
    if (bound < 0) fail(bound, "bind " + local->str());
  }
  const int result = co_await ConnectAwaiter(backend, socket.get(), target);
  if (result < 0) fail(result, "connect " + target.str());
  co_return socket.release();
}

void check_port(const char* call, int port, int lowest) {
  if (port < lowest || port > 65535) {
    throw ValueError(std::string(call) + ": port must be " + std::to_string(lowest) +
                     " to 65535, not " + std::to_string(port));
  }
}

[[noreturn]] void throw_all(std::vector<std::exception_ptr> errors, const std::string& host,
                            bool as_group) {
  if (as_group) {
    throw ExceptionGroup("open_connection " + host + " failed", std::move(errors));
  }
  std::vector<std::string> texts;
  std::error_code code;
  for (const std::exception_ptr& error : errors) {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error& failure) {
      if (texts.empty()) code = failure.code();
      texts.emplace_back(failure.what());
    }
  }
  if (std::count(texts.begin(), texts.end(), texts.front()) ==
      static_cast<std::ptrdiff_t>(texts.size())) {
    std::rethrow_exception(errors.front());
  }
  std::string text = "Multiple exceptions: ";
  for (const std::string& one : texts) text += (&one == &texts.front() ? "" : ", ") + one;
  throw std::system_error(code, text);
}

/// What `open_connection` needs after its first suspension.
struct ConnectPlan {
  ConnectPlan(std::string host_, int port_, const ConnectOptions& options)
      : host(std::move(host_)),
        port(port_),
        limit(options.limit),
        family(options.family),
        all_errors(options.all_errors),
        local_port(options.local_port),
        local_host(options.local_host),
        source(options.source) {}
  std::string host;
  int port;
  std::size_t limit;
  int family;
  bool all_errors;
  int local_port;
  std::string local_host;
  std::source_location source;
};

Coroutine<Connection> open(ConnectPlan plan) {
  EventLoop& loop = get_running_loop();
  std::vector<Address> targets =
      co_await resolve_for("open_connection", plan.host, plan.port, plan.family, false);
  std::optional<Address> local;
  if (!plan.local_host.empty() || plan.local_port != 0) {
    local = Address(plan.local_host.empty() ? "0.0.0.0" : plan.local_host, plan.local_port);
  }
  std::vector<std::exception_ptr> errors;
  for (const Address& target : targets) {
    if (local && local->family() != target.family()) continue;
    try {
      auto attempt = connect_to(loop, target, local);
      const native_socket fd = co_await std::move(attempt);
      StateRef<StreamLink> link = NetService::adopt(loop, fd, plan.limit, plan.source);
      co_return Connection(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                           StreamAccess::writer(link));
    } catch (const std::system_error&) {
      errors.push_back(std::current_exception());
    }
  }
  if (errors.empty()) {
    throw_system_error(EADDRNOTAVAIL,
                       "open_connection " + plan.host + ": no address of a usable family");
  }
  throw_all(std::move(errors), plan.host, plan.all_errors);
}

}  // namespace

Coroutine<std::vector<Address>> resolve_for(const char* call, std::string host, int port,
                                            int family, bool passive) {
  if (host.empty()) throw ValueError(std::string(call) + ": empty host");
  std::vector<Address> addresses;
  if (std::optional<Address> literal = Address::try_parse(host, port)) {
    if (family != 0 && literal->family() != family) {
      throw ValueError(std::string(call) + ": " + host + " is not of the wanted family");
    }
    addresses.push_back(*literal);
    co_return addresses;
  }
  GetaddrinfoOptions options;
  options.family = family;
  options.type = SOCK_STREAM;
  options.flags = passive ? AI_PASSIVE : 0;
  auto looking_up = getaddrinfo(host, port, options);
  const std::vector<AddressInfo> found = co_await std::move(looking_up);
  for (const AddressInfo& info : found) addresses.push_back(info.address);
  co_return addresses;
}

}  // namespace detail

Coroutine<Connection> open_connection(std::string_view host, int port, ConnectOptions options) {
  detail::check_port("open_connection", port, 1);
  if (host.empty()) throw ValueError("open_connection: empty host");
  if (options.limit == 0) throw ValueError("open_connection: limit must not be 0");
  return detail::open(detail::ConnectPlan(std::string(host), port, options));
}

}  // namespace aster::inline v0
