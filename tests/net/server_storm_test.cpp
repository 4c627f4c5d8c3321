// SPDX-License-Identifier: MIT
// Servers of the real system under bad treatment: no descriptors left, peers that
// reset. Children have their own limits.
#include "net/net_fixture.hpp"
#include "support/blocking_client.hpp"
#include "support/sanitizers.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace aster::net_tests {
namespace {

using support::close_with_reset;
using support::connect_blocking;
using support::cpu_time;

class ServerStormSlow : public ::testing::TestWithParam<System> {};
INSTANTIATE_TEST_SUITE_P(Systems, ServerStormSlow, ::testing::ValuesIn(real_systems()), name_of);

Coroutine<> echo_lines(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string line = co_await reader.readline();
    if (line.empty()) co_return;
    writer.write(line);
    co_await writer.drain();
  }
}

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

bool says(bool good, const char* what) {
  if (!good) std::fprintf(stderr, "not so: %s\n", what);
  return good;
}

/// In a child with room for few descriptors: more clients than that; those served
/// must stay served, without burning time, and the others come in once there is
/// room. What it gives is the exit status.
int serve_without_descriptors(Backend backend) {
  int ports[2];
  int words[2];
  if (::pipe(ports) != 0 || ::pipe(words) != 0) return 2;
  const pid_t clients = ::fork();
  if (clients == 0) {  // The clients have descriptors enough.
    int port = 0;
    if (::read(ports[0], &port, sizeof port) != sizeof port) ::_exit(2);
    std::vector<int> links;
    for (int i = 0; i < 90; ++i) {
      const int fd = connect_blocking(Address("127.0.0.1", port));
      if (fd >= 0) links.push_back(fd);
    }
    bool good = links.size() == 90;
    const auto echoes = [&](int fd) {
      char byte[2] = {};
      return ::send(fd, "x\n", 2, MSG_NOSIGNAL) == 2 && ::recv(fd, byte, 2, MSG_WAITALL) == 2 &&
             byte[0] == 'x';
    };
    for (int round = 0; round < 20; ++round) {
      for (std::size_t i = 0; i < 10; ++i) good = good && echoes(links[i]);
    }
    // The server now counts its idle time, until told that there is room again.
    ::usleep(1'500'000);
    char word = good ? 'g' : 'b';
    if (::write(words[1], &word, 1) != 1) ::_exit(2);
    for (std::size_t i = 0; i < 60; ++i) ::close(links[i]);
    for (std::size_t i = 60; i < links.size(); ++i) good = good && echoes(links[i]);
    ::_exit(good ? 0 : 1);
  }

  EventLoop loop(LoopOptions{backend, {}});
  int reports = 0;
  loop.set_exception_handler([&](EventLoop&, const ExceptionContext& context) {
    if (context.message == "socket.accept() out of system resource") ++reports;
  });
  Server server = loop.run_until_complete(start_server(echo_lines, "127.0.0.1", 0));
  const rlimit limit{64, 64};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return 2;
  const int port = port_of(server);
  if (::write(ports[1], &port, sizeof port) != sizeof port) return 2;

  Duration idle_cpu{};
  bool held_were_served = false;
  loop.call_later(300ms, [&] { idle_cpu = cpu_time(); });
  loop.call_later(1300ms, [&] { idle_cpu = cpu_time() - idle_cpu; });
  loop.add_reader(words[0], [&] {
    char word = 0;
    held_were_served = ::read(words[0], &word, 1) == 1 && word == 'g';
    loop.remove_reader(words[0]);
    loop.call_later(5s, [&] { loop.stop(); });
  });
  auto watch = loop.create_task([](pid_t child, EventLoop& on) -> Coroutine<int> {
    int status = -1;
    for (int i = 0; i < 4000; ++i) {
      if (::waitpid(child, &status, WNOHANG) == child) break;
      co_await sleep(5ms);
    }
    on.stop();
    co_return status;
  }(clients, loop));
  loop.run_forever();

  bool good = says(watch.done() && watch.result() == 0, "all clients were served");
  good = says(held_were_served, "held connections were served meanwhile") && good;
  good = says(reports >= 1 && reports <= 3, "one report an episode") && good;
  good = says(idle_cpu < 50ms, "no time is burnt while out of descriptors") && good;
  if (!good) std::fprintf(stderr, "reports: %d\n", reports);
  loop.close();
  return good ? 0 : 1;
}

