// SPDX-License-Identifier: MIT
// Servers and the connections they accepted, on every system.
#include "net/net_fixture.hpp"

#include <memory>

namespace aster::net_tests {
namespace {

class ServerClients : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, ServerClients, ::testing::ValuesIn(all_systems()), name_of);

int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

/// A client that has exchanged a byte with its handler.
Coroutine<Connection> greeted(const Server& server) {
  auto connecting = open_connection("127.0.0.1", port_of(server));
  Connection link = co_await std::move(connecting);
  link.writer.write("?");
  co_await link.reader.readexactly(1);
  co_return link;
}

/// Greets, then behaves in one of several ways until its connection ends.
Coroutine<> many_minds(int kind, StreamReader reader, StreamWriter writer) {
  co_await reader.readexactly(1);
  writer.write("!");
  if (kind == 0) {  // Idle.
    co_await reader.read();
  } else if (kind == 1) {  // Busy: always more to send.
    const std::string block(10000, 'x');
    for (;;) {
      writer.write(block);
      co_await writer.drain();
    }
  } else {  // Waits for something else.
    co_await writer.wait_closed();
  }
}

TEST_P(ServerClients, CloseClientsFlushesAndAbortClientsDoesNot) {  // SRV-5, SRV-6, C29
  for (const bool aborts : {false, true}) {
    run([](bool is_abort) -> Coroutine<> {
      auto next_kind = std::make_shared<int>(0);
      auto handler = [next_kind](StreamReader reader, StreamWriter writer) -> Coroutine<> {
        auto result =
            co_await outcome(many_minds((*next_kind)++ % 3, std::move(reader), std::move(writer)));
        static_cast<void>(result);  // A connection that is lost throws.
      };
      auto starting = start_server(handler, "127.0.0.1", 0);
      Server server = co_await std::move(starting);
      std::vector<Connection> clients;
      for (int i = 0; i < 6; ++i) {
        Connection made = co_await greeted(server);
        clients.push_back(std::move(made));
      }
      co_await turns(10);

      if (is_abort) {
        server.abort_clients();
      } else {
        server.close_clients();
      }
      server.close();
      auto ending = create_task(server.wait_closed());
      if (is_abort) {  // Clients that read nothing do not matter.
        co_await aster::wait_for(ending, 10s);
      } else {
        for (Connection& client : clients) {
          auto rest = co_await outcome(client.reader.read());
          static_cast<void>(rest);
        }
        co_await aster::wait_for(ending, 10s);
      }
    }(aborts));
    EXPECT_TRUE(all_tasks(net.loop()).empty() || !net.is_simulated());
    run(sleep(1ms));
  }
}

TEST_P(ServerClients, ClosedClientsStillGetWhatWasWritten) {  // SRV-5
  run([]() -> Coroutine<> {
    const std::string sent = pattern(200'000);
    auto handler = [&sent](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      co_await reader.readexactly(1);
      writer.write("!");
      writer.write(sent);
      co_await writer.wait_closed();
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    Connection client = co_await greeted(server);

    server.close_clients();
    std::string got = co_await client.reader.read();

    EXPECT_TRUE(got == sent);
    server.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(ServerClients, AnErrorOfAHandlerIsReportedAndEndsThatConnectionOnly) {  // ST-2, ERR-27
  net.expected_reports = {"Unhandled exception in client_connected_cb: aster::ValueError: bad"};
  run([]() -> Coroutine<> {
    auto handler = [](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      for (;;) {
        std::string line = co_await reader.readline();
        if (line.empty()) co_return;
        if (line == "fail\n") {
          writer.write("goodbye\n");
          throw ValueError("bad");
        }
        writer.write(line);
      }
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto a = open_connection("127.0.0.1", port_of(server));
    Connection good = co_await std::move(a);
    auto b = open_connection("127.0.0.1", port_of(server));
    Connection bad = co_await std::move(b);

    bad.writer.write("fail\n");
    std::string all = co_await bad.reader.read();
    good.writer.write("fine\n");
    std::string line = co_await good.reader.readline();

    EXPECT_EQ(all, "goodbye\n");  // Closed, not aborted.
    EXPECT_EQ(line, "fine\n");
    EXPECT_TRUE(server.is_serving());
    server.close();
    good.writer.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
  ASSERT_EQ(net.subjects.size(), 1U);
  EXPECT_THAT(net.subjects[0], ::testing::StartsWith("127.0.0.1:"));
}

TEST_P(ServerClients, ACancelledHandlerEndsItsConnectionWithoutAReport) {  // ST-2
  run([]() -> Coroutine<> {
    AnyTask running;
    auto handler = [&running](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      running = current_task();
      co_await reader.readexactly(1);
      writer.write("!");
      co_await reader.read();
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    Connection client = co_await greeted(server);

    running.cancel();
    std::string rest = co_await client.reader.read();

    EXPECT_EQ(rest, "");
    EXPECT_TRUE(running.cancelled());
    server.close();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(ServerClients, ACallbackNeedNotBeACoroutine) {  // ST-2
  net.expected_reports = {"Unhandled exception in client_connected_cb: aster::ValueError: plain"};
  run([]() -> Coroutine<> {
    std::vector<Connection> kept;
    bool fails = false;
    auto callback = [&](StreamReader reader, StreamWriter writer) {
      if (fails) throw ValueError("plain");
      writer.write("hello\n");
      kept.emplace_back(std::move(reader), std::move(writer));
    };
    auto starting = start_server(callback, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto a = open_connection("127.0.0.1", port_of(server));
    Connection client = co_await std::move(a);
    std::string line = co_await client.reader.readline();
    EXPECT_EQ(line, "hello\n");

    kept.at(0).writer.write("still open\n");
    line = co_await client.reader.readline();
    EXPECT_EQ(line, "still open\n");

    fails = true;
    auto b = open_connection("127.0.0.1", port_of(server));
    Connection other = co_await std::move(b);
    std::string end = co_await other.reader.read();
    EXPECT_EQ(end, "");
    server.close();
    kept.clear();
    co_await aster::wait_for(server.wait_closed(), 10s);
  }());
}

TEST_P(ServerClients, AHandlerMayMoveItsConnectionAway) {  // ST-2
  run([]() -> Coroutine<> {
    std::vector<Connection> kept;
    auto handler = [&kept](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      kept.emplace_back(std::move(reader), std::move(writer));
      co_return;
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    auto a = open_connection("127.0.0.1", port_of(server));
    Connection client = co_await std::move(a);
    while (kept.empty()) co_await sleep(1ms);

    kept.at(0).writer.write("after its end\n");
    std::string line = co_await client.reader.readline();

    EXPECT_EQ(line, "after its end\n");
    server.close();
  }());
}

TEST_P(ServerClients, TheCallableLivesUntilItsLastHandlerHasEnded) {  // Ground rule: ownership.
  run([]() -> Coroutine<> {
    auto token = std::make_shared<std::string>("alive");
    const std::weak_ptr<std::string> watch = token;
    int port = 0;
    {
      auto handler = [token = std::move(token)](StreamReader reader,
                                                StreamWriter writer) -> Coroutine<> {
        for (;;) {
          std::string line = co_await reader.readline();
          if (line.empty()) co_return;
          writer.write(*token + "\n");
        }
      };
      auto starting = start_server(std::move(handler), "127.0.0.1", 0);
      Server server = co_await std::move(starting);
      port = port_of(server);
      auto connecting = open_connection("127.0.0.1", port);
      Connection client = co_await std::move(connecting);
      client.writer.write("?\n");
      std::string line = co_await client.reader.readline();
      EXPECT_EQ(line, "alive\n");
      server.close();

      co_await turns(5);
      EXPECT_FALSE(watch.expired());
      client.writer.write("?\n");
      line = co_await client.reader.readline();
      EXPECT_EQ(line, "alive\n");
      client.writer.close();
      co_await aster::wait_for(server.wait_closed(), 10s);
    }

    for (int i = 0; i < 100 && !watch.expired(); ++i) co_await sleep(1ms);
    EXPECT_TRUE(watch.expired());
  }());
}

TEST_P(ServerClients, AHandlerMayCloseItsOwnServer) {
  run([]() -> Coroutine<> {
    std::vector<Server> held;
    auto handler = [&held](StreamReader reader, StreamWriter writer) -> Coroutine<> {
      co_await reader.readexactly(1);
      writer.write("!");
      Server mine = held.front();
      held.clear();
      mine.close();
      mine.close_clients();
      co_await mine.wait_closed();
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    held.push_back(server);
    Connection client = co_await greeted(server);

    co_await aster::wait_for(server.wait_closed(), 10s);
    std::string rest = co_await client.reader.read();

    EXPECT_EQ(rest, "");
  }());
}

TEST_P(ServerClients, EagerHandlersMayCloseTheServerInTheirFirstStep) {
  net.loop().set_task_factory(eager_task_factory);
  run([]() -> Coroutine<> {
    std::vector<Server> held;
    int calls = 0;
    auto handler = [&](StreamReader, StreamWriter) -> Coroutine<> {
      ++calls;
      held.front().close();
      held.front().abort_clients();
      co_return;
    };
    auto starting = start_server(handler, "127.0.0.1", 0);
    Server server = co_await std::move(starting);
    held.push_back(server);
    std::vector<Task<std::string>> clients;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(create_task(error_of(open_connection("127.0.0.1", port_of(server)))));
    }

    co_await aster::wait_for(server.wait_closed(), 10s);
    for (auto& client : clients) co_await client;

    EXPECT_GE(calls, 1);
  }());
}

TEST_P(ServerClients, ABaseErrorOfAnEagerHandlerLosesNoOtherConnection) {
  class Stop : public BaseError {
   public:
    Stop() : BaseError("stop") {}
  };
  net.loop().set_task_factory(eager_task_factory);
  int calls = 0;
  auto handler = [&](StreamReader, StreamWriter writer) -> Coroutine<> {
    if (++calls == 1) throw Stop();
    writer.write("hello\n");
    co_return;
  };
  Server server = run(start_server(handler, "127.0.0.1", 0));
  std::vector<Task<std::string>> lines;
  for (int i = 0; i < 4; ++i) {
    lines.push_back(net.loop().create_task([](int port) -> Coroutine<std::string> {
      auto connecting = open_connection("127.0.0.1", port);
      Connection link = co_await std::move(connecting);
      std::string line = co_await link.reader.readline();
      co_return line;
    }(port_of(server))));
  }

  EXPECT_THROW(net.loop().run_forever(), Stop);
  std::size_t hellos = 0;
  for (auto& line : lines) hellos += run(line) == "hello\n" ? 1U : 0U;

  EXPECT_EQ(hellos, 3U);
  EXPECT_EQ(calls, 4);
  server.close();
}

}  // namespace
}  // namespace aster::net_tests
