// SPDX-License-Identifier: MIT
// A loop that is closed while connections, servers and their handlers live, and
// handles that outlive it, on every system.
#include "net/net_fixture.hpp"

#include <memory>
#include <optional>

namespace aster::net_tests {
namespace {

class LoopClose : public NetTest {
 protected:
  LoopClose() { net.settles = false; }

  /// Closes the loop; so many tasks are still there to be reported.
  void close(std::size_t pending_tasks) {
    for (std::size_t i = 0; i < pending_tasks; ++i) {
      net.expected_reports.emplace_back("Task was destroyed but it is pending!");
    }
    net.close();
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, LoopClose, ::testing::ValuesIn(all_systems()), name_of);

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

Coroutine<> wait_for_the_end(StreamReader reader, StreamWriter writer) {
  writer.write("hello\n");
  co_await reader.read();
}

TEST_P(LoopClose, EndsConnectionsInEveryState) {
  Pair idle = run(connected_pair());
  Pair reading = run(connected_pair());
  Pair reading_into = run(connected_pair());
  Pair stalled = run(connected_pair());
  Pair closing = run(connected_pair());
  Pair aborted = run(connected_pair());
  std::string target(10, '\0');
  auto read = net.loop().create_task(error_of(reading.client.reader.readline()));
  auto into = net.loop().create_task(error_of(reading_into.client.reader.read_into(target)));
  stalled.client.writer.write(std::string(30'000'000, 'x'));
  auto drain = net.loop().create_task(error_of(stalled.client.writer.drain()));
  auto closed = net.loop().create_task(error_of(idle.client.writer.wait_closed()));
  net.turns(3);
  closing.client.writer.write(std::string(30'000'000, 'x'));
  closing.client.writer.close();
  aborted.client.writer.abort();

  close(4);

  EXPECT_TRUE(read.cancelled());
  EXPECT_TRUE(into.cancelled());
  EXPECT_TRUE(drain.cancelled());
  EXPECT_TRUE(closed.cancelled());
  for (Pair* pair : {&idle, &reading, &reading_into, &stalled, &closing, &aborted}) {
    EXPECT_TRUE(pair->client.writer.is_closing());
    EXPECT_TRUE(pair->client.reader.at_eof());
    pair->client.writer.write("ignored");
    pair->client.writer.write_eof();
    pair->client.writer.close();
    pair->client.writer.abort();
    EXPECT_EQ(pair->client.writer.get_write_buffer_size(), 0U);
    EXPECT_TRUE(pair->client.writer.peername().has_value());
    EXPECT_EQ(pair->client.writer.socket().fileno(), -1);
  }
}

TEST_P(LoopClose, EndsServersAndTheirHandlers) {
  auto token = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = token;
  std::optional<Server> server;
  server.emplace(run(start_server(
      [token = std::move(token)](StreamReader reader, StreamWriter writer) {
        return wait_for_the_end(std::move(reader), std::move(writer));
      },
      "127.0.0.1", 0)));
  std::vector<Connection> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(run(open_connection("127.0.0.1", port_of(*server))));
    EXPECT_EQ(run(clients.back().reader.readline()), "hello\n");
  }
  auto serving = net.loop().create_task(server->serve_forever());
  auto waiting = net.loop().create_task(server->wait_closed());
  net.turns(3);

  close(7);