TEST_P(ServerStormSlow, ServesOnWithoutDescriptorsAndRecovers) {  // C9, CON-29
  if (support::has_undefined_sanitizer) {
    GTEST_SKIP() << "this sanitizer needs descriptors of its own";
  }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(serve_without_descriptors(GetParam().backend));

  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_P(ServerStormSlow, ConnectionsResetBeforeTheirAcceptDoNoHarm) {  // C10
  Net net(GetParam());
  Server server = net.run(start_server(
      [](StreamReader reader, StreamWriter writer) -> Coroutine<> {
        auto result = co_await outcome(echo_lines(std::move(reader), std::move(writer)));
        static_cast<void>(result);
      },
      "127.0.0.1", 0));
  const int port = port_of(server);
  constexpr int count = 10000;
  int made = 0;
  for (int i = 0; i < count; ++i) {
    const int fd = connect_blocking(Address("127.0.0.1", port));
    if (fd < 0) continue;
    ++made;
    close_with_reset(fd);
    if (i % 50 == 49) net.turns(3);
  }
  EXPECT_GT(made, count / 2);
  auto ask = [](int to) -> Coroutine<std::string> {
    auto connecting = open_connection("127.0.0.1", to);
    Connection link = co_await std::move(connecting);
    link.writer.write("hello\n");
    std::string line = co_await link.reader.readline();
    co_return line;
  };

  EXPECT_EQ(net.run(aster::wait_for(ask(port), 10s)), "hello\n");
  EXPECT_TRUE(server.is_serving());
  server.close();
  net.run(aster::wait_for(server.wait_closed(), 10s));
}

TEST_P(ServerStormSlow, AnIdleServerWithConnectionsUsesNoTime) {  // C8
  Net net(GetParam());
  auto handler = [](StreamReader, StreamWriter writer) -> Coroutine<> {
    co_await writer.wait_closed();
  };
  Server server = net.run(start_server(handler, "127.0.0.1", 0));
  std::vector<Connection> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(net.run(open_connection("127.0.0.1", port_of(server))));
  }
  // One peer is gone, one stalls, one has ended its half: none may be seen again and again.
  clients[0].writer.abort();
  clients[1].writer.write(std::string(30'000'000, 'x'));
  clients[2].writer.write_eof();
  net.run(sleep(50ms));

  const Duration before = cpu_time();
  net.run(sleep(1s));
  const Duration used = cpu_time() - before;

  EXPECT_LT(used, 50ms);
  clients.clear();
  server.close();
  server.abort_clients();
}

TEST_P(ServerStormSlow, CancelledConnectsTouchNoDescriptorOfOthers) {  // C7
  Net net(GetParam());
  Server server = net.run(start_server([](StreamReader, StreamWriter) {}, "127.0.0.1", 0));
  net.run([](int port) -> Coroutine<> {
    for (int i = 0; i < 2000; ++i) {
      auto connecting = create_task(open_connection("127.0.0.1", port));
      co_await turns(i % 4);
      // Takes the numbers that are closed meanwhile.
      int pipe_ends[2] = {-1, -1};
      const bool made = ::pipe(pipe_ends) == 0;
      connecting.cancel();
      std::string error = co_await error_of(std::move(connecting));
      EXPECT_TRUE(made);
      char byte = 'x';
      EXPECT_EQ(::write(pipe_ends[1], &byte, 1), 1);
      EXPECT_EQ(::read(pipe_ends[0], &byte, 1), 1);
      EXPECT_EQ(::close(pipe_ends[0]), 0);
      EXPECT_EQ(::close(pipe_ends[1]), 0);
    }
  }(port_of(server)));
  server.close();
  net.run(aster::wait_for(server.wait_closed(), 10s));
}

}  // namespace
}  // namespace aster::net_tests
