// SPDX-License-Identifier: MIT
// Servers on aster. Prints its port, then serves until it is killed.
//
//   echo_aster [read_view | read_into | read | protocol | sock | udp | sink | unix PATH |
//               file PATH | tls PEM | tls_protocol PEM | tls_sink PEM]
//
// Echo on streams: read_view lends the bytes from one buffer that all connections share,
// as the other servers do it; read_into receives into one buffer for each connection;
// read gives every piece as a string of its own, as one would write it first. protocol
// echoes from `data_received`, sock on plain sockets; sink (streams) reads and forgets;
// file answers every message with the whole file. tls, tls_protocol and tls_sink are
// read_view, protocol and sink over TLS, with the certificate and the key of a file.
#include <aster/aster.hpp>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace {

using aster::Address;
using aster::Coroutine;
using aster::StreamReader;
using aster::StreamWriter;

constexpr std::size_t buffer_size = 65536;

Coroutine<> echo_views(StreamReader reader, StreamWriter writer) {
  while (true) {
    const std::string_view data = co_await reader.read_view(buffer_size);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
}

Coroutine<> echo_into(StreamReader reader, StreamWriter writer) {
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  const std::span<char> target(buffer.get(), buffer_size);
  while (true) {
    const std::size_t size = co_await reader.read_into(target);
    if (size == 0) break;
    writer.write(std::string_view(buffer.get(), size));
    co_await writer.drain();
  }
}

Coroutine<> echo_strings(StreamReader reader, StreamWriter writer) {
  while (true) {
    const std::string data = co_await reader.read(buffer_size);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
}

Coroutine<> swallow(StreamReader reader, StreamWriter) {
  while (true) {
    const std::string_view data = co_await reader.read_view(buffer_size);
    if (data.empty()) break;
  }
}

int file_to_send = -1;

Coroutine<> send_file(StreamReader reader, StreamWriter writer) {
  aster::EventLoop& loop = aster::get_running_loop();
  while (true) {
    const std::string_view data = co_await reader.read_view(buffer_size);
    if (data.empty()) break;
    co_await loop.sendfile(writer.transport(), file_to_send);
  }
}

struct EchoProtocol final : aster::Protocol {
  void connection_made(aster::Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override { transport->write(data); }
  void pause_writing() override { transport->pause_reading(); }
  void resume_writing() override { transport->resume_reading(); }
  aster::Transport* transport = nullptr;
};

struct EchoDatagrams final : aster::DatagramProtocol {
  void connection_made(aster::DatagramTransport& made) override { transport = &made; }
  void datagram_received(std::string_view data, const Address& from) override {
    transport->sendto(data, from);
  }
  aster::DatagramTransport* transport = nullptr;
};

Coroutine<> echo_socket(aster::Socket client) {
  aster::EventLoop& loop = aster::get_running_loop();
  const auto buffer = std::make_unique_for_overwrite<char[]>(buffer_size);
  const std::span<char> target(buffer.get(), buffer_size);
  while (true) {
    const std::size_t size = co_await loop.sock_recv_into(client, target);
    if (size == 0) break;
    co_await loop.sock_sendall(client, std::string_view(buffer.get(), size));
  }
}

void print_port(int port) {
  std::printf("%d\n", port);
  std::fflush(stdout);
}

Coroutine<> serve_sockets() {
  aster::EventLoop& loop = aster::get_running_loop();
  aster::Socket listener{AF_INET, SOCK_STREAM};
  listener.bind(Address{"127.0.0.1", 0});
  listener.listen(1024);
  print_port(listener.getsockname().port());
  while (true) {
    aster::Accepted accepted = co_await loop.sock_accept(listener);
    aster::create_task(echo_socket(std::move(accepted.socket)));
  }
}

Coroutine<> serve_datagrams() {
  aster::EventLoop& loop = aster::get_running_loop();
  auto factory = [] { return std::make_unique<EchoDatagrams>(); };
  const std::optional<Address> local(std::in_place, "127.0.0.1", 0);
  auto endpoint = co_await loop.create_datagram_endpoint(factory, local, {});
  print_port(endpoint.transport().sockname()->port());
  co_await loop.create_future();
}

Coroutine<aster::Server> start_server(std::string_view mode, const char* path) {
  std::optional<aster::SSLContext> tls;
  if (mode.starts_with("tls")) tls.emplace(aster::SSLPurpose::client_auth).load_cert_chain(path);
  const aster::SSLContext* const ssl = tls ? &*tls : nullptr;
  if (mode.ends_with("protocol")) {
    auto factory = [] { return std::make_unique<EchoProtocol>(); };
    auto starting = aster::get_running_loop().create_server(factory, "127.0.0.1", 0,
                                                            {.ssl = ssl, .backlog = 1024});
    co_return co_await std::move(starting);
  }
  if (mode == "unix") co_return co_await aster::start_unix_server(echo_views, path);
  auto* handler = mode == "read"           ? &echo_strings
                  : mode == "read_into"    ? &echo_into
                  : mode.ends_with("sink") ? &swallow
                  : mode == "file"         ? &send_file
                                           : &echo_views;
  co_return co_await aster::start_server(handler, "127.0.0.1", 0, {.ssl = ssl, .backlog = 1024});
}

Coroutine<int> serve(std::string_view mode, const char* path) {
  aster::get_running_loop().set_exception_handler(
      [](aster::EventLoop&, const aster::ExceptionContext&) {});  // Clients reset at the end.
  if (mode == "sock") co_await serve_sockets();
  if (mode == "udp") co_await serve_datagrams();
  if (mode == "file") {
    file_to_send = ::open(path, O_RDONLY | O_CLOEXEC);
    if (file_to_send < 0) {
      std::perror(path);
      co_return 1;
    }
  }
  aster::Server server = co_await start_server(mode, path);
  print_port(mode == "unix" ? 0 : server.sockets().front().getsockname().port());
  co_await server.serve_forever();
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return aster::main(serve(argc > 1 ? argv[1] : "read_view", argv[argc - 1]));
}
