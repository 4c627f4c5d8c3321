// SPDX-License-Identifier: MIT
// What an idle connection costs in user space, and whether many of them still work:
//
//   idle_connections [connections]        15,000 unless told otherwise
//
// A server of each kind in a process of its own; this process holds the clients. What
// the server's private memory grows by is divided by the connections; then every client
// sends a message of its own, which must come back to it. Status 0 when all did.
#include <aster/aster.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

struct Echo : aster::Protocol {
  aster::Transport* transport = nullptr;
  void connection_made(aster::Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override { transport->write(data); }
};
std::unique_ptr<Echo> make_echo() { return std::make_unique<Echo>(); }

aster::Coroutine<> echo_stream(aster::StreamReader reader, aster::StreamWriter writer) {
  for (;;) {
    std::string data = co_await reader.read(65536);
    if (data.empty()) break;
    writer.write(data);
    co_await writer.drain();
  }
}

aster::Coroutine<> echo_socket(aster::Socket client) {
  aster::EventLoop& loop = aster::get_running_loop();
  for (;;) {
    std::string data = co_await loop.sock_recv(client, 1024);
    if (data.empty()) break;
    co_await loop.sock_sendall(client, data);
  }
}

aster::Coroutine<> accept_sockets(aster::Socket listener) {
  aster::EventLoop& loop = aster::get_running_loop();
  for (;;) {
    aster::Accepted accepted = co_await loop.sock_accept(listener);
    aster::create_task(echo_socket(std::move(accepted.socket)));
  }
}

/// The private memory of this process, in KiB.
long private_memory() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("RssAnon:")) return std::atol(line.c_str() + 8);
  }
  return 0;
}

/// Listens, tells its port, and says how large it is whenever it is asked.
aster::Coroutine<> serve(std::string_view form, int questions, int answers) {
  aster::EventLoop& loop = aster::get_running_loop();
  aster::ServerOptions options;
  options.backlog = 4096;
  long port = 0;
  if (form == "sockets") {
    aster::Socket listener{AF_INET, SOCK_STREAM};
    listener.bind(aster::Address{"127.0.0.1", 0});
    listener.listen(4096);
    port = listener.getsockname().port();
    aster::create_task(accept_sockets(std::move(listener)));
  } else if (form == "streams") {
    auto server = co_await aster::start_server(echo_stream, "127.0.0.1", 0, options);
    port = server.sockets().front().getsockname().port();
  } else {
    auto server = co_await loop.create_server(make_echo, "127.0.0.1", 0, options);
    port = server.sockets().front().getsockname().port();
  }
  const auto answer = [answers](long value) {
    if (::write(answers, &value, sizeof value) != sizeof value) std::_Exit(2);
  };
  answer(port);
  aster::Future<> end = loop.create_future<>();
  loop.add_reader(questions, [=]() mutable {
    char question = 0;
    if (::read(questions, &question, 1) == 1) return answer(private_memory());
    if (!end.done()) end.set_result();
  });
  co_await end;
  std::_Exit(0);  // Closing so many connections one by one is not what is measured.
}

/// Everything of one kind of server; false when a message did not come back.
bool measure(const char* form, std::size_t count) {
  std::array<int, 2> questions{};
  std::array<int, 2> answers{};
  if (::pipe(questions.data()) != 0 || ::pipe(answers.data()) != 0) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(questions[1]);
    ::close(answers[0]);
    std::_Exit(aster::main(serve(form, questions[0], answers[1])));
  }
  ::close(questions[0]);
  ::close(answers[1]);
  const auto answer = [&] {
    long value = -1;
    if (::read(answers[0], &value, sizeof value) != sizeof value) value = -1;
    return value;
  };
  const auto memory = [&] { return ::write(questions[1], "m", 1) == 1 ? answer() : -1; };

  const aster::Address address("127.0.0.1", static_cast<int>(answer()));
  std::vector<aster::Socket> clients;
  const auto exchange = [](aster::Socket& client, const std::string& message) {
    client.sendall(message);
    std::string back;
    while (back.size() < message.size()) {
      const std::string piece = client.recv(message.size() - back.size());
      if (piece.empty()) return false;
      back += piece;
    }
    return back == message;
  };
  const auto connect = [&] {
    aster::Socket client{AF_INET, SOCK_STREAM};
    client.setblocking(true);
    client.connect(address);
    clients.push_back(std::move(client));
    return exchange(clients.back(), "x");  // It is accepted, and has been of use.
  };
  bool good = connect();
  const long before = memory();
  while (good && clients.size() <= count) good = connect();
  const long after = memory();
  for (std::size_t i = 0; i < clients.size() && good; ++i) {
    good = exchange(clients[i], "message of client " + std::to_string(i));
  }
  std::printf("%-10s %6zu connections %6ld bytes for each  %s\n", form, count,
              (after - before) * 1024 / static_cast<long>(count),
              good ? "all echo" : "SOME DO NOT ECHO");
  ::close(questions[1]);
  ::close(answers[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return good;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 15'000;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  bool good = count > 0;
  for (const char* form : {"protocol", "streams", "sockets"}) good = measure(form, count) && good;
  return good ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
