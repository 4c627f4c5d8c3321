// SPDX-License-Identifier: MIT
// What accept may say, and that none of it ends a server.
#include "net/net_fixture.hpp"

#include <aster/testing/faults.hpp>

#include <cerrno>
#include <optional>

namespace aster::net_tests {
namespace {

Coroutine<> echo_lines(StreamReader reader, StreamWriter writer) {
  for (;;) {
    std::string line = co_await reader.readline();
    if (line.empty()) co_return;
    writer.write(line);
  }
}

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

Coroutine<Connection> connect_to(int port) {
  auto connecting = open_connection("127.0.0.1", port);
  Connection link = co_await std::move(connecting);
  co_return link;
}

Coroutine<std::string> ask(Connection& link, std::string question) {
  link.writer.write(question);
  std::string answer = co_await link.reader.readline();
  co_return answer;
}

const std::vector<int> transient_errors{
    ECONNABORTED, EPROTO,      ENETDOWN,   EPERM,     EINTR,      ENOPROTOOPT, EHOSTDOWN,
    EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP, ETIMEDOUT, ECONNRESET, ENONET};
const std::vector<int> shortages{EMFILE, ENFILE, ENOBUFS, ENOMEM};

TEST(ServerErrors, NoTransientErrorEndsAServer) {  // C10, CON-28
  for (const System& system : simulated_systems()) {
    for (const int error : transient_errors) {
      Net net(system);
      net.run([](Net& on, int number) -> Coroutine<> {
        auto starting = start_server(echo_lines, "127.0.0.1", 0);
        Server server = co_await std::move(starting);
        on.sim().fail_next(SimCall::accept, number, 100);
        std::vector<Connection> lost;
        if (number == ECONNABORTED) {  // Each takes a connection away.
          for (int i = 0; i < 100; ++i) {
            auto made = co_await outcome(connect_to(port_of(server)));
            if (made.has_value()) lost.push_back(std::move(made.value()));
          }
        }
        Connection link = co_await connect_to(port_of(server));

        std::string answer = co_await aster::wait_for(ask(link, "hello\n"), 10s);

        EXPECT_EQ(answer, "hello\n") << "error " << number;
        EXPECT_TRUE(server.is_serving());
        server.close();
      }(net, error));
      EXPECT_EQ(net.reports, std::vector<std::string>{});
    }
  }
}

TEST(ServerErrors, AShortageIsReportedOnceAnEpisodeAndPausesAcceptingForASecond) {  // CON-29, C9
  for (const int error : shortages) {
    Net net;
    SimLoop& loop = net.sim_loop();
    Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
    const int port = port_of(server);
    auto held = std::make_unique<Connection>(net.run(connect_to(port)));
    EXPECT_EQ(net.run(ask(*held, "a\n")), "a\n");

    // Three seconds without resources.
    net.sim().fail_next(SimCall::accept, error, 3);
    const TimePoint start = loop.time();
    auto waiting = loop.create_task([](int to) -> Coroutine<std::string> {
      Connection link = co_await connect_to(to);
      std::string answer = co_await ask(link, "b\n");
      co_return answer;
    }(port));
    loop.run_until_idle();
    EXPECT_EQ(net.reports.size(), 1U);
    EXPECT_FALSE(waiting.done());
    EXPECT_EQ(net.run(ask(*held, "c\n")), "c\n");  // Others are served meanwhile.
    EXPECT_EQ(net.run(waiting), "b\n");            // Recovers by itself.

    EXPECT_EQ(loop.time() - start, 3s);
    const std::string text = "socket.accept() out of system resource: " +
                             describe(detail::system_error_ptr(error, "accept"));
    EXPECT_EQ(net.reports, std::vector<std::string>{text});
    EXPECT_EQ(net.subjects.at(0), "127.0.0.1:" + std::to_string(port));

    // The next episode is reported anew.
    net.sim().fail_next(SimCall::accept, error, 1);
    auto again = std::make_unique<Connection>(net.run(connect_to(port)));
    EXPECT_EQ(net.run(ask(*again, "d\n")), "d\n");
    EXPECT_EQ(net.reports.size(), 2U);
    net.expected_reports = {text, text};
    held.reset();
    again.reset();
    server.close();
    net.run(aster::wait_for(server.wait_closed(), 10s));
  }
}

TEST(ServerErrors, WhilePausedNothingRuns) {  // C8, C9
  Net net;
  SimLoop& loop = net.sim_loop();
  Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
  net.sim().fail_next(SimCall::accept, EMFILE, 1000);
  Connection link = net.run(connect_to(port_of(server)));
  loop.run_until_idle();

  const std::uint64_t before = net.sim().ledger().operations_submitted;
  loop.advance(100s);
  const std::uint64_t tries = net.sim().ledger().operations_submitted - before;

  EXPECT_LE(tries, 101U);
  EXPECT_GE(tries, 99U);
  EXPECT_EQ(net.reports.size(), 1U);
  net.expected_reports = net.reports;
  server.close();
}

TEST(ServerErrors, AnUnknownErrorIsReportedAndTriedAgain) {
  Net net;
  Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
  net.sim().fail_next(SimCall::accept, EIO, 2);
  Connection link = net.run(connect_to(port_of(server)));

  EXPECT_EQ(net.run(ask(link, "x\n")), "x\n");

  net.expected_reports = {"socket.accept() failed; listening pauses: " +
                          describe(detail::system_error_ptr(EIO, "accept"))};
  server.close();
}

TEST(ServerErrors, CloseWhilePausedLeavesNoTimerBehind) {
  Net net;
  SimLoop& loop = net.sim_loop();
  Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
  net.sim().fail_next(SimCall::accept, EMFILE, 1);
  Connection link = net.run(connect_to(port_of(server)));
  loop.run_until_idle();

  server.close();
  loop.advance(10s);

  EXPECT_EQ(loop.backend_timeout(), Duration::max());
  net.expected_reports = net.reports;
  EXPECT_EQ(net.reports.size(), 1U);
}

// The retry is then in the batch that runs: it must be taken out of that too.
TEST(ServerErrors, GoingInTheTurnInWhichTheRetryIsDue) {
  Net net;
  SimLoop& loop = net.sim_loop();
  std::optional<Server> server(net.run(start_server(echo_lines, "127.0.0.1", 0)));
  net.sim().fail_next(SimCall::accept, EMFILE, 1);
  Connection link = net.run(connect_to(port_of(*server)));
  loop.run_until_idle();

  loop.call_soon([&] {  // Before the timer, in the same turn.
    server->close();
    server.reset();
  });
  net.sim().advance(1s);
  loop.run_once(Duration::zero());

  EXPECT_EQ(loop.backend_timeout(), Duration::max());
  net.expected_reports = net.reports;
  EXPECT_EQ(net.reports.size(), 1U);
}

TEST(ServerErrors, AShortageBeforeTheReportIsToldOfCloses) {
  Net net;
  SimLoop& loop = net.sim_loop();
  Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
  net.sim().fail_next(SimCall::accept, EMFILE, 1);
  auto connecting = loop.create_task(connect_to(port_of(server)));
  while (!connecting.done()) loop.run_once(Duration::zero());

  server.close();  // Its report may be queued still; it has no socket to name.
  loop.run_until_idle();

  EXPECT_LE(net.reports.size(), 1U);
  net.expected_reports = net.reports;
  EXPECT_TRUE(connecting.done());
  static_cast<void>(net.run(error_of(std::move(connecting))));
}

TEST(ServerErrors, AnExceptionHandlerThatThrowsDoesNotStopAccepting) {
  Net net;
  net.loop().set_exception_handler(
      [](EventLoop&, const ExceptionContext&) { throw ValueError("handler"); });
  const Logged logged;
  Server server = net.run(start_server(echo_lines, "127.0.0.1", 0));
  net.sim().fail_next(SimCall::accept, EMFILE, 1);
  Connection link = net.run(connect_to(port_of(server)));

  EXPECT_EQ(net.run(ask(link, "x\n")), "x\n");

  server.close();
}

class ServerErrorsReal : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, ServerErrorsReal, ::testing::ValuesIn(real_systems()), name_of);

TEST_P(ServerErrorsReal, NoTransientErrorEndsAServer) {  // C10
  testing::Faults faults;
  run([](testing::Faults& script) -> Coroutine<> {
    auto starting = start_server(echo_lines, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    for (const int error : transient_errors) {
      script.fail(testing::SysCall::accept, {.times = 100, .error = error});
      Connection link = co_await connect_to(port_of(server));
      std::string answer = co_await aster::wait_for(ask(link, "hello\n"), 10s);
      EXPECT_EQ(answer, "hello\n") << "error " << error;
      EXPECT_TRUE(server.is_serving());
    }
    server.close();
  }(faults));
  EXPECT_EQ(faults.injected_count(), transient_errors.size() * 100);
}

TEST_P(ServerErrorsReal, ShortWritesAndOptionsThatFailDoNoHarm) {
  testing::Faults faults;
  faults.fail(testing::SysCall::getpeername, {.times = testing::always, .error = ENOTCONN});
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();  // As when the peer has reset already.
    EXPECT_FALSE(pair.client.writer.peername().has_value());
    EXPECT_TRUE(pair.client.writer.sockname().has_value());
    EXPECT_TRUE(pair.server.writer.peername().has_value());  // Told by accept.
    pair.client.writer.write("x\n");
    std::string line = co_await pair.server.reader.readline();
    EXPECT_EQ(line, "x\n");
  }());
}

}  // namespace
}  // namespace aster::net_tests
