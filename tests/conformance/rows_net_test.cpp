// SPDX-License-Identifier: MIT
//
// Rows of the inventory (docs/conformance.md) about connections, servers and streams
// that no test of the layer pins by the way; on a simulated network.
#include "support/reports.hpp"

#include <aster/coro/outcome.hpp>
#include <aster/io/resolve.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/net/server.hpp>
#include <aster/net/streams.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <netdb.h>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::SimCall;
using testing::SimLoop;

struct NetRows : ::testing::Test {
  SimLoop loop;
  std::vector<std::string> reports;

  NetRows() {
    loop.service<detail::ResolverService>().use_hosts_only();
    loop.set_exception_handler([this](EventLoop&, const ExceptionContext& context) {
      reports.push_back(context.message);
    });
  }
  void add_host(std::string_view name, std::vector<std::string_view> hosts) {
    std::vector<Address> addresses;
    for (const auto host : hosts) addresses.emplace_back(host, 0);
    loop.service<detail::ResolverService>().add_host(name, std::move(addresses));
  }
  static int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

  // Connects and says to whom, or what went wrong.
  Coroutine<std::string> connect(std::string host, int port, ConnectOptions options = {}) {
    try {
      Connection link = co_await open_connection(host, port, options);
      co_return link.writer.peername()->host();
    } catch (const ExceptionGroup& group) {
      co_return "group of " + std::to_string(group.exceptions().size());
    } catch (const std::system_error& error) {
      co_return error.what();
    }
  }
};

void ignore(StreamReader, StreamWriter) {}

TEST_F(NetRows, AddressesAreTriedInOrderUntilOneConnects) {
  add_host("several", {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
  std::string peer;
  auto main = [&]() -> Coroutine<> {
    Server second = co_await start_server(ignore, "10.0.0.2", 0);
    Server third = co_await start_server(ignore, "10.0.0.3", port_of(second));
    peer = co_await connect("several", port_of(second));
  };
  loop.run_until_complete(main());

  EXPECT_EQ(peer, "10.0.0.2");  // ST-1, CON-3
}

TEST_F(NetRows, WhenAllAddressesFailTheErrorNamesThem) {
  add_host("one", {"10.0.0.1"});
  add_host("two", {"10.0.0.1", "10.0.0.2"});
  std::string one;
  std::string two;
  std::string group;
  auto main = [&]() -> Coroutine<> {
    one = co_await connect("one", 80);
    two = co_await connect("two", 80);
    group = co_await connect("two", 80, {.all_errors = true});
  };
  loop.run_until_complete(main());

  EXPECT_EQ(one, "connect 10.0.0.1:80: Connection refused");  // CON-6
  EXPECT_EQ(two.substr(0, 21), "Multiple exceptions: ") << two;
  EXPECT_NE(two.find("10.0.0.2:80"), std::string::npos) << two;
  EXPECT_EQ(group, "group of 2");
}

TEST_F(NetRows, ALocalAddressIsConnectedFrom) {
  std::string from;
  std::string mismatch;
  auto main = [&]() -> Coroutine<> {
    Server server = co_await start_server(ignore, "10.0.0.2", 0);
    Connection link =
        co_await open_connection("10.0.0.2", port_of(server), {.local_host = "10.0.0.9"});
    from = link.writer.sockname()->host();
    mismatch = co_await connect("10.0.0.2", port_of(server), {.local_host = "::1"});
  };
  loop.run_until_complete(main());

  EXPECT_EQ(from, "10.0.0.9");  // CON-7
  EXPECT_NE(mismatch, "10.0.0.2");
}

TEST_F(NetRows, ACancelledConnectClosesItsSocket) {
  loop.sim().add_black_hole(Address("10.9.9.9", 80));
  Task<std::string> task = loop.create_task(connect("10.9.9.9", 80));
  loop.run_until_idle();
  EXPECT_EQ(loop.sim().open_descriptors().size(), 1U);
  task.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(task.cancelled());
  EXPECT_TRUE(loop.sim().open_descriptors().empty());  // CON-10
}

TEST_F(NetRows, AConnectionThatResetBeforeItWasAcceptedIsSkipped) {
  loop.sim().fail_next(SimCall::accept, ECONNABORTED);
  int accepted = 0;
  auto main = [&]() -> Coroutine<> {
    auto serve = [&](StreamReader, StreamWriter) { ++accepted; };
    Server server = co_await start_server(serve, "10.0.0.1", 0);
    co_await connect("10.0.0.1", port_of(server));
    co_await connect("10.0.0.1", port_of(server));
    co_await sleep(1ms);
  };
  loop.run_until_complete(main());

  EXPECT_EQ(accepted, 1);  // CON-28
  EXPECT_TRUE(reports.empty());
}

TEST_F(NetRows, AServerOutOfDescriptorsPausesForASecond) {
  loop.sim().fail_next(SimCall::accept, EMFILE);
  std::optional<TimePoint> accepted;
  TimePoint begin;
  auto main = [&]() -> Coroutine<> {
    auto serve = [&](StreamReader, StreamWriter) { accepted = loop.time(); };
    Server server = co_await start_server(serve, "10.0.0.1", 0);
    begin = loop.time();
    Connection link = co_await open_connection("10.0.0.1", port_of(server));
    co_await sleep(999ms);
    EXPECT_FALSE(accepted.has_value());
    co_await sleep(2ms);
  };
  loop.run_until_complete(main());

  ASSERT_TRUE(accepted.has_value());
  EXPECT_EQ(*accepted - begin, 1s);  // CON-29, K-8
  EXPECT_EQ(reports, std::vector<std::string>{"socket.accept() out of system resource"});  // ERR-28
}

TEST_F(NetRows, LinesAreReadUntilAnEmptyOne) {
  StreamReader reader;
  reader.feed_data("one\ntwo\nrest");
  reader.feed_eof();
  std::vector<std::string> lines;
  auto main = [&]() -> Coroutine<> {
    for (std::string line = co_await reader.readline(); !line.empty();
         line = co_await reader.readline()) {
      lines.push_back(line);
    }
  };
  loop.run_until_complete(main());

  EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "two\n", "rest"}));  // ST-14
}

