// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/error.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/io/socket.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/net/options.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/server.hpp>
#include <aster/net/transport.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster::inline v0 {

/// A transport and its protocol: what `create_connection` and its kin give. A movable
/// handle that works as a pair; both parts stay valid while it or the loop holds them.
///
///     auto factory = [] { return std::make_unique<Echo>(); };
///     auto link = co_await loop.create_connection(factory, "127.0.0.1", 8080);
///     auto& [transport, protocol] = link;
///     transport.write("hello");
///
/// Dropping it closes nothing: a connection ends by its transport or its peer. After
/// `connection_lost` the transport is closed, and writes do nothing. Thread rule: the
/// loop's thread.
template <class P, class T>
class Endpoint {
 public:
  /// From its parts.
  Endpoint(TransportRef<T> transport, std::shared_ptr<P> protocol) noexcept
      : transport_(std::move(transport)), protocol_(std::move(protocol)) {}
  Endpoint(Endpoint&&) noexcept = default;
  Endpoint& operator=(Endpoint&&) noexcept = default;
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint() = default;

  /// The transport. Not after a move (checked).
  [[nodiscard]] T& transport() const noexcept { return *transport_; }
  /// The protocol. Not after a move (checked).
  [[nodiscard]] P& protocol() const noexcept {
    ASTER_REQUIRE(protocol_ != nullptr,
                  "this Endpoint was moved from: use the one it was moved to");
    return *protocol_;
  }

  /// For structured bindings: 0 is the transport, 1 the protocol.
  template <std::size_t Index>
  [[nodiscard]] decltype(auto) get() const noexcept {
    if constexpr (Index == 0) {
      return transport();
    } else {
      return protocol();
    }
  }

 private:
  TransportRef<T> transport_;
  std::shared_ptr<P> protocol_;
};

namespace detail {

/// A protocol that a stream transport can serve: one of the two pointers is not null.
struct HeldProtocol {
  HeldProtocol() noexcept = default;
  /// TypeError unless it is a Protocol or a BufferedProtocol.
  ASTER_API explicit HeldProtocol(std::shared_ptr<BaseProtocol> protocol);
  template <class P>
  explicit HeldProtocol(const std::shared_ptr<P>& protocol) : owner(protocol) {
    if constexpr (std::derived_from<P, BufferedProtocol>) {
      buffered = protocol.get();
    } else {
      static_assert(std::derived_from<P, Protocol>,
                    "aster: the factory gives a std::unique_ptr or std::shared_ptr of a class "
                    "derived from Protocol or BufferedProtocol");
      plain = protocol.get();
    }
  }
  std::shared_ptr<BaseProtocol> owner;
  Protocol* plain = nullptr;
  BufferedProtocol* buffered = nullptr;
};

/// What `factory` makes, counted.
template <class Factory>
[[nodiscard]] std::shared_ptr<ProtocolOf<Factory>> make_protocol(Factory& factory) {
  std::shared_ptr<ProtocolOf<Factory>> protocol = factory();
  if (protocol == nullptr) throw TypeError("the protocol factory gave no protocol");
  return protocol;
}

/// Makes the protocols of a server's connections.
class ASTER_API ProtocolFactory {
 public:
  ProtocolFactory() noexcept = default;
  ProtocolFactory(const ProtocolFactory&) = delete;
  ProtocolFactory& operator=(const ProtocolFactory&) = delete;
  virtual ~ProtocolFactory();
  virtual HeldProtocol make() = 0;
};

template <class Factory>
class TypedProtocolFactory final : public ProtocolFactory {
 public:
  explicit TypedProtocolFactory(Factory factory) : factory_(std::move(factory)) {}
  HeldProtocol make() override { return HeldProtocol(make_protocol(factory_)); }

 private:
  Factory factory_;
};

template <class Factory>
[[nodiscard]] std::shared_ptr<ProtocolFactory> protocol_factory(Factory&& factory) {
  return std::make_shared<TypedProtocolFactory<std::decay_t<Factory>>>(
      std::forward<Factory>(factory));
}

class ProtocolLink;

/// A connection that has no protocol yet; closed when it gets none.
class ASTER_API NewLink {
 public:
  /// Takes a reference over.
  explicit NewLink(ProtocolLink* link) noexcept : link_(link) {}
  NewLink(NewLink&& other) noexcept : link_(std::exchange(other.link_, nullptr)) {}
  NewLink& operator=(NewLink&&) = delete;
  ~NewLink();

  /// Gives it its protocol; done once `connection_made` was called. Cancelled, it closes
  /// the connection.
  [[nodiscard]] Coroutine<TransportRef<Transport>> start(HeldProtocol protocol) &&;

