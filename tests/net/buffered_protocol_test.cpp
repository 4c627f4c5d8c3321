// SPDX-License-Identifier: MIT
#include "net/protocol_fixture.hpp"

#include <array>

namespace aster::net_tests {
namespace {

/// Keeps what comes into one small buffer, which all instances share, as asyncio allows.
class Buffered final : public BufferedProtocol {
 public:
  explicit Buffered(Log& told) : log(&told) {}
  void connection_made(Transport& made) override {
    transport = &made;
    log->emplace_back("made");
  }
  std::span<char> get_buffer(std::size_t hint) override {
    EXPECT_EQ(hint, any_size);
    EXPECT_FALSE(is_asked) << "asked twice";
    is_asked = true;
    if (on_get) on_get();
    return std::span<char>(room).first(room_size);
  }
  void buffer_updated(std::size_t size) override {
    EXPECT_TRUE(is_asked);
    is_asked = false;
    EXPECT_GT(size, 0U);
    received.append(room.data(), size);
    if (on_updated) on_updated();
  }
  bool eof_received() override {
    log->emplace_back("eof");
    return false;
  }
  void connection_lost(std::exception_ptr error) override {
    is_lost = true;
    lost_error = error == nullptr ? "" : describe(error);
    log->emplace_back("lost");
  }

  Log* log;
  Transport* transport = nullptr;
  std::array<char, 1000> room{};
  std::size_t room_size = 1000;
  std::string received;
  std::string lost_error;
  bool is_asked = false;
  bool is_lost = false;
  std::function<void()> on_get;
  std::function<void()> on_updated;
};

class BufferedProtocols : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, BufferedProtocols, ::testing::ValuesIn(all_systems()), name_of);

struct BufferedPair {
  BufferedPair(std::shared_ptr<Buffered> s, Connection c)
      : server(std::move(s)), client(std::move(c)) {}
  std::shared_ptr<Buffered> server;
  Connection client;
};

Coroutine<BufferedPair> buffered_pair(Log& log) {
  auto made = std::make_shared<Buffered>(log);
  auto serving = get_running_loop().create_server([made] { return made; }, "127.0.0.1", 0);
  Server server = co_await std::move(serving);
  const int port = server.sockets().front().getsockname().port();
  Connection client = co_await open_connection("127.0.0.1", port);
  auto accepting = until([&] { return made->transport != nullptr; });
  co_await std::move(accepting);
  server.close();
  co_return BufferedPair(std::move(made), std::move(client));
}

Coroutine<> lost(std::shared_ptr<Buffered> protocol) {
  auto waiting = until([protocol] { return protocol->is_lost; });
  co_await std::move(waiting);
}

// PR-3.
TEST_P(BufferedProtocols, ReceiveIntoTheirOwnBuffer) {
  const auto work = [](Log& log) -> Coroutine<> {
    BufferedPair pair = co_await buffered_pair(log);
    auto some = turns(10);
    co_await std::move(some);
    EXPECT_FALSE(pair.server->is_asked);  // An idle one owes nobody a buffer.
    const std::string sent = pattern(50000);
    pair.client.writer.write(sent);
    pair.client.writer.write_eof();
    auto ending = lost(pair.server);
    co_await std::move(ending);
    EXPECT_EQ(pair.server->received, sent);
    pair.client.writer.close();
  };
  Log log;
  run(work(log));
  EXPECT_EQ(join(log), "made eof lost");
}

// PR-3, ERR-24.
TEST_P(BufferedProtocols, AnEmptyBufferEndsTheConnection) {
  net.expected_reports = {
      "Fatal error: protocol.get_buffer() call failed.: aster::RuntimeError: get_buffer() returned "
      "an empty buffer"};
  const auto work = [](Log& log) -> Coroutine<> {
    BufferedPair pair = co_await buffered_pair(log);
    pair.server->room_size = 0;
    pair.client.writer.write("x");
    auto ending = lost(pair.server);
    co_await std::move(ending);
    EXPECT_THAT(pair.server->lost_error, ::testing::HasSubstr("an empty buffer"));
    pair.client.writer.close();
  };
  Log log;
  run(work(log));
}

TEST_P(BufferedProtocols, ErrorsOfTheirCallbacksAreFatal) {
  net.expected_reports = {
      "Fatal error: protocol.get_buffer() call failed.: aster::ValueError: g",
      "Fatal error: protocol.buffer_updated() call failed.: aster::ValueError: u"};
  const auto work = [](Log& log, bool in_get) -> Coroutine<> {
    BufferedPair pair = co_await buffered_pair(log);
    if (in_get) {
      pair.server->on_get = [] { throw ValueError("g"); };
    } else {
      pair.server->on_updated = [] { throw ValueError("u"); };
    }
    pair.client.writer.write("x");
    auto ending = lost(pair.server);
    co_await std::move(ending);
    EXPECT_NE(pair.server->lost_error, "");
    pair.client.writer.close();
  };
  Log log;
  run(work(log, true));
  run(work(log, false));
}

// TR-8.
TEST_P(BufferedProtocols, PauseAndResume) {
  const auto work = [](Log& log) -> Coroutine<> {
    BufferedPair pair = co_await buffered_pair(log);
    Transport& transport = *pair.server->transport;
    const std::string sent = pattern(20000);
    pair.server->on_updated = [&] { transport.pause_reading(); };
    pair.client.writer.write(sent);
    for (int i = 0; i < 20000 && pair.server->received != sent; ++i) {
      const std::size_t before = pair.server->received.size();
      transport.resume_reading();
      auto more = until([&] { return pair.server->received.size() > before; });
      co_await std::move(more);
      EXPECT_FALSE(transport.is_reading());
    }
    EXPECT_EQ(pair.server->received, sent);
    transport.close();
    auto ending = lost(pair.server);
    co_await std::move(ending);
    pair.client.writer.close();
  };
  Log log;
  run(work(log));
}

// TR-7: from one kind to the other and back.
TEST_P(BufferedProtocols, AProtocolOfTheOtherKindMayTakeOver) {
  const auto work = [](Log& log) -> Coroutine<> {
    BufferedPair pair = co_await buffered_pair(log);
    Transport& transport = *pair.server->transport;
    auto plain = std::make_shared<Recorder>(log, "p:");
    plain->transport = &transport;
    pair.server->on_updated = [&] { transport.set_protocol(plain); };
    pair.client.writer.write("a");
    auto first = until([&] { return pair.server->received == "a"; });
    co_await std::move(first);
    plain->on_data = [&](std::string_view) { transport.set_protocol(pair.server); };
    pair.client.writer.write("b");
    auto second = until([&] { return plain->received == "b"; });
    co_await std::move(second);
    pair.server->on_updated = nullptr;
    pair.client.writer.write("c");
    auto third = until([&] { return pair.server->received == "ac"; });
    co_await std::move(third);
    transport.abort();
    auto ending = lost(pair.server);
    co_await std::move(ending);
    EXPECT_FALSE(plain->is_lost);
    pair.client.writer.close();
  };
  Log log;
  run(work(log));
}

}  // namespace
}  // namespace aster::net_tests
