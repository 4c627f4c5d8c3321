// SPDX-License-Identifier: MIT
// What the loop's create_* and connect_* functions stand on.
#include <aster/net/endpoint.hpp>

#include "net/connecting.hpp"
#include "net/net_service.hpp"
#include "net/pipe_file.hpp"
#include "net/protocol_link.hpp"
#include "net/server_state.hpp"
#include "net/tls_handshake.hpp"

namespace aster::inline v0::detail {
namespace {

/// Coroutines of a loop's members run on that loop.
void require_loop(EventLoop& loop, const char* call) {
  if (&get_running_loop() == &loop) return;
  throw RuntimeError(std::string(call) + ": awaited on another loop than the one it was called on");
}

/// A link on a connected descriptor, once its handshake is done if it is to have TLS.
Coroutine<NewLink> secured_link(EventLoop& loop, native_socket fd, std::source_location source,
                                std::optional<TlsSetup> tls) {
  const StateRef<ProtocolLink> link =
      NetService::adopt<ProtocolLink>(loop, fd, Medium::socket, source, false);
  if (tls) {
    auto shaking = shake_hands(StateRef<StreamTransport>::share(*link), std::move(*tls));
    co_await std::move(shaking);
  }
  link->add_reference();
  co_return NewLink(link.get());
}

Coroutine<NewLink> new_link_on(EventLoop& loop, const char* call,
                               Coroutine<native_socket> connecting, std::source_location source,
                               std::optional<TlsSetup> tls) {
  require_loop(loop, call);
  const native_socket fd = co_await std::move(connecting);
  auto securing = secured_link(loop, fd, source, std::move(tls));
  co_return co_await std::move(securing);
}

Coroutine<NewLink> new_link_of(EventLoop& loop, const char* call, Socket socket,
                               std::source_location source, std::optional<TlsSetup> tls) {
  require_loop(loop, call);
  const native_socket fd = take_connected(call, loop, std::move(socket));
  auto securing = secured_link(loop, fd, source, std::move(tls));
  co_return co_await std::move(securing);
}

class ProtocolAcceptor final : public Acceptor {
 public:
  explicit ProtocolAcceptor(std::shared_ptr<ProtocolFactory> factory) noexcept
      : factory_(std::move(factory)) {}

  StateRef<StreamTransport> adopt(EventLoop& loop, const OpenDescriptor& accepted,
                                  const std::source_location& source) override {
    return StateRef<StreamTransport>::share(
        *NetService::adopt<ProtocolLink>(loop, accepted, Medium::socket, source));
  }
  void begin(EventLoop& /*loop*/, StateRef<StreamTransport> link,
             const std::source_location& /*source*/) override {
    if (link->is_closing()) return;
    HeldProtocol protocol = factory_->make();
    if (!link->is_closing()) static_cast<ProtocolLink&>(*link).start(std::move(protocol), {});
  }

