// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/function.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/io/address.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/net/endpoint.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/transport.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

/// Endpoints for datagrams: `EventLoop::create_datagram_endpoint`. Each datagram comes
/// whole, to a callback; it may be lost, come twice or be overtaken. To wait for single
/// datagrams in a task use the loop's `sock_recvfrom` and `sock_sendto` instead.
///
///     struct Echo : aster::DatagramProtocol {
///       aster::DatagramTransport* transport = nullptr;
///       void connection_made(aster::DatagramTransport& made) override { transport = &made; }
///       void datagram_received(std::string_view data, const aster::Address& from) override {
///         transport->sendto(data, from);
///       }
///     };
///     auto echo = co_await loop.create_datagram_endpoint(
///         [] { return std::make_unique<Echo>(); }, aster::Address{"127.0.0.1", 9999}, {});
namespace aster::inline v0 {

/// Options of `create_datagram_endpoint`.
struct DatagramOptions {
  /// AF_INET, AF_INET6 or AF_UNIX; needed when there is no address that tells.
  int family = 0;
  /// The protocol of the socket; 0: the family's only one.
  int proto = 0;
  /// Allows several endpoints on one address; the system spreads the datagrams.
  bool reuse_port = false;
  /// Allows to send to broadcast addresses; the socket is then not connected to the
  /// remote address.
  bool allow_broadcast = false;
  /// Takes over this socket, which is bound (and connected) as its owner wants;
  /// excludes addresses and the options above.
  Socket* sock = nullptr;
  std::source_location source = std::source_location::current();
};

namespace detail {

/// The arguments of one call, checked.
class ASTER_API DatagramPlan {
 public:
  DatagramPlan(EventLoop& loop, const std::optional<Address>& local,
               const std::optional<Address>& remote, const DatagramOptions& options);
  DatagramPlan(DatagramPlan&& other) noexcept = default;
  DatagramPlan& operator=(DatagramPlan&&) = delete;
  ~DatagramPlan() = default;

  EventLoop* loop;
  Address local;   // None: not bound.
  Address remote;  // None: not connected.
  DatagramOptions options;
  Socket socket;  // The caller's.
};

using MakeDatagramProtocol = Function<std::shared_ptr<DatagramProtocol>()>;

/// Opens the socket, then calls `make`, once.
[[nodiscard]] ASTER_API Coroutine<TransportRef<DatagramTransport>> open_datagram_endpoint(
    DatagramPlan plan, MakeDatagramProtocol make);

template <class Factory>
Coroutine<Endpoint<ProtocolOf<Factory>, DatagramTransport>> create_datagram_endpoint(
    Factory factory, DatagramPlan plan) {
  using P = ProtocolOf<Factory>;
  std::shared_ptr<P> protocol;
  MakeDatagramProtocol make([&]() -> std::shared_ptr<DatagramProtocol> {
    protocol = make_protocol(factory);
    return protocol;
  });
  auto opening = open_datagram_endpoint(std::move(plan), std::move(make));
  TransportRef<DatagramTransport> transport = co_await std::move(opening);
  co_return Endpoint<P, DatagramTransport>(std::move(transport), std::move(protocol));
}

}  // namespace detail

template <class Factory, class Where, class Options>
auto EventLoop::create_datagram_endpoint(Factory factory, std::type_identity_t<Where> local,
                                         std::type_identity_t<Where> remote,
                                         std::type_identity_t<Options> options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, DatagramTransport>> {
  static_assert(std::derived_from<detail::ProtocolOf<Factory>, DatagramProtocol>,
                "aster: the factory of create_datagram_endpoint gives a std::unique_ptr or "
                "std::shared_ptr of a class derived from DatagramProtocol");
  scheduler_->require_open("create_datagram_endpoint");
  return detail::create_datagram_endpoint(std::move(factory),
                                          detail::DatagramPlan(*this, local, remote, options));
}

}  // namespace aster::inline v0
