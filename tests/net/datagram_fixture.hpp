// SPDX-License-Identifier: MIT
#pragma once

#include "net/net_fixture.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace aster::net_tests {

/// Writes down what it is called with, one word each, and checks the order.
struct DatagramRecorder : DatagramProtocol {
  void connection_made(DatagramTransport& made) override {
    EXPECT_EQ(transport, nullptr);
    transport = &made;
    note("made");
    if (on_made) on_made();
  }
  void datagram_received(std::string_view data, const Address& from) override {
    EXPECT_FALSE(lost);
    EXPECT_FALSE(in_call);
    note("got:" + std::string(data));
    last_from = from;
    if (on_datagram) on_datagram(data, from);
  }
  void error_received(std::exception_ptr error) override {
    EXPECT_FALSE(lost);
    EXPECT_FALSE(in_call);
    errors.push_back(describe(error));
    note("error");
    if (on_error) on_error();
  }
  void pause_writing() override {
    EXPECT_FALSE(in_call);
    note("pause");
  }
  void resume_writing() override {
    EXPECT_FALSE(in_call);
    note("resume");
  }
  void connection_lost(std::exception_ptr error) override {
    EXPECT_FALSE(lost);
    EXPECT_FALSE(in_call);
    lost = true;
    note(error == nullptr ? "lost" : "lost:" + describe(error));
    if (on_lost) on_lost();
  }

  void note(std::string word) {
    log.push_back(std::move(word));
    if (waiter && log.size() >= wanted && !waiter.done()) waiter.set_result();
  }
  /// Waits until there are `count` words in the log.
  Coroutine<> words(std::size_t count) {
    wanted = count;
    if (log.size() >= count) co_return;
    waiter = get_running_loop().create_future<>();
    co_await waiter;
  }
  /// Waits for the end.
  Coroutine<> ended() {
    while (!lost) co_await words(log.size() + 1);
  }
  /// Calls the transport, in which no callback may run.
  template <class Call>
  void call(Call&& body) {
    in_call = true;
    body(*transport);
    in_call = false;
  }

  DatagramTransport* transport = nullptr;
  std::vector<std::string> log;
  std::vector<std::string> errors;
  Address last_from;
  bool lost = false;
  bool in_call = false;
  std::function<void()> on_made;
  std::function<void(std::string_view, const Address&)> on_datagram;
  std::function<void()> on_error;
  std::function<void()> on_lost;
  std::size_t wanted = 0;
  Future<> waiter;
};

inline std::unique_ptr<DatagramRecorder> make_recorder() {
  return std::make_unique<DatagramRecorder>();
}

using RecorderEndpoint = Endpoint<DatagramRecorder, DatagramTransport>;

inline Coroutine<RecorderEndpoint> endpoint(std::optional<Address> local,
                                            std::optional<Address> remote = {},
                                            DatagramOptions options = {}) {
  auto making = get_running_loop().create_datagram_endpoint(make_recorder, local, remote, options);
  RecorderEndpoint made = co_await std::move(making);
  co_return made;
}

/// An endpoint on a free port of 127.0.0.1, and one that is connected to it.
struct DatagramPair {
  DatagramPair(RecorderEndpoint a, RecorderEndpoint b)
      : server(std::move(a)), client(std::move(b)) {}
  RecorderEndpoint server;
  RecorderEndpoint client;
};

inline Coroutine<DatagramPair> datagram_pair() {
  RecorderEndpoint server = co_await endpoint(Address("127.0.0.1", 0));
  RecorderEndpoint client = co_await endpoint({}, server.transport().sockname());
  co_return DatagramPair(std::move(server), std::move(client));
}

/// Closes an endpoint and waits for its end.
inline Coroutine<> close_and_wait(RecorderEndpoint& made) {
  made.transport().close();
  co_await made.protocol().ended();
}

}  // namespace aster::net_tests
