// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/transport.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

/// A transport and the protocol that it serves, of the program's own type: what
/// `create_connection` and `create_datagram_endpoint` give.
///
///     auto link = co_await loop.create_datagram_endpoint(
///         [] { return std::make_unique<Echo>(); }, aster::Address{"127.0.0.1", 9999});
///     link.transport().sendto("hello", there);
///     auto& [transport, protocol] = link;    // DatagramTransport&, Echo&
///
/// Movable. It shares both with the loop: they are valid while either holds them, so
/// dropping it closes nothing, and after `connection_lost` they can still be asked.
/// Thread rule: the loop's thread.
template <class P>
class Endpoint {
 public:
  /// The kind of transport that a `P` is given.
  using transport_type =
      std::conditional_t<std::derived_from<P, DatagramProtocol>, DatagramTransport, Transport>;

  /// From its parts.
  Endpoint(TransportRef<transport_type> transport, std::shared_ptr<P> protocol) noexcept
      : transport_(std::move(transport)), protocol_(std::move(protocol)) {}
  Endpoint(Endpoint&&) noexcept = default;
  Endpoint& operator=(Endpoint&&) noexcept = default;
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint() = default;

  /// The transport.
  [[nodiscard]] transport_type& transport() const noexcept { return *transport_; }
  /// The protocol.
  [[nodiscard]] P& protocol() const noexcept { return *protocol_; }

  /// For structured bindings: 0 is the transport, 1 the protocol.
  template <std::size_t I>
  [[nodiscard]] auto& get() const noexcept {
    static_assert(I < 2, "aster: an Endpoint has two parts");
    if constexpr (I == 0) {
      return transport();
    } else {
      return protocol();
    }
  }

 private:
  TransportRef<transport_type> transport_;
  std::shared_ptr<P> protocol_;
};

}  // namespace aster::inline v0

template <class P>
struct std::tuple_size<aster::Endpoint<P>> : std::integral_constant<std::size_t, 2> {};
template <class P>
struct std::tuple_element<0, aster::Endpoint<P>> {
  using type = typename aster::Endpoint<P>::transport_type&;
};
template <class P>
struct std::tuple_element<1, aster::Endpoint<P>> {
  using type = P&;
};
