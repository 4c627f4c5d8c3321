// SPDX-License-Identifier: MIT
#pragma once

#include "net/net_fixture.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace aster::net_tests {

/// What protocols were told, one word each.
using Log = std::vector<std::string>;

inline std::string join(const Log& log) {
  std::string text;
  for (const std::string& word : log) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Writes down what it is told, and keeps what it received. Checks the order that
/// holds for all protocols (PR-6).
class Recorder : public Protocol {
 public:
  explicit Recorder(Log& told, std::string prefix = "") : log(&told), name(std::move(prefix)) {}

  void connection_made(Transport& made) override {
    EXPECT_EQ(transport, nullptr) << "made twice";
    EXPECT_FALSE(is_lost);
    transport = &made;
    note("made");
    if (on_made) on_made();
  }
  void data_received(std::string_view data) override {
    EXPECT_NE(transport, nullptr) << "data before made";
    EXPECT_FALSE(has_ended) << "data after eof";
    EXPECT_FALSE(is_lost) << "data after lost";
    received += data;
    ++data_calls;
    if (on_data) on_data(data);
  }
  bool eof_received() override {
    EXPECT_FALSE(has_ended) << "eof twice";
    EXPECT_FALSE(is_lost) << "eof after lost";
    has_ended = true;
    note("eof");
    if (on_eof) on_eof();
    return keeps_open;
  }
  void pause_writing() override {
    EXPECT_FALSE(is_paused);
    is_paused = true;
    note("pause");
    if (on_pause) on_pause();
  }
  void resume_writing() override {
    EXPECT_TRUE(is_paused);
    is_paused = false;
    note("resume");
    if (on_resume) on_resume();
  }
  void connection_lost(std::exception_ptr error) override {
    EXPECT_NE(transport, nullptr) << "lost before made";
    EXPECT_FALSE(is_lost) << "lost twice";
    EXPECT_TRUE(transport->is_closing());
    is_lost = true;
    lost_error = error == nullptr ? "" : describe(error);
    note(error == nullptr ? "lost" : "lost!");
    if (on_lost) on_lost();
  }

  void note(const std::string& word) { log->push_back(name + word); }

  Log* log;
  std::string name;
  Transport* transport = nullptr;
  std::string received;
  std::string lost_error;
  int data_calls = 0;
  bool keeps_open = false;
  bool has_ended = false;
  bool is_lost = false;
  bool is_paused = false;
  std::function<void()> on_made;
  std::function<void(std::string_view)> on_data;
  std::function<void()> on_eof;
  std::function<void()> on_pause;
  std::function<void()> on_resume;
  std::function<void()> on_lost;
};

/// The two ends of a connection, each with a Recorder.
struct ProtocolPair {
  explicit ProtocolPair(Log& log)
      : client(std::make_shared<Recorder>(log, "c:")),
        server(std::make_shared<Recorder>(log, "s:")) {}
  std::shared_ptr<Recorder> client;
  std::shared_ptr<Recorder> server;
  TransportRef<Transport> client_transport;
  TransportRef<Transport> server_transport;
};

/// More than the system's buffers of a connection hold.
inline std::size_t flood_size() {
  return std::size_t{1} << (get_running_loop().backend().is_system() ? 24U : 19U);
}

/// Lets turns pass until `done()` says so, a bounded number of times.
template <class Done>
Coroutine<> until(Done done) {
  for (int i = 0; i < 20000 && !done(); ++i) co_await sleep(i < 50 ? 0ms : 1ms);
  EXPECT_TRUE(done()) << "it never happened";
}

/// Connects two Recorders, named "c:" and "s:" in the log.
inline Coroutine<ProtocolPair> protocol_pair(Log& log) {
  EventLoop& loop = get_running_loop();
  ProtocolPair pair(log);
  auto serving = loop.create_server([made = pair.server] { return made; }, "127.0.0.1", 0);
  Server server = co_await std::move(serving);
  const int port = server.sockets().front().getsockname().port();
  auto connecting =
      loop.create_connection([made = pair.client] { return made; }, "127.0.0.1", port);
  auto link = co_await std::move(connecting);
  auto accepting = until([made = pair.server] { return made->transport != nullptr; });
  co_await std::move(accepting);
  server.close();
  pair.client_transport = link.transport().ref();
  pair.server_transport = pair.server->transport->ref();
  co_return pair;
}

}  // namespace aster::net_tests
