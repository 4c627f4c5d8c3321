// SPDX-License-Identifier: MIT
//
// Scenarios of protocols; network_protocols.py runs the same ones on CPython. Their
// turns are not counted: how many the network takes is its own affair.
#include <aster/net/endpoint.hpp>
#include <aster/net/protocol.hpp>
#include <aster/net/server.hpp>

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include "conformance/scenario.hpp"
#include "support/socket_pair.hpp"

namespace aster::conformance {
namespace {

class NetworkProtocols : public Scenario {
 public:
  NetworkProtocols() {
    mark_turns = false;
    stage_.waits = true;
  }

  // Notes what it is told, each with the name it was given.
  class Noting : public Protocol {
   public:
    Noting(NetworkProtocols& test, std::string given)
        : test_(test), name_(std::move(given)), lost(test.loop->create_future<std::string>()) {}
    void connection_made(Transport& made) override {
      transport = &made;
      // Which end is first is the network's affair.
      if (name_ == "client") test_.note("client:made");
    }
    void data_received(std::string_view data) override { note(std::string(data)); }
    bool eof_received() override {
      note("eof");
      return false;
    }
    void connection_lost(std::exception_ptr error) override {
      note("lost");
      lost.set_result(error == nullptr ? "None" : describe(error));
    }
    void note(const std::string& event) { test_.note(name_ + ":" + event); }

    Transport* transport = nullptr;

   private:
    NetworkProtocols& test_;
    std::string name_;

   public:
    Future<std::string> lost;
  };

  class Greeter final : public Noting {
   public:
    using Noting::Noting;
    void connection_made(Transport& made) override {
      Noting::connection_made(made);
      made.write("hello");
    }
  };

  class Closer final : public Noting {
   public:
    using Noting::Noting;
    void data_received(std::string_view data) override {
      Noting::data_received(data);
      transport->close();
      note("close_returned");
    }
  };

  // The protocols of a client and of its server's end, and the server.
  struct Pair {
    Pair() = default;
    std::shared_ptr<Noting> client;
    std::shared_ptr<Noting> served;
    std::optional<Server> server;
  };
  template <class ServerKind, class ClientKind>
  Coroutine<> connect(Pair* pair) {
    auto serve = [this, pair] {
      auto made = std::make_shared<ServerKind>(*this, "server");
      pair->served = made;
      return made;
    };
    auto call = [this, pair] {
      auto made = std::make_shared<ClientKind>(*this, "client");
      pair->client = made;
      return made;
    };
    pair->server = co_await loop->create_server(serve, "127.0.0.1", 0);
    const int port = pair->server->sockets().front().getsockname().port();
    co_await loop->create_connection(call, "127.0.0.1", port);
    note("caller");
  }
  Coroutine<> end(Pair* pair) {
    pair->server->close();
    co_await pair->server->wait_closed();
  }
};
ASTER_CONFORMANCE(NetworkProtocols);

TEST_P(NetworkProtocols, TheCallerGoesOnBetweenConnectionMadeAndTheFirstBytes) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect<Greeter, Closer>(&pair);
    co_await pair.client->lost;
    co_await end(&pair);
  };
  run(main());

  finish("ORD-26 protocol");  // CON-2
}

TEST_P(NetworkProtocols, BytesThatWereThereBeforeTheTransportWaitForTheCaller) {
  if (GetParam() == Kind::sim) GTEST_SKIP() << "a pair of sockets of the system";
  auto main = [this]() -> Coroutine<> {
    support::SocketPair sockets;
    EXPECT_EQ(::send(sockets.peer, "early", 5, 0), 5);
    auto call = [this] { return std::make_shared<Noting>(*this, "client"); };
    Socket ours = Socket::adopt(std::exchange(sockets.ours, -1));
    auto client = co_await loop->create_connection(call, std::move(ours));
    note("caller");
    sockets.close_peer();
    const std::string error = co_await client.protocol().lost;
    note("error:" + error);
  };
  run(main());

  finish("ORD-26 waiting_data");  // CON-2
}

TEST_P(NetworkProtocols, CloseInsideDataReceivedReturnsBeforeTheConnectionIsLost) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect<Closer, Noting>(&pair);
    pair.client->transport->write("bye");
    co_await pair.client->lost;
    co_await end(&pair);
  };
  run(main());

  finish("ORD-27 protocol");
}

TEST_P(NetworkProtocols, WhatWasWrittenBeforeCloseArrives) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect<Noting, Noting>(&pair);
    pair.client->transport->write("one_");
    pair.client->transport->write("two");
    pair.client->transport->close();
    const std::string error = co_await pair.client->lost;
    note("error:" + error);
    co_await pair.served->lost;
    co_await end(&pair);
  };
  run(main());

  finish("ORD-28 protocol");
}

TEST_P(NetworkProtocols, AnEndOfTheStreamThatIsNotKeptClosesInALaterCallback) {
  auto main = [this]() -> Coroutine<> {
    Pair pair;
    co_await connect<Noting, Noting>(&pair);
    pair.client->transport->write_eof();
    const std::string error = co_await pair.served->lost;
    note("error:" + error);
    co_await pair.client->lost;
    co_await end(&pair);
  };
  run(main());

  finish("ORD-30 protocol");
}

}  // namespace
}  // namespace aster::conformance