  EXPECT_FALSE(server->is_serving());
  EXPECT_TRUE(server->sockets().empty());
  server->close();
  server->close_clients();
  server->abort_clients();
  EXPECT_THROW(static_cast<void>(server->get_loop()), RuntimeError);
  EXPECT_TRUE(serving.cancelled());
  server.reset();
  EXPECT_TRUE(watch.expired());
}

TEST_P(LoopClose, EndsConnectionsWhoseHandlersHaveNotStarted) {
  std::vector<Connection> clients;
  Server server = run(start_server(wait_for_the_end, "127.0.0.1", 0));
  const int port = port_of(server);
  auto connecting = net.loop().create_task([](int to) -> Coroutine<> {
    auto opening = open_connection("127.0.0.1", to);
    Connection link = co_await std::move(opening);
    co_await link.reader.read();
  }(port));
  // Stops wherever it may be between the connect and the handler's first step.
  for (int i = 0; i < 3; ++i) net.loop().run_once(Duration::zero());

  const std::size_t tasks = all_tasks(net.loop()).size();
  close(tasks);

  EXPECT_GE(tasks, 1U);
}

TEST_P(LoopClose, EndsWhereverAConversationIs) {
  for (int turns = 0; turns < 25; ++turns) {
    Net each(GetParam());
    each.settles = false;
    auto talk = []() -> Coroutine<> {
      auto handler = [](StreamReader reader, StreamWriter writer) -> Coroutine<> {
        std::string line = co_await reader.readline();
        writer.write(line);
        co_await writer.drain();
        writer.close();
        co_await writer.wait_closed();
      };
      auto starting = start_server(handler, "127.0.0.1", 0);
      Server server = co_await std::move(starting);
      auto opening = open_connection("127.0.0.1", port_of(server));
      Connection link = co_await std::move(opening);
      link.writer.write("hello\n");
      co_await link.reader.read();
      link.writer.close();
      co_await link.writer.wait_closed();
      server.close();
      co_await server.wait_closed();
    };
    auto task = each.loop().create_task(talk());
    for (int i = 0; i < turns; ++i) {
      if (each.is_simulated()) each.sim().advance(1ms);
      each.loop().run_once(Duration::zero());
    }
    for (std::size_t left = all_tasks(each.loop()).size(); left > 0; --left) {
      each.expected_reports.emplace_back("Task was destroyed but it is pending!");
    }
    each.close();
  }
  close(0);
}

TEST_P(LoopClose, AConnectUnderWayIsTakenBack) {
  if (net.is_simulated()) net.sim().add_black_hole(Address("10.0.0.9", 0));
  auto connecting = net.loop().create_task(
      error_of(open_connection(net.is_simulated() ? "10.0.0.9" : "127.0.0.1", 9)));
  net.turns(1);

  close(connecting.done() ? 0 : 1);
}

TEST_P(LoopClose, WritersHeldByAServersCallableAreNoTrap) {
  auto kept = std::make_shared<std::vector<Connection>>();
  {
    auto held = kept;
    Server server = run(start_server(
        [held](StreamReader reader, StreamWriter writer) {
          held->emplace_back(std::move(reader), std::move(writer));
        },
        "127.0.0.1", 0));
    for (int i = 0; i < 3; ++i) {
      Connection client = run(open_connection("127.0.0.1", port_of(server)));
      for (int tries = 0; kept->size() <= static_cast<std::size_t>(i) && tries < 1000; ++tries) {
        run(sleep(1ms));
      }
    }
    kept->push_back(run(open_connection("127.0.0.1", port_of(server))));
    run(sleep(1ms));
  }
  const std::weak_ptr<std::vector<Connection>> watch = kept;
  kept.reset();  // Now the callable alone holds them: they go while the loop closes.

  close(0);

  EXPECT_TRUE(watch.expired());
}

TEST_P(LoopClose, HandlesMayOutliveTheLoopItself) {
  std::optional<Pair> pair(run(connected_pair()));
  std::optional<Server> server(run(start_server(wait_for_the_end, "127.0.0.1", 0)));
  auto pending_read = pair->client.reader.readline();
  auto pending_drain = pair->client.writer.drain();
  auto pending_wait = server->wait_closed();

  close(0);

  Server copy = *server;
  server.reset();
  StreamReader reader = pair->client.reader;
  pair.reset();
  EXPECT_TRUE(reader.at_eof());
  copy.close();
}

TEST(LoopCloseSim, ClosingAClosedLoopsServerIsNothing) {
  std::optional<Server> server;
  {
    SimLoop loop;
    server.emplace(loop.run_until_complete(start_server(wait_for_the_end, "127.0.0.1", 0)));
    loop.close();
    EXPECT_EQ(&server->get_loop(), &loop);
    server->close();
  }
  server->close();
}

}  // namespace
}  // namespace aster::net_tests
