// SPDX-License-Identifier: MIT
//
// Streams: an exchange of small messages allocates nothing, and neither does any way
// of ending, also when there is no memory.
#include "support/allocations.hpp"

#include <cstdint>
#include <memory>
#include <ostream>
#include <span>

#include "net/net_fixture.hpp"

namespace aster::net_tests {
namespace {

using support::allocation_count;
using support::allocations_without_memory;
using support::NoMemory;

constexpr int warm_up = 100;
constexpr int rounds = 500;

std::vector<System> counted_systems() {
  std::vector<System> systems = real_systems();
  systems.insert(systems.begin(), plain_sim());
  return systems;
}

class StreamAllocations : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, StreamAllocations, ::testing::ValuesIn(counted_systems()),
                         name_of);

// What asks the simulated system for memory is that system, not the library.
class RealStreamAllocations : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, RealStreamAllocations, ::testing::ValuesIn(real_systems()),
                         name_of);

Coroutine<> echo(Connection connection) {
  char bytes[64];
  for (;;) {
    const std::size_t count = co_await connection.reader.read_into(bytes);
    if (count == 0) break;
    connection.writer.write({bytes, count});
    co_await connection.writer.drain();
  }
}

Coroutine<> exchange(Connection& connection, int times) {
  char bytes[64];
  for (int i = 0; i < times; ++i) {
    connection.writer.write("0123456789abcdef");
    co_await connection.writer.drain();
    std::size_t got = 0;
    while (got < 16) {
      const std::size_t count = co_await connection.reader.read_into(std::span(bytes).subspan(got));
      if (count == 0) co_return;
      got += count;
    }
  }
}

TEST_P(RealStreamAllocations, AnEchoOfASmallMessageAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto body = []() -> Coroutine<std::uint64_t> {
    Pair pair = co_await connected_pair();
    auto server = create_task(echo(std::move(pair.server)));
    co_await exchange(pair.client, warm_up);
    const std::uint64_t before = allocation_count();
    co_await exchange(pair.client, rounds);
    const std::uint64_t count = allocation_count() - before;
    pair.client.writer.close();
    co_await server;
    co_return count;
  };
  EXPECT_EQ(run(body()), 0U);
}

TEST_P(RealStreamAllocations, ATimeoutAroundEachReadAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto body = []() -> Coroutine<std::uint64_t> {
    Pair pair = co_await connected_pair();
    auto server = create_task(echo(std::move(pair.server)));
    std::uint64_t before = 0;
    char bytes[64];
    for (int i = 0; i < warm_up + rounds; ++i) {
      if (i == warm_up) before = allocation_count();
      pair.client.writer.write("0123456789abcdef");
      co_await wait_for(pair.client.reader.read_into(bytes), 1h);
    }
    const std::uint64_t count = allocation_count() - before;
    pair.client.writer.close();
    co_await server;
    co_return count;
  };
  EXPECT_EQ(run(body()), 0U);
}

/// Sends a message back and forth by callbacks; ends the wait after so many.
struct PingPong final : Protocol {
  void connection_made(Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override {
    if (left-- > 0) {
      transport->write(data);
    } else if (over && !over.done()) {
      over.set_result();
    }
  }
  Transport* transport = nullptr;
  int left = 1 << 30;
  Future<> over;
};

TEST_P(RealStreamAllocations, AnEchoByCallbacksAllocatesNothing) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  auto body = []() -> Coroutine<std::uint64_t> {
    EventLoop& loop = get_running_loop();
    auto serving = loop.create_server([] { return std::make_unique<PingPong>(); }, "127.0.0.1", 0);
    Server server = co_await std::move(serving);
    const int port = server.sockets().front().getsockname().port();
    auto connecting =
        loop.create_connection([] { return std::make_unique<PingPong>(); }, "127.0.0.1", port);
    auto link = co_await std::move(connecting);
    PingPong& client = link.protocol();
    std::uint64_t before = 0;
    for (const int times : {warm_up, rounds}) {
      client.left = times;
      client.over = loop.create_future<>();
      before = allocation_count();
      link.transport().write("0123456789abcdef");
      co_await client.over;
    }
    const std::uint64_t count = allocation_count() - before;
    link.transport().close();
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
    co_return count;
  };
  EXPECT_EQ(run(body()), 0U);
}

// Cancelling a task that waits for a stream ------------------------------------------------

enum class StreamWait { read, read_into, readline, drain, wait_closed, serve_forever };
void PrintTo(StreamWait wait, std::ostream* out) {
  static constexpr const char* names[] = {"read",  "read_into",   "readline",
                                          "drain", "wait_closed", "serve_forever"};
  *out << names[static_cast<std::size_t>(wait)];
}

class CancelledStreamWait : public ::testing::TestWithParam<std::tuple<System, StreamWait>> {};

