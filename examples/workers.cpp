// SPDX-License-Identifier: MIT
// An echo server on all cores: a loop for each, all listening on one port, and a count
// that is asked for across them. Try: nc 127.0.0.1 8888
#include <aster/aster.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <utility>

#include <sys/socket.h>

using namespace std::chrono_literals;

thread_local int served = 0;  // Each loop is one thread: no lock, no atomic.

aster::Coroutine<> echo(aster::StreamReader reader, aster::StreamWriter writer) {
  ++served;
  for (;;) {
    std::string data = co_await reader.read(65536);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
  writer.close();
}

aster::Coroutine<int> ask_served() { co_return served; }  // Runs where it is sent to.

aster::Coroutine<> report(aster::Worker worker) {
  for (int before = 0;; co_await aster::sleep(1s)) {
    int total = 0;
    std::string shares;
    for (int i = 0; i < worker.count(); ++i) {
      auto asked = aster::run_coroutine_threadsafe(ask_served(), worker.loop(i));
      const int share = co_await aster::wrap_future(std::move(asked));
      total += share;
      shares += " " + std::to_string(share);
    }
    if (std::exchange(before, total) != total) std::cout << "served:" << shares << std::endl;
  }
}

aster::Coroutine<> serve(aster::Worker worker, int port) {
  aster::ServerOptions options;
  options.reuse_port = true;
  aster::Server server = co_await aster::start_server(echo, "127.0.0.1", port, options);
  if (worker.index() == 0) {
    std::cout << "listening on 127.0.0.1:" << port << std::endl;
    aster::create_task(report(worker));
  }
  co_await server.serve_forever();
}

int main(int argc, char** argv) {
  aster::Socket port{AF_INET, SOCK_STREAM};  // Keeps the port that all will share.
  port.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
  port.bind(aster::Address{"127.0.0.1", argc > 1 ? std::atoi(argv[1]) : 8888});
  const int number = port.getsockname().port();
  const int cores = std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
  return aster::main_workers(cores, [number](aster::Worker me) { return serve(me, number); });
}
