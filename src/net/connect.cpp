// SPDX-License-Identifier: MIT
#include "net/connecting.hpp"

#include "io/connect_race.hpp"

#include <aster/loop/sleep.hpp>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include <sys/socket.h>

namespace aster::inline v0 {
namespace detail {
namespace {

[[noreturn]] void throw_all(std::vector<std::exception_ptr> errors, const std::string& what,
                            bool as_group) {
  if (as_group) throw ExceptionGroup(what + " failed", std::move(errors));
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

bool has_number(const std::exception_ptr& error, int number) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failure) {
    return failure.code().value() == number;
  } catch (...) {
    return false;
  }
}

/// How long to wait before a unix socket whose backlog is full is tried again.
constexpr Duration first_pause = std::chrono::milliseconds(1);
constexpr Duration last_pause = std::chrono::milliseconds(100);
constexpr Duration patience = std::chrono::seconds(30);

}  // namespace

void check_port(const char* call, int port, int lowest) {
  if (port < lowest || port > 65535) {
    throw ValueError(std::string(call) + ": port must be " + std::to_string(lowest) +
                     " to 65535, not " + std::to_string(port));
  }
}

ConnectPlan::ConnectPlan(const char* caller, std::string_view host_, int port_,
                         const ConnectOptions& options)
    : call(caller),
      host(host_),
      port(port_),
      all_errors(options.all_errors),
      stagger(Duration::max()),
      interleave(options.interleave),
      local_port(options.local_port),
      local_host(options.local_host) {
  lookup.family = options.family;
  lookup.proto = options.proto;
  lookup.flags = options.flags;
  check_port(call, port, 1);
  if (host.empty()) throw ValueError(std::string(call) + ": empty host");
  if (interleave < 0) {
    throw ValueError(std::string(call) + ": interleave must not be negative, got " +
                     std::to_string(interleave));
  }
  if (!options.happy_eyeballs_delay) return;
  stagger = options.happy_eyeballs_delay->checked(call);
  if (interleave == 0) interleave = 1;
}

Coroutine<native_socket> connect_host(ConnectPlan plan) {
  EventLoop& loop = get_running_loop();
  std::vector<Address> targets = co_await resolve_for(plan.call, plan.host, plan.port, plan.lookup);
  if (plan.interleave > 0) {
    targets = interleaved(std::move(targets), static_cast<std::size_t>(plan.interleave));
  }
  std::vector<Address> locals;
  if (!plan.local_host.empty()) {
    locals.emplace_back(plan.local_host, plan.local_port);
  } else if (plan.local_port != 0) {
    locals.emplace_back("0.0.0.0", plan.local_port);
    locals.emplace_back("::", plan.local_port);
  }
  ConnectRace race(loop, targets, locals, plan.stagger, plan.lookup.proto);
  const native_socket fd = co_await race;
  if (fd != static_cast<native_socket>(-1)) co_return fd;
  std::vector<std::exception_ptr> errors = race.errors();
  const std::string what = std::string(plan.call) + " " + plan.host;
  if (errors.empty()) throw_system_error(EADDRNOTAVAIL, what + ": no address");
  throw_all(std::move(errors), what, plan.all_errors);
}

Coroutine<native_socket> connect_path(Address path) {
  EventLoop& loop = get_running_loop();
  const TimePoint deadline = loop.time() + patience;
  for (Duration pause = first_pause;; pause = std::min(2 * pause, last_pause)) {
    ConnectRace race(loop, {&path, 1}, {}, Duration::max());
    const native_socket fd = co_await race;
    if (fd != static_cast<native_socket>(-1)) co_return fd;
    const std::exception_ptr error = race.errors().front();
    if (!has_number(error, EAGAIN) || loop.time() >= deadline) std::rethrow_exception(error);
    co_await sleep(pause);
  }
}

native_socket take_connected(const char* call, EventLoop& loop, Socket socket) {
  require_stream_socket(call, loop, socket);
  socket.setblocking(false);
  return socket.release();
}

void require_stream_socket(const char* call, EventLoop& loop, const Socket& socket) {
  loop.check_descriptor(socket.fileno(), call);
  IoBackend& backend = loop.backend();
  if (socket.backend() != (backend.is_system() ? nullptr : &backend)) {
    throw ValueError(std::string(call) + ": the socket is of another system than the loop");
  }
  if (socket.getsockopt(SOL_SOCKET, SO_TYPE) != SOCK_STREAM) {
    throw ValueError(std::string(call) + ": socket " + std::to_string(socket.fileno()) +
                     " is not of type SOCK_STREAM");
  }
}

Coroutine<std::vector<Address>> resolve_for(const char* call, std::string host, int port,
                                            GetaddrinfoOptions options) {
  if (host.empty()) throw ValueError(std::string(call) + ": empty host");
  std::vector<Address> addresses;
  if (std::optional<Address> literal = Address::try_parse(host, port)) {
    if (options.family != 0 && literal->family() != options.family) {
      throw ValueError(std::string(call) + ": " + host + " is not of the wanted family");
    }
    addresses.push_back(*literal);
    co_return addresses;
  }
  options.type = SOCK_STREAM;
  auto looking_up = getaddrinfo(host, port, options);
  const std::vector<AddressInfo> found = co_await std::move(looking_up);
  for (const AddressInfo& info : found) addresses.push_back(info.address);
  co_return addresses;
}

}  // namespace detail
}  // namespace aster::inline v0