Coroutine<> wait_for_stream(StreamWait kind, Future<> reached) {
  Listening listening;
  co_await listening.start();
  if (kind == StreamWait::serve_forever) {
    reached.set_result();
    co_await listening.server().serve_forever();
    co_return;
  }
  ConnectOptions options;
  auto connecting = open_connection("127.0.0.1", listening.port(), options);
  Connection client = co_await std::move(connecting);
  Connection server = co_await listening.accept();
  char bytes[64];
  reached.set_result();
  switch (kind) {
    case StreamWait::read:
      co_await client.reader.read(100);
      break;
    case StreamWait::read_into:
      co_await client.reader.read_into(bytes);
      break;
    case StreamWait::readline:
      co_await client.reader.readline();
      break;
    case StreamWait::drain:
      for (;;) {  // Nobody reads: it comes to a stop.
        client.writer.write(std::string(100'000, 'x'));
        co_await client.writer.drain();
      }
      break;
    default:
      co_await client.writer.wait_closed();
  }
}

TEST_P(CancelledStreamWait, NeedsNoMemory) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  Net net(std::get<0>(GetParam()));
  Future<> reached = net.loop().create_future<>();
  auto task = net.loop().create_task(wait_for_stream(std::get<1>(GetParam()), reached));
  net.run(reached);
  net.turns(200);
  ASSERT_FALSE(task.done());
  bool accepted = false;

  const auto count = allocations_without_memory([&] { accepted = task.cancel(); });

  EXPECT_EQ(count, 0U);
  EXPECT_TRUE(accepted);
  EXPECT_THROW(net.run(task), CancelledError);
}

std::string wait_name(const ::testing::TestParamInfo<std::tuple<System, StreamWait>>& info) {
  return std::get<0>(info.param).name + "_" + ::testing::PrintToString(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    Systems, CancelledStreamWait,
    ::testing::Combine(::testing::ValuesIn(counted_systems()),
                       ::testing::Values(StreamWait::read, StreamWait::read_into,
                                         StreamWait::readline, StreamWait::drain,
                                         StreamWait::wait_closed, StreamWait::serve_forever)),
    wait_name);

// Closing ------------------------------------------------------------------------------------

/// Connects, has `end` end something without memory, lets the loop see to it without
/// memory too, and gives how often all that asked for some.
template <class End>
std::uint64_t count_of_ending(Net& net, End end) {
  auto pair = std::make_unique<Pair>(net.run(connected_pair()));
  net.turns(20);
  char bytes[64];
  std::size_t got = 1;
  auto read = [&]() -> Coroutine<> { got = co_await pair->server.reader.read_into(bytes); };
  auto reading = net.loop().create_task(read());
  net.turns(2);

  const auto count = allocations_without_memory([&] {
    end(*pair);
    // A close travels through the system; the other end sees it in a later turn.
    for (int i = 0; i < 100'000 && !reading.done(); ++i) net.loop().run_once();
  });

  EXPECT_TRUE(reading.done());
  EXPECT_EQ(got, 0U);
  pair->server.writer.close();
  net.turns(5);
  return count;
}

TEST_P(RealStreamAllocations, ClosingAWriterNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(count_of_ending(net, [](Pair& pair) { pair.client.writer.close(); }), 0U);
}

TEST_P(RealStreamAllocations, AbortingAWriterNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(count_of_ending(net, [](Pair& pair) { pair.client.writer.abort(); }), 0U);
}

TEST_P(RealStreamAllocations, DroppingBothHandlesNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  EXPECT_EQ(count_of_ending(net,
                            [](Pair& pair) {
                              const Connection gone = std::move(pair.client);
                              static_cast<void>(gone);
                            }),
            0U);
}

Coroutine<> connect_clients(int port, int count, std::vector<Connection>& clients) {
  for (int i = 0; i < count; ++i) {
    auto connecting = open_connection("127.0.0.1", port);
    clients.push_back(co_await std::move(connecting));
  }
}

Coroutine<Server> start_echo_server() {
  return start_server(
      [](StreamReader reader, StreamWriter writer) {
        return echo(Connection(std::move(reader), std::move(writer)));
      },
      "127.0.0.1", 0);
}

TEST_P(StreamAllocations, ClosingAServerNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  Server server = run(start_echo_server());
  std::vector<Connection> clients;
  run(connect_clients(server.sockets().front().getsockname().port(), 10, clients));
  auto closed = net.loop().create_task(server.wait_closed());
  net.turns(20);

  const auto count = allocations_without_memory([&] { server.close(); });

  EXPECT_EQ(count, 0U);
  clients.clear();
  run(closed);
}

TEST_P(RealStreamAllocations, ClosingAServersClientsNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  for (const bool abort : {false, true}) {
    Server server = run(start_echo_server());
    std::vector<Connection> clients;
    run(connect_clients(server.sockets().front().getsockname().port(), 10, clients));
    net.turns(20);

    const auto count = allocations_without_memory([&] {
      server.close();
      if (abort) {
        server.abort_clients();
      } else {
        server.close_clients();
      }
    });

    EXPECT_EQ(count, 0U);
    clients.clear();
    run(server.wait_closed());
  }
}

TEST_P(RealStreamAllocations, ClosingALoopWithOpenStreamsNeedsNone) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  Listening listening;
  run(listening.start());
  auto pair = std::make_unique<Pair>(run(connected_pair()));
  pair->client.writer.write(std::string(10'000'000, 'x'));  // More than the system takes.
  net.turns(20);
  net.settles = false;

  // The fixture's own account of descriptors comes after this.
  const auto count = allocations_without_memory([&] { net.loop().close(); });

  EXPECT_EQ(count, 0U);
  EXPECT_TRUE(pair->client.writer.is_closing());
}

}  // namespace
}  // namespace aster::net_tests
