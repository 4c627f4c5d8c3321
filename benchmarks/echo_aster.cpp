// SPDX-License-Identifier: MIT
// An echo server on aster's streams, or with a protocol. Prints its port, then serves until
// it is killed.
//
//   echo_aster [read_view|read_into|read|protocol]
//
// read_view lends the bytes from one buffer that all connections share, as the other
// servers do it; read_into receives into one buffer for each connection; read gives
// every piece as a string of its own, as one would write it first.
#include <aster/aster.hpp>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace {

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

struct EchoProtocol final : aster::Protocol {
  aster::Transport* transport = nullptr;
  void connection_made(aster::Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override { transport->write(data); }
  void pause_writing() override { transport->pause_reading(); }
  void resume_writing() override { transport->resume_reading(); }
};

Coroutine<aster::Server> listen(std::string_view reads) {
  if (reads == "protocol") {
    return aster::get_running_loop().create_server([] { return std::make_unique<EchoProtocol>(); },
                                                   "127.0.0.1", 0, {.backlog = 1024});
  }
  auto* handler = reads == "read" ? &echo_strings : reads == "read_into" ? &echo_into : &echo_views;
  return aster::start_server(handler, "127.0.0.1", 0, {.backlog = 1024});
}

Coroutine<> serve(std::string_view reads) {
  aster::get_running_loop().set_exception_handler(
      [](aster::EventLoop&, const aster::ExceptionContext&) {});  // Clients reset at the end.
  auto listening = listen(reads);
  aster::Server server = co_await std::move(listening);
  std::printf("%d\n", static_cast<int>(server.sockets().front().getsockname().port()));
  std::fflush(stdout);
  co_await server.serve_forever();
}

}  // namespace

int main(int argc, char** argv) { return aster::main(serve(argc > 1 ? argv[1] : "read_view")); }
