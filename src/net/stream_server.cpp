// SPDX-License-Identifier: MIT
// start_server and start_unix_server: each connection is given to a callback, in a task
// of its own when that is a coroutine.
#include "net/connecting.hpp"
#include "net/net_service.hpp"
#include "net/server_state.hpp"
#include "net/stream_link.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/net/streams.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace aster::inline v0::detail {
namespace {

/// A connection whose handler has not begun; closed when it never will, as its task
/// was cancelled before.
class UntakenLink {
 public:
  explicit UntakenLink(StateRef<StreamLink> link) noexcept : link_(std::move(link)) {}
  UntakenLink(UntakenLink&& other) noexcept = default;
  UntakenLink& operator=(UntakenLink&&) = delete;
  ~UntakenLink() {
    if (link_) link_->close();
  }
  [[nodiscard]] StateRef<StreamLink> take() noexcept { return std::move(link_); }

 private:
  StateRef<StreamLink> link_;
};

/// Runs one client's handler; its error ends that connection only.
Coroutine<> run_handler(std::shared_ptr<ClientHandler> handler, UntakenLink accepted) {
  const StateRef<StreamLink> link = accepted.take();
  std::exception_ptr error;
  try {
    auto work = handler->handle(StreamAccess::reader(StateRef<ReaderState>::share(*link)),
                                StreamAccess::writer(link));
    if (!work) co_return;  // A plain callback.
    QuietCall<void> call(std::move(work));
    const Outcome<> ended = co_await call;
    error = ended.exception();
  } catch (...) {
    error = std::current_exception();
  }
  if (error == nullptr) co_return;
  link->close();
  if (is_cancelled_error(error) || is_base_error(error)) std::rethrow_exception(error);
  link->scheduler().call_exception_handler(
      {"Unhandled exception in client_connected_cb", error, current_task(), link->subject(), {}});
}

class StreamAcceptor final : public Acceptor {
 public:
  StreamAcceptor(std::shared_ptr<ClientHandler> handler, std::size_t limit) noexcept
      : handler_(std::move(handler)), limit_(limit) {}

  StateRef<StreamTransport> adopt(EventLoop& loop, const OpenDescriptor& accepted,
                                  const std::source_location& source) override {
    return StateRef<StreamTransport>::share(
        *NetService::adopt<StreamLink>(loop, accepted, Medium::socket, limit_, source));
  }
  void begin(EventLoop& loop, StateRef<StreamTransport> link,
             const std::source_location& source) override {
    TaskOptions options;
    options.source = source;
    auto stream = StateRef<StreamLink>::share(static_cast<StreamLink&>(*link));
    loop.create_task(run_handler(handler_, UntakenLink(std::move(stream))), options);
  }

 private:
  std::shared_ptr<ClientHandler> handler_;
  std::size_t limit_;
};

template <class Options>
std::shared_ptr<Acceptor> acceptor_for(const char* call, std::shared_ptr<ClientHandler> handler,
                                       const Options& options, KeptTls tls) {
  if (options.limit == 0) throw ValueError(std::string(call) + ": limit must not be 0");
  auto made = std::make_shared<StreamAcceptor>(std::move(handler), options.limit);
  made->tls = server_tls(call, std::move(tls.context), options);
  return made;
}

}  // namespace

ClientHandler::~ClientHandler() = default;

Coroutine<Server> start_server(std::shared_ptr<ClientHandler> handler,
                               std::vector<std::string> hosts, int port, ServerOptions options,
                               KeptTls tls) {
  check_port("start_server", port, 0);
  auto acceptor = acceptor_for("start_server", std::move(handler), options, std::move(tls));
  auto serving = serve_hosts("start_server", std::move(acceptor), std::move(hosts), port, options);
  co_return co_await std::move(serving);
}

Coroutine<Server> start_server(std::shared_ptr<ClientHandler> handler, Socket socket,
                               ServerOptions options, KeptTls tls) {
  auto acceptor = acceptor_for("start_server", std::move(handler), options, std::move(tls));
  auto serving = serve_socket("start_server", std::move(acceptor), std::move(socket), options);
  co_return co_await std::move(serving);
}

Coroutine<Server> start_unix_server(std::shared_ptr<ClientHandler> handler, std::string path,
                                    UnixServerOptions options, KeptTls tls) {
  auto acceptor = acceptor_for("start_unix_server", std::move(handler), options, std::move(tls));
  auto serving = serve_path(std::move(acceptor), Address::unix_path(path), options);
  co_return co_await std::move(serving);
}

}  // namespace aster::inline v0::detail
