// SPDX-License-Identifier: MIT
#include "io/socket_use.hpp"
#include "net/datagram_link.hpp"
#include "net/net_events.hpp"
#include "net/unix_path.hpp"

#include <aster/base/error.hpp>
#include <aster/net/datagram.hpp>

#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <sys/socket.h>

namespace aster::inline v0::detail {
namespace {

constexpr const char* call = "create_datagram_endpoint";

[[noreturn]] void refuse(const std::string& text) {
  throw ValueError(std::string(call) + ": " + text);
}

/// What excludes `sock`, for the message; empty when nothing does.
std::string modifiers(const DatagramOptions& options, bool has_local, bool has_remote) {
  std::string names;
  const auto add = [&names](bool is_set, const char* name) {
    if (is_set) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add(has_local, "local");
  add(has_remote, "remote");
  add(options.family != 0, "family");
  add(options.proto != 0, "proto");
  add(options.reuse_port, "reuse_port");
  add(options.allow_broadcast, "allow_broadcast");
  return names;
}

bool is_of(int family, const Address& address) {
  return address.size() == 0 || address.family() == family;
}

/// A socket as the plan wants it.
Coroutine<Socket> open_socket(EventLoop& loop, const DatagramPlan& plan) {
  const DatagramOptions& options = plan.options;
  Socket socket(loop.backend(), options.family, SOCK_DGRAM, options.proto);
  if (options.reuse_port) socket.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
  if (options.allow_broadcast) socket.setsockopt(SOL_SOCKET, SO_BROADCAST, 1);
  if (plan.local.size() != 0) {
    if (options.family == AF_UNIX && !plan.local.path().empty()) {  // CON-14
      UnixPath file;
      const UnixPathOptions stays(std::nullopt, false);
      file.bind(loop.backend(), socket.fileno(), plan.local, stays);
    } else {
      socket.bind(plan.local);
    }
  }
  if (plan.remote.size() != 0 && !options.allow_broadcast) {
    auto connecting = loop.sock_connect(socket, plan.remote);
    co_await std::move(connecting);
  }
  co_return socket;
}

/// Where a socket of the caller's is connected to; none when it is not.
Address peer_of(const Socket& socket) {
  try {
    return socket.getpeername();
  } catch (const std::system_error&) {
    return {};
  }
}

}  // namespace

DatagramPlan::DatagramPlan(EventLoop& for_loop, const std::optional<Address>& local_,
                           const std::optional<Address>& remote_, const DatagramOptions& options_)
    : loop(&for_loop),
      local(local_.value_or(Address())),
      remote(remote_.value_or(Address())),
      options(options_) {
  const bool has_local = local.size() != 0;
  const bool has_remote = remote.size() != 0;
  if (options.sock != nullptr) {
    if (const std::string names = modifiers(options, has_local, has_remote); !names.empty()) {
      refuse("sock excludes " + names);
    }
    if (options.sock->getsockopt(SOL_SOCKET, SO_TYPE) == SOCK_STREAM) {
      refuse("A datagram socket was expected, not socket " +
             std::to_string(options.sock->fileno()));
    }
    if (options.sock->backend() != nullptr && options.sock->backend() != &loop->backend()) {
      refuse("socket " + std::to_string(options.sock->fileno()) + " belongs to another back end");
    }
    loop->check_descriptor(options.sock->fileno(), call);
    socket = std::move(*std::exchange(options.sock, nullptr));
    return;
  }
  if (!has_local && !has_remote && options.family == 0) {
    refuse("unexpected address family: neither an address nor a family is given");
  }
  if (options.family == 0) options.family = has_local ? local.family() : remote.family();
  if (!is_of(options.family, local) || !is_of(options.family, remote)) {
    refuse("can not get address information: " + (has_local ? local.str() : "no address") + ", " +
           (has_remote ? remote.str() : "no address") + " and family " +
           std::to_string(options.family) + " do not fit together");
  }
  if (options.reuse_port && options.family == AF_UNIX) {
    refuse("reuse_port is for IPv4 and IPv6 only");
  }
}

Coroutine<TransportRef<DatagramTransport>> open_datagram_endpoint(DatagramPlan plan,
                                                                  MakeDatagramProtocol make) {
  EventLoop& loop = *plan.loop;
  Socket socket = std::move(plan.socket);
  Address target;
  bool is_connected = false;
  if (socket.is_closed()) {
    auto opening = open_socket(loop, plan);
    socket = co_await std::move(opening);
    target = plan.remote;
    is_connected = target.size() != 0 && !plan.options.allow_broadcast;
  } else {
    target = peer_of(socket);
    is_connected = target.size() != 0;
  }
  IoBackend* const own = socket.backend();
  if (own == nullptr) socket.setblocking(false);

  std::shared_ptr<DatagramProtocol> protocol = make();
  // What sock_connect keeps for a socket ends with the release.
  Socket handed_over = SocketUse::socket_of(socket.release(), own);
  auto* const link = new DatagramLink(loop, std::move(handed_over), target, is_connected,
                                      std::move(protocol), plan.options.source);
  TransportRef<DatagramTransport> transport(*link);  // Besides the loop's own reference.
  log_event(loop.scheduler(), [&] {
    return "datagram endpoint created at " + link->sockname()->str() +
           (target.size() != 0 ? ", to " + target.str() : std::string());
  });
  Future<> begun = link->begin();
  std::exception_ptr error;
  try {
    co_await begun;
  } catch (...) {
    error = std::current_exception();
  }
  if (error != nullptr) {
    link->close();
    std::rethrow_exception(error);
  }
  co_return transport;
}

}  // namespace aster::inline v0::detail