TEST_F(NetRows, AWriterKnowsItsAddressesAndItsSocket) {
  auto main = [&]() -> Coroutine<> {
    Server server = co_await start_server(ignore, "10.0.0.1", 0);
    Connection link = co_await open_connection("10.0.0.1", port_of(server));
    EXPECT_EQ(link.writer.peername()->port(), port_of(server));  // TR-6
    EXPECT_EQ(link.writer.sockname(), link.writer.socket().getsockname());
  };
  loop.run_until_complete(main());
}

TEST_F(NetRows, WriteSendsAtOnceAndBuffersWhatDoesNotGo) {
  std::optional<StreamWriter> kept;
  auto main = [&]() -> Coroutine<> {
    auto serve = [&](StreamReader, StreamWriter w) { kept.emplace(std::move(w)); };
    Server server = co_await start_server(serve, "10.0.0.1", 0);
    Connection link = co_await open_connection("10.0.0.1", port_of(server));
    link.writer.write("small");
    EXPECT_EQ(link.writer.get_write_buffer_size(), 0U);  // TR-9
    link.writer.write(std::string(1'000'000, 'x'));
    EXPECT_GT(link.writer.get_write_buffer_size(), 0U);
    link.writer.abort();
  };
  loop.run_until_complete(main());
}

TEST_F(NetRows, ASlowLookUpIsNotedInDebugMode) {
  const support::Logged logged;
  EventLoop real({.backend = Backend::poll, .debug = true});
  real.slow_callback_duration = 0ns;
  real.service<detail::ResolverService>().set_lookup(
      [](const detail::AddressQuery&) { return std::vector<AddressInfo>{}; });
  auto main = []() -> Coroutine<> { co_await getaddrinfo("a.name", 80); };
  real.run_until_complete(main());
  real.set_debug(false);
  real.close();  // Joins the threads that may write notes.

  EXPECT_TRUE(logged.contains("a.name"));  // EXE-12
}

TEST_F(NetRows, FlagsAndProtocolGoToTheLookUp) {  // CON-1, CON-15
  std::atomic<int> flags{-1};
  std::atomic<int> proto{-1};
  EventLoop real({.backend = Backend::poll});
  real.service<detail::ResolverService>().set_lookup([&](const detail::AddressQuery& query) {
    flags = query.options.flags;
    proto = query.options.proto;
    return std::vector<AddressInfo>{};
  });
  auto main = [&]() -> Coroutine<> {
    auto serve = [](StreamReader, StreamWriter) {};
    auto connecting = outcome(open_connection("a.name", 80, {.proto = 6, .flags = AI_V4MAPPED}));
    const Outcome<Connection> link = co_await std::move(connecting);
    EXPECT_FALSE(link.has_value());
    EXPECT_EQ(flags, AI_V4MAPPED);
    EXPECT_EQ(proto, 6);
    auto starting = outcome(start_server(serve, "a.name", 0));
    const Outcome<Server> passive = co_await std::move(starting);
    EXPECT_FALSE(passive.has_value());
    EXPECT_EQ(flags, AI_PASSIVE);
    auto again = outcome(start_server(serve, "a.name", 0, {.flags = 0}));
    const Outcome<Server> active = co_await std::move(again);
    EXPECT_FALSE(active.has_value());
    EXPECT_EQ(flags, 0);
  };
  real.run_until_complete(main());
}

TEST_F(NetRows, LimitsAreThoseOfAsyncio) {
  EXPECT_EQ(StreamReader::default_limit, 65536U);                   // K-1
  EXPECT_EQ(ServerOptions{}.backlog, 100);                          // K-7
  EXPECT_FALSE(ConnectOptions{}.happy_eyeballs_delay.has_value());  // K-16
}

TEST_F(NetRows, DrainWaitsAbove64KibibytesUntil16AreLeft) {
  bool drained = false;
  auto main = [&]() -> Coroutine<> {
    std::optional<StreamReader> reader;
    std::optional<StreamWriter> kept;
    auto serve = [&](StreamReader r, StreamWriter w) {
      reader.emplace(std::move(r));
      kept.emplace(std::move(w));
    };
    Server server = co_await start_server(serve, "10.0.0.1", 0);
    Connection link = co_await open_connection("10.0.0.1", port_of(server));
    while (link.writer.get_write_buffer_size() == 0) link.writer.write("x");
    link.writer.write(std::string(65536 - link.writer.get_write_buffer_size(), 'x'));
    co_await link.writer.drain();  // K-2: at the mark, not above it.
    link.writer.write("x");
    auto drain = [&]() -> Coroutine<> {
      co_await link.writer.drain();
      drained = true;
    };
    Task<> draining = create_task(drain());
    co_await sleep(1ms);
    EXPECT_FALSE(drained);
    while (!drained) {
      EXPECT_GT(link.writer.get_write_buffer_size(), 16384U);
      co_await reader->read(1024);
      co_await sleep(1ms);
    }
    EXPECT_LE(link.writer.get_write_buffer_size(), 16384U);
    co_await draining;
    link.writer.abort();
  };
  loop.run_until_complete(main());

  EXPECT_TRUE(drained);
}

}  // namespace
}  // namespace aster