 private:
  ProtocolLink* link_;
};

[[nodiscard]] ASTER_API Coroutine<NewLink> new_link(EventLoop& loop, std::string_view host,
                                                    int port, const ConnectOptions& options);
[[nodiscard]] ASTER_API Coroutine<NewLink> new_unix_link(EventLoop& loop, std::string_view path,
                                                         const UnixConnectOptions& options);
[[nodiscard]] ASTER_API Coroutine<NewLink> new_socket_link(EventLoop& loop, Socket socket,
                                                           const ConnectOptions& options);
[[nodiscard]] ASTER_API Coroutine<NewLink> new_accepted_link(EventLoop& loop, Socket socket,
                                                             const AcceptedSocketOptions& options);
[[nodiscard]] ASTER_API Coroutine<NewLink> new_pipe_link(EventLoop& loop, native_file fd,
                                                         bool is_read, std::source_location source);

/// Connects, makes the protocol, and brings both together (CON-2).
template <class T, class Factory>
Coroutine<Endpoint<ProtocolOf<Factory>, T>> connect_protocol(Factory factory,
                                                             Coroutine<NewLink> connecting) {
  NewLink link = co_await std::move(connecting);
  std::shared_ptr<ProtocolOf<Factory>> protocol = make_protocol(factory);
  auto starting = std::move(link).start(HeldProtocol(protocol));
  const TransportRef<Transport> transport = co_await std::move(starting);
  co_return Endpoint<ProtocolOf<Factory>, T>(TransportRef<T>(*transport), std::move(protocol));
}

[[nodiscard]] ASTER_API Coroutine<Server> create_server(EventLoop& loop,
                                                        std::shared_ptr<ProtocolFactory> factory,
                                                        std::vector<std::string> hosts, int port,
                                                        ServerOptions options, KeptTls tls);
[[nodiscard]] ASTER_API Coroutine<Server> create_server(EventLoop& loop,
                                                        std::shared_ptr<ProtocolFactory> factory,
                                                        Socket socket, ServerOptions options,
                                                        KeptTls tls);
[[nodiscard]] ASTER_API Coroutine<Server> create_unix_server(
    EventLoop& loop, std::shared_ptr<ProtocolFactory> factory, std::string path,
    UnixServerOptions options, KeptTls tls);
/// `protocol` may be null: the one it has.
[[nodiscard]] ASTER_API Coroutine<TransportRef<Transport>> start_tls(
    EventLoop& loop, Transport& transport, std::shared_ptr<BaseProtocol> protocol,
    const SSLContext& context, const StartTlsOptions& options);

}  // namespace detail

template <class Factory, class Options>
auto EventLoop::create_connection(Factory factory, std::string_view host, int port, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>> {
  return detail::connect_protocol<Transport>(std::move(factory),
                                             detail::new_link(*this, host, port, options));
}

template <class Factory, class Options>
auto EventLoop::create_connection(Factory factory, Socket socket, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>> {
  return detail::connect_protocol<Transport>(
      std::move(factory), detail::new_socket_link(*this, std::move(socket), options));
}

template <class Factory, class Options>
auto EventLoop::connect_accepted_socket(Factory factory, Socket socket, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>> {
  return detail::connect_protocol<Transport>(
      std::move(factory), detail::new_accepted_link(*this, std::move(socket), options));
}

template <class Options>
Coroutine<TransportRef<Transport>> EventLoop::start_tls(Transport& transport,
                                                        std::shared_ptr<BaseProtocol> protocol,
                                                        const SSLContext& context,
                                                        Options options) {
  if (protocol == nullptr) throw TypeError("start_tls: there is no protocol");
  return detail::start_tls(*this, transport, std::move(protocol), context, options);
}

template <class Options>
Coroutine<TransportRef<Transport>> EventLoop::start_tls(Transport& transport,
                                                        BaseProtocol& protocol,
                                                        const SSLContext& context,
                                                        Options options) {
  if (transport.get_protocol().get() != &protocol) {
    throw ValueError("start_tls: not the transport's protocol; give another one as a shared_ptr");
  }
  return detail::start_tls(*this, transport, nullptr, context, options);
}

template <class Factory, class Options>
auto EventLoop::create_unix_connection(Factory factory, std::string_view path, Options options)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, Transport>> {
  return detail::connect_protocol<Transport>(std::move(factory),
                                             detail::new_unix_link(*this, path, options));
}

template <class Factory>
auto EventLoop::connect_read_pipe(Factory factory, native_file fd, std::source_location source)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, ReadTransport>> {
  return detail::connect_protocol<ReadTransport>(std::move(factory),
                                                 detail::new_pipe_link(*this, fd, true, source));
}

template <class Factory>
auto EventLoop::connect_write_pipe(Factory factory, native_file fd, std::source_location source)
    -> Coroutine<Endpoint<detail::ProtocolOf<Factory>, WriteTransport>> {
  return detail::connect_protocol<WriteTransport>(std::move(factory),
                                                  detail::new_pipe_link(*this, fd, false, source));
}

template <class Factory, class Options>
Coroutine<Server> EventLoop::create_server(Factory factory, std::string_view host, int port,
                                           Options options) {
  std::vector<std::string> hosts;
  hosts.emplace_back(host);
  return create_server(std::move(factory), std::move(hosts), port, options);
}

template <class Factory, class Options>
Coroutine<Server> EventLoop::create_server(Factory factory, std::vector<std::string> hosts,
                                           int port, Options options) {
  return detail::create_server(*this, detail::protocol_factory(std::move(factory)),
                               std::move(hosts), port, options, detail::KeptTls(options.ssl));
}

template <class Factory, class Options>
Coroutine<Server> EventLoop::create_server(Factory factory, Socket socket, Options options) {
  return detail::create_server(*this, detail::protocol_factory(std::move(factory)),
                               std::move(socket), options, detail::KeptTls(options.ssl));
}

template <class Factory, class Options>
Coroutine<Server> EventLoop::create_unix_server(Factory factory, std::string_view path,
                                                Options options) {
  return detail::create_unix_server(*this, detail::protocol_factory(std::move(factory)),
                                    std::string(path), options, detail::KeptTls(options.ssl));
}

}  // namespace aster::inline v0

template <class P, class T>
struct std::tuple_size<aster::Endpoint<P, T>> : std::integral_constant<std::size_t, 2> {};
template <class P, class T>
struct std::tuple_element<0, aster::Endpoint<P, T>> {
  using type = T&;
};
template <class P, class T>
struct std::tuple_element<1, aster::Endpoint<P, T>> {
  using type = P&;
};
