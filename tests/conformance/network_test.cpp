// SPDX-License-Identifier: MIT
//
// Scenarios over TCP; network_streams.py runs the same ones on CPython. Their turns
// are not counted: how many the network takes is its own affair.
#include <aster/loop/sleep.hpp>
#include <aster/net/server.hpp>
#include <aster/net/streams.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "conformance/scenario.hpp"

namespace aster::conformance {
namespace {

using namespace std::chrono_literals;

class Network : public Scenario {
 public:
  Network() {
    mark_turns = false;
    stage_.waits = true;
  }

  Coroutine<> pausing(int turns) {
    for (int i = 0; i < turns; ++i) co_await sleep(0s);
  }
  template <class A>
  Coroutine<> waiter(std::string name, A awaitable) {
    co_await noted(std::move(name), std::move(awaitable));
    note("count:" + std::to_string(current_task().cancelling()));
  }
  template <class A>
  Coroutine<> cancelled_while(A awaitable, std::string name) {
    Task<> task = create_task(waiter(std::move(name), std::move(awaitable)));
    co_await pausing(3);
    note("cancel");
    task.cancel();
    co_await task;
  }

  static int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

  // A client, its server's end, and the server.
  struct Pair {
    Pair() = default;
    std::optional<Connection> client;
    std::optional<Connection> served;
    std::optional<Server> server;
  };
  Coroutine<> connect(Pair* pair) {
    Future<> accepted = loop->create_future<>();
    auto serve = [pair, accepted](StreamReader reader, StreamWriter writer) mutable {
      pair->served.emplace(std::move(reader), std::move(writer));
      accepted.set_result();
    };
    pair->server = co_await start_server(serve, "127.0.0.1", 0);
    pair->client = co_await open_connection("127.0.0.1", port_of(*pair->server));
    co_await accepted;
  }
  Coroutine<> disconnect(Pair* pair) {
    pair->client->writer.abort();
    pair->served->writer.abort();
    pair->server->close();
    co_await pair->server->wait_closed();
  }
  // Writes until the system takes no more, and some; how much that was.
  static std::size_t overfill(StreamWriter& writer) {
    const std::string block(1'000'000, 'x');
    std::size_t size = 0;
    do {
      writer.write(block);
      size += block.size();
    } while (writer.get_write_buffer_size() == 0);
    writer.write(block);
    return size + block.size();
  }
};
ASTER_CONFORMANCE(Network);

TEST_P(Network, ACancelledReadConsumesNothing) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    co_await cancelled_while(pair.client->reader.readline(), "await");
    pair.served->writer.write("line\n");
    const std::string line = co_await pair.client->reader.readline();
    note(line.substr(0, line.size() - 1));
    co_await disconnect(&pair);
  };
  run(main());

  finish("CAN-16 network");
}

TEST_P(Network, ACancelledDrainLeavesTheConnectionAlone) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    StreamWriter& writer = pair.served->writer;
    const std::size_t size = overfill(writer);
    co_await cancelled_while(writer.drain(), "drain");
    note(writer.is_closing() ? "closing:true" : "closing:false");
    co_await pair.client->reader.readexactly(size);
    co_await writer.drain();
    note("drained");
    co_await disconnect(&pair);
  };
  run(main());

  finish("CAN-17");
}

TEST_P(Network, ACancelledWaitClosedLeavesOtherWaitersAlone) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    StreamWriter& writer = pair.served->writer;
    overfill(writer);
    writer.close();
    co_await cancelled_while(writer.wait_closed(), "wait_closed");
    writer.abort();
    co_await noted("wait_closed_again", writer.wait_closed());
    co_await disconnect(&pair);
  };
  run(main());

  // CPython cancels the future that all waiters share.
  finish_differently("CAN-17 wait_closed",
                     "cancel wait_closed:cancelled count:1 wait_closed_again");
}