 private:
  std::shared_ptr<ProtocolFactory> factory_;
};

}  // namespace

HeldProtocol::HeldProtocol(std::shared_ptr<BaseProtocol> protocol)
    : owner(std::move(protocol)),
      plain(dynamic_cast<Protocol*>(owner.get())),
      buffered(dynamic_cast<BufferedProtocol*>(owner.get())) {
  if (buffered != nullptr) plain = nullptr;
  if (plain == nullptr && buffered == nullptr) {
    throw TypeError("set_protocol: neither a Protocol nor a BufferedProtocol");
  }
}

ProtocolFactory::~ProtocolFactory() = default;

NewLink::~NewLink() {
  if (link_ == nullptr) return;
  link_->close();
  link_->release_reference();
}

Coroutine<TransportRef<Transport>> NewLink::start(HeldProtocol protocol) && {
  return [](StateRef<ProtocolLink> link, HeldProtocol held) -> Coroutine<TransportRef<Transport>> {
    Future<> started = link->scheduler().loop().create_future<>();
    link->start(std::move(held), started);
    try {
      co_await std::move(started);
    } catch (...) {
      link->close();
      throw;
    }
    co_return TransportRef<Transport>(*link);
  }(StateRef<ProtocolLink>(std::exchange(link_, nullptr)), std::move(protocol));
}

Coroutine<NewLink> new_link(EventLoop& loop, std::string_view host, int port,
                            const ConnectOptions& options) {
  return new_link_on(loop, "create_connection",
                     connect_host(ConnectPlan("create_connection", host, port, options)),
                     options.source, client_tls("create_connection", options, host));
}

Coroutine<NewLink> new_unix_link(EventLoop& loop, std::string_view path,
                                 const UnixConnectOptions& options) {
  return new_link_on(loop, "create_unix_connection", connect_path(Address::unix_path(path)),
                     options.source, client_tls("create_unix_connection", options, std::nullopt));
}

Coroutine<NewLink> new_socket_link(EventLoop& loop, Socket socket, const ConnectOptions& options) {
  return new_link_of(loop, "create_connection", std::move(socket), options.source,
                     client_tls("create_connection", options, std::nullopt));
}

Coroutine<NewLink> new_accepted_link(EventLoop& loop, Socket socket,
                                     const AcceptedSocketOptions& options) {
  const char* const call = "connect_accepted_socket";
  return new_link_of(loop, call, std::move(socket), options.source,
                     server_tls(call, KeptTls(options.ssl).context, options));
}

Coroutine<NewLink> new_pipe_link(EventLoop& loop, native_file fd, bool is_read,
                                 std::source_location source) {
  const char* const call = is_read ? "connect_read_pipe" : "connect_write_pipe";
  require_loop(loop, call);
  const bool has_other_end = check_pipe(call, loop, fd);
  const Medium medium = is_read ? Medium::read_pipe : Medium::write_pipe;
  const StateRef<ProtocolLink> link =
      NetService::adopt<ProtocolLink>(loop, fd, medium, source, !is_read && has_other_end);
  link->add_reference();
  co_return NewLink(link.get());
}

Coroutine<Server> create_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                std::vector<std::string> hosts, int port, ServerOptions options,
                                KeptTls tls) {
  require_loop(loop, "create_server");
  check_port("create_server", port, 0);
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  acceptor->tls = server_tls("create_server", std::move(tls.context), options);
  auto serving = serve_hosts("create_server", std::move(acceptor), std::move(hosts), port, options);
  co_return co_await std::move(serving);
}

Coroutine<Server> create_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                Socket socket, ServerOptions options, KeptTls tls) {
  require_loop(loop, "create_server");
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  acceptor->tls = server_tls("create_server", std::move(tls.context), options);
  auto serving = serve_socket("create_server", std::move(acceptor), std::move(socket), options);
  co_return co_await std::move(serving);
}

Coroutine<Server> create_unix_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                     std::string path, UnixServerOptions options, KeptTls tls) {
  require_loop(loop, "create_unix_server");
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  acceptor->tls = server_tls("create_unix_server", std::move(tls.context), options);
  auto serving = serve_path(std::move(acceptor), Address::unix_path(path), options);
  co_return co_await std::move(serving);
}

namespace {

Coroutine<TransportRef<Transport>> upgrade(EventLoop& loop, StateRef<ProtocolLink> link,
                                           std::shared_ptr<BaseProtocol> protocol, TlsSetup setup) {
  require_loop(loop, "start_tls");
  if (protocol != nullptr) link->set_protocol(std::move(protocol));
  auto shaking = shake_hands(StateRef<StreamTransport>::share(*link), std::move(setup));
  co_await std::move(shaking);
  co_return TransportRef<Transport>(*link);
}

}  // namespace

Coroutine<TransportRef<Transport>> start_tls(EventLoop& loop, Transport& transport,
                                             std::shared_ptr<BaseProtocol> protocol,
                                             const SSLContext& context,
                                             const StartTlsOptions& options) {
  auto* const link = dynamic_cast<ProtocolLink*>(&transport);
  if (link == nullptr) {
    throw TypeError("start_tls: transport " + transport.str() +
                    " is not supported (for a stream, StreamWriter::start_tls)");
  }
  TlsSetup setup = options.server_side ? server_tls("start_tls", TlsContext::of(context), options)
                                       : client_tls("start_tls", context, std::nullopt, options);
  return upgrade(loop, StateRef<ProtocolLink>::share(*link), std::move(protocol), std::move(setup));
}

}  // namespace aster::inline v0::detail
