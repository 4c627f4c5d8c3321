// SPDX-License-Identifier: MIT
// What the loop's create_* and connect_* functions stand on.
#include <aster/net/endpoint.hpp>

#include "net/connecting.hpp"
#include "net/net_service.hpp"
#include "net/pipe_file.hpp"
#include "net/protocol_link.hpp"
#include "net/server_state.hpp"

namespace aster::inline v0::detail {
namespace {

/// Coroutines of a loop's members run on that loop.
void require_loop(EventLoop& loop, const char* call) {
  if (&get_running_loop() == &loop) return;
  throw RuntimeError(std::string(call) + ": awaited on another loop than the one it was called on");
}

NewLink adopt(EventLoop& loop, native_socket fd, Medium medium, const std::source_location& source,
              bool has_reader = false) {
  const StateRef<ProtocolLink> link =
      NetService::adopt<ProtocolLink>(loop, fd, medium, source, has_reader);
  link->add_reference();
  return NewLink(link.get());
}

Coroutine<NewLink> new_link_on(EventLoop& loop, const char* call,
                               Coroutine<native_socket> connecting, std::source_location source) {
  require_loop(loop, call);
  const native_socket fd = co_await std::move(connecting);
  co_return adopt(loop, fd, Medium::socket, source);
}

class ProtocolAcceptor final : public Acceptor {
 public:
  explicit ProtocolAcceptor(std::shared_ptr<ProtocolFactory> factory) noexcept
      : factory_(std::move(factory)) {}

  StateRef<StreamTransport> adopt(EventLoop& loop, native_socket fd,
                                  const std::source_location& source) override {
    return StateRef<StreamTransport>::share(
        *NetService::adopt<ProtocolLink>(loop, fd, Medium::socket, source));
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
                     options.source);
}

Coroutine<NewLink> new_unix_link(EventLoop& loop, std::string_view path,
                                 const UnixConnectOptions& options) {
  return new_link_on(loop, "create_unix_connection", connect_path(Address::unix_path(path)),
                     options.source);
}

Coroutine<NewLink> new_socket_link(EventLoop& loop, const char* call, Socket socket,
                                   std::source_location source) {
  require_loop(loop, call);
  const native_socket fd = take_connected(call, loop, std::move(socket));
  co_return adopt(loop, fd, Medium::socket, source);
}

Coroutine<NewLink> new_pipe_link(EventLoop& loop, native_file fd, bool is_read,
                                 std::source_location source) {
  const char* const call = is_read ? "connect_read_pipe" : "connect_write_pipe";
  require_loop(loop, call);
  const bool has_other_end = check_pipe(call, loop, fd);
  const Medium medium = is_read ? Medium::read_pipe : Medium::write_pipe;
  co_return adopt(loop, fd, medium, source, !is_read && has_other_end);
}

Coroutine<Server> create_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                std::vector<std::string> hosts, int port, ServerOptions options) {
  require_loop(loop, "create_server");
  check_port("create_server", port, 0);
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  auto serving = serve_hosts("create_server", std::move(acceptor), std::move(hosts), port, options);
  co_return co_await std::move(serving);
}

Coroutine<Server> create_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                Socket socket, ServerOptions options) {
  require_loop(loop, "create_server");
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  auto serving = serve_socket("create_server", std::move(acceptor), std::move(socket), options);
  co_return co_await std::move(serving);
}

Coroutine<Server> create_unix_server(EventLoop& loop, std::shared_ptr<ProtocolFactory> factory,
                                     std::string path, UnixServerOptions options) {
  require_loop(loop, "create_unix_server");
  auto acceptor = std::make_shared<ProtocolAcceptor>(std::move(factory));
  auto serving = serve_path(std::move(acceptor), Address::unix_path(path), options);
  co_return co_await std::move(serving);
}

}  // namespace aster::inline v0::detail