TEST_P(Network, ACancelledServeForeverClosesTheServerAndItsConnections) {
  auto main = [this]() -> Coroutine<> {
    Future<> held = loop->create_future<>();
    auto serve = [this, held](StreamReader reader, StreamWriter writer) mutable -> Coroutine<> {
      held.set_result();
      co_await reader.read();
      note("handler:ended");
      writer.close();
    };
    Server server = co_await start_server(serve, "127.0.0.1", 0);
    Connection client = co_await open_connection("127.0.0.1", port_of(server));
    co_await held;
    Task<> serving = create_task(noted("serve_forever", server.serve_forever()));
    co_await pausing(3);
    note("cancel");
    serving.cancel();
    co_await pausing(5);
    note(server.is_serving() ? "serving:true" : "serving:false");
    note("task:" + outcome_of(serving));
    client.writer.close();
    co_await serving;
  };
  run(main());

  // CPython 3.13.0 waits for connections that need never end; later releases close
  // them, as aster does.
  finish_differently("CAN-19",
                     "cancel handler:ended serve_forever:cancelled serving:false task:done");
}

TEST_P(Network, ACancelledConnectClosesItsSocket) {
  auto main = [this]() -> Coroutine<> {
    auto serve = [this](StreamReader, StreamWriter) { note("accepted"); };
    Server server = co_await start_server(serve, "127.0.0.1", 0, {.start_serving = false});
    auto opening = [this, port = port_of(server)]() -> Coroutine<> {
      co_await noted("open_connection", open_connection("127.0.0.1", port));
    };
    Task<> task = create_task(opening());
    co_await sleep(0s);
    note("cancel");
    task.cancel();
    co_await task;
    server.close();
  };
  run(main());

  finish("CAN-20");
}

TEST_P(Network, AConnectionIsThereWhenItsCallerGoesOn) {
  auto main = [this]() -> Coroutine<> {
    auto serve = [](StreamReader, StreamWriter writer) {
      writer.write("hello\n");
      writer.close();
    };
    Server server = co_await start_server(serve, "127.0.0.1", 0);
    Connection client = co_await open_connection("127.0.0.1", port_of(server));
    note(client.writer.peername().has_value() ? "connected:true" : "connected:false");
    const std::string line = co_await client.reader.readline();
    note(line.substr(0, line.size() - 1));
    client.writer.close();
    server.close();
    co_await server.wait_closed();
  };
  run(main());

  finish("ORD-26");
}

TEST_P(Network, CloseReturnsBeforeTheConnectionIsLost) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    StreamWriter& writer = pair.served->writer;
    Task<> waiting = create_task(noted("closed", writer.wait_closed()));
    co_await sleep(0s);
    writer.close();
    note("close_returned");
    note(writer.is_closing() ? "closing:true" : "closing:false");
    co_await waiting;
    const std::string rest = co_await pair.client->reader.read();
    note("read:" + rest);
    co_await disconnect(&pair);
  };
  run(main());

  finish("ORD-27");
}

TEST_P(Network, WhatWasWrittenBeforeCloseArrives) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    StreamWriter& writer = pair.served->writer;
    writer.write("one_");
    writer.write("two");
    writer.close();
    co_await noted("closed", writer.wait_closed());
    const std::string text = co_await pair.client->reader.read();
    note("read:" + text);
    note(pair.client->reader.at_eof() ? "eof:true" : "eof:false");
    co_await disconnect(&pair);
  };
  run(main());

  finish("ORD-28");
}

TEST_P(Network, DrainWaitsAboveTheHighMark) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    StreamWriter& writer = pair.served->writer;
    const std::size_t size = overfill(writer);
    Task<> draining = create_task(noted("drained", writer.drain()));
    co_await pausing(3);
    note("draining:" + outcome_of(draining));
    const std::string all = co_await pair.client->reader.readexactly(size);
    co_await draining;
    note(all.size() == size ? "all:true" : "all:false");
    co_await disconnect(&pair);
  };
  run(main());

  finish("ORD-29");
}

TEST_P(Network, TheEndOfOneDirectionLeavesTheOtherOpen) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect(&pair);
    pair.client->writer.write_eof();
    const std::string nothing = co_await pair.served->reader.read();
    note("server_read:" + nothing);
    note(pair.served->reader.at_eof() ? "server_eof:true" : "server_eof:false");
    pair.served->writer.write("answer");
    pair.served->writer.close();
    const std::string answer = co_await pair.client->reader.read();
    note("client_read:" + answer);
    co_await noted("closed", pair.served->writer.wait_closed());
    co_await disconnect(&pair);
  };
  run(main());

  finish("ORD-30");  // ST-20
}

}  // namespace
}  // namespace aster::conformance
