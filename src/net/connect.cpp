// SPDX-License-Identifier: MIT
#include "io/connect_race.hpp"
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
        stagger(Duration::max()),
        interleave(options.interleave),
        local_port(options.local_port),
        local_host(options.local_host),
        source(options.source) {
    if (options.interleave < 0) {
      throw ValueError("open_connection: interleave must not be negative, got " +
                       std::to_string(options.interleave));
    }
    if (!options.happy_eyeballs_delay) return;
    stagger = options.happy_eyeballs_delay->checked("open_connection");
    if (interleave == 0) interleave = 1;
  }
  std::string host;
  int port;
  std::size_t limit;
  int family;
  bool all_errors;
  Duration stagger;  // Between attempts; `max`: each waits for the end of the one before.
  int interleave;    // 0: not at all.
  int local_port;
  std::string local_host;
  std::source_location source;
};

Coroutine<Connection> open(ConnectPlan plan) {
  EventLoop& loop = get_running_loop();
  std::vector<Address> targets =
      co_await resolve_for("open_connection", plan.host, plan.port, plan.family, false);
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
  ConnectRace race(loop, targets, locals, plan.stagger);
  const native_socket fd = co_await race;
  if (fd != static_cast<native_socket>(-1)) {
    StateRef<StreamLink> link = NetService::adopt(loop, fd, plan.limit, plan.source);
    co_return Connection(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                         StreamAccess::writer(link));
  }
  std::vector<std::exception_ptr> errors = race.errors();
  if (errors.empty()) {
    throw_system_error(EADDRNOTAVAIL, "open_connection " + plan.host + ": no address");
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
