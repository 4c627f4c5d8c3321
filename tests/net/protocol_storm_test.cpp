// SPDX-License-Identifier: MIT
// Random protocols on a simulated system where everything goes wrong that can: what the
// documentation says of callbacks holds (Recorder checks their order), data comes in
// order, and the accounts balance (Net checks them).
#include "net/protocol_fixture.hpp"

#include <aster/base/random.hpp>
#include <aster/testing/faults.hpp>

#include <cerrno>
#include <cstdlib>
#include <iterator>

namespace aster::net_tests {
namespace {

/// So many seeds, or the one of the environment.
std::vector<std::uint64_t> seeds(std::uint64_t count) {
  if (const char* one = std::getenv("ASTER_SEED")) return {std::strtoull(one, nullptr, 10)};
  std::vector<std::uint64_t> all;
  for (std::uint64_t seed = 1; seed <= count; ++seed) all.push_back(seed);
  return all;
}

System system_of(std::uint64_t seed) {
  SeededRandom chance(seed);
  SimOptions options{.seed = seed};
  if (chance.chance(1, 2)) options.latency = std::chrono::milliseconds(chance.below(5));
  if (chance.chance(1, 2)) options.max_chunk = 1 + chance.below(300);
  if (chance.chance(1, 3)) options.capacity = 256 + chance.below(5000);
  options.inline_budget = chance.below(4) * 5;
  options.late_cancel = chance.chance(1, 2);
  return {"sim", true, options, {}};
}

/// One end that does random things from its callbacks.
class Wild final : public Protocol {
 public:
  Wild(Log& log, std::string bytes, std::uint64_t seed)
      : checks(log), to_send(std::move(bytes)), chance(seed) {}

  void connection_made(Transport& made) override {
    transport = made.ref();
    checks.connection_made(made);
    act();
  }
  void data_received(std::string_view data) override {
    checks.data_received(data);
    act();
  }
  bool eof_received() override {
    checks.eof_received();
    act();
    return chance.chance(1, 2);
  }
  void pause_writing() override {
    checks.pause_writing();
    act();
  }
  void resume_writing() override {
    checks.resume_writing();
    act();
  }
  void connection_lost(std::exception_ptr error) override {
    checks.connection_lost(error);
    act();
  }

  /// Something that a program may do at any time; no callback comes from inside.
  void act() {
    EXPECT_FALSE(acting) << "a callback inside a call";
    acting = true;
    Transport& mine = *transport;
    switch (chance.below(16)) {
      case 0:
        mine.pause_reading();
        break;
      case 1:
        mine.set_write_buffer_limits(chance.below(2000));
        break;
      case 2:
        if (chance.chance(1, 8)) mine.abort();
        break;
      case 3:
        if (sent == to_send.size() && chance.chance(1, 2)) mine.close();
        break;
      case 4:
        if (sent == to_send.size()) {
          mine.write_eof();
          has_ended = true;
        }
        break;
      default:
        mine.resume_reading();
        break;
    }
    if (!checks.is_paused && !has_ended) {
      const std::size_t size = std::min(to_send.size() - sent, chance.below(700));
      const std::string_view next = std::string_view(to_send).substr(sent, size);
      if (chance.chance(1, 2)) {
        mine.write(next);
      } else {
        mine.writelines({next.substr(0, size / 2), next.substr(size / 2)});
      }
      sent += size;
    }
    acting = false;
  }

  Recorder checks;
  TransportRef<Transport> transport;
  std::string to_send;
  std::size_t sent = 0;
  bool has_ended = false;
  bool acting = false;
  SeededRandom chance;
};

constexpr SimCall scripted[] = {SimCall::recv, SimCall::send, SimCall::accept, SimCall::connect,
                                SimCall::set_option};
constexpr int errors[] = {ECONNRESET,   EPIPE,  ETIMEDOUT,   ENOBUFS,
                          ECONNABORTED, EMFILE, EHOSTUNREACH};

Coroutine<> storm(Net& net, Log& log, std::uint64_t seed, bool over_path) {
  EventLoop& loop = get_running_loop();
  SeededRandom chance(seed * 7919);
  std::vector<std::shared_ptr<Wild>> clients;
  std::vector<std::shared_ptr<Wild>> servers;
  const auto wild = [&](std::vector<std::shared_ptr<Wild>>& where, unsigned salt) {
    auto made =
        std::make_shared<Wild>(log, pattern(chance.below(8000), salt), chance.below(1U << 30U));
    where.push_back(made);
    return made;
  };
  const auto accept = [&] { return wild(servers, 2); };
  auto serving = over_path ? loop.create_unix_server(accept, "storm")
                           : loop.create_server(accept, "127.0.0.1", 0);
  Server server = co_await std::move(serving);
  const Address where = server.sockets().front().getsockname();
  for (int i = 0; i < 4; ++i) {
    if (chance.chance(1, 2)) {
      net.sim().fail_next(scripted[chance.below(std::size(scripted))],
                          errors[chance.below(std::size(errors))], 1 + chance.below(3));
    }
    const auto connect = [&] { return wild(clients, 1); };
    auto connecting = over_path ? loop.create_unix_connection(connect, "storm")
                                : loop.create_connection(connect, "127.0.0.1", where.port());
    auto link = co_await outcome(std::move(connecting));
    if (link.has_value() && chance.chance(1, 4) && !clients.back()->checks.is_lost) {
      const native_socket fd = clients.back()->transport->socket().fileno();
      const auto how = chance.chance(1, 2) ? SimBackend::Cut::reset : SimBackend::Cut::fin;
      if (fd >= 0) net.sim().cut_after(fd, chance.below(3000), how);
    }
  }
  // From outside, until nobody has anything to say; then all end.
  for (int i = 0; i < 300; ++i) {
    for (const auto* group : {&clients, &servers}) {
      for (const auto& one : *group) {
        if (one->transport && !one->checks.is_lost) one->act();
      }
    }
    co_await sleep(i % 7 == 0 ? 1ms : 0ms);
  }
  server.close();
  server.close_clients();
  for (const auto& one : clients) {
    if (one->transport) one->transport->abort();
  }
  auto ending = server.wait_closed();
  co_await std::move(ending);
  auto all = until([&] {
    const auto over = [](const auto& one) { return !one->transport || one->checks.is_lost; };
    return std::all_of(clients.begin(), clients.end(), over) &&
           std::all_of(servers.begin(), servers.end(), over);
  });
  co_await std::move(all);
  // In order and nothing made up: what came is how what was sent begins.
  for (const auto& one : servers) {
    const std::string_view got = one->checks.received;
    EXPECT_TRUE(got.empty() || std::any_of(clients.begin(), clients.end(), [&](const auto& peer) {
                  return std::string_view(peer->to_send).starts_with(got);
                }));
  }
}

void run_storms(bool over_path, std::uint64_t count) {
  Log seen;
  for (const std::uint64_t seed : seeds(count)) {
    SCOPED_TRACE("ASTER_SEED=" + std::to_string(seed));
    Net net(system_of(seed));
    Log log;
    net.run(storm(net, log, seed, over_path));
    const bool ok =
        net.reports.empty() ||
        std::all_of(net.reports.begin(), net.reports.end(), [](const std::string& text) {
          return text.find("accept") != std::string::npos;
        });
    EXPECT_TRUE(ok) << ::testing::PrintToString(net.reports);
    net.expected_reports = net.reports;
    net.close();
    if (::testing::Test::HasFailure()) return;
    seen.insert(seen.end(), log.begin(), log.end());
  }
  if (std::getenv("ASTER_SEED") != nullptr) return;
  // It was a storm.
  for (const char* word : {"made", "pause", "resume", "eof", "lost", "lost!"}) {
    EXPECT_GT(std::count(seen.begin(), seen.end(), word), static_cast<std::ptrdiff_t>(count / 10))
        << word;
  }
}

TEST(ProtocolStormSlow, TheContractHoldsWhateverTcpDoes) { run_storms(false, 3000); }
TEST(ProtocolStormSlow, TheContractHoldsOverUnixSockets) { run_storms(true, 1500); }

/// Both directions in pieces of one byte, with every kind of answer in between.
Coroutine<> exchange(std::string one, std::string two) {
  Log log;
  ProtocolPair pair = co_await protocol_pair(log);
  pair.client->transport->write(one);
  pair.server->transport->write(two);
  auto waiting = until([&] {
    return pair.client->received.size() == two.size() && pair.server->received.size() == one.size();
  });
  co_await std::move(waiting);
  EXPECT_EQ(pair.server->received, one);
  EXPECT_EQ(pair.client->received, two);
  pair.client->transport->close();
  auto lost = until([&] { return pair.client->is_lost && pair.server->is_lost; });
  co_await std::move(lost);
}

class RealFaults : public ::testing::TestWithParam<System> {
 protected:
  void SetUp() override {
    if (!testing::Faults::is_available()) GTEST_SKIP();
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, RealFaults, ::testing::ValuesIn(real_systems()), name_of);

TEST_P(RealFaults, ShortReadsAndWritesAtEveryByte) {
  Net net(GetParam());
  testing::Faults faults;
  faults.shorten(testing::SysCall::send, {.max = 1});
  faults.shorten(testing::SysCall::recv, {.max = 1});
  net.run(exchange(pattern(700, 1), pattern(600, 2)));
}

TEST_P(RealFaults, InterruptedAndUntimelyCalls) {
  for (const int error : {EINTR, EAGAIN}) {
    for (std::uint64_t nth = 1; nth < 8; ++nth) {
      Net net(GetParam());
      testing::Faults faults;
      faults.fail(testing::SysCall::send, {.nth = nth, .error = error});
      faults.shorten(testing::SysCall::send, {.max = 100, .times = 20});
      // After an event EAGAIN must come from a kernel that will tell again.
      if (error == EINTR)
        faults.fail(testing::SysCall::recv, {.nth = nth, .times = 3, .error = error});
      if (error == EAGAIN && GetParam().backend == Backend::epoll) faults.clear();
      net.run(exchange(pattern(5000, 1), pattern(3000, 2)));
    }
  }
}

/// What the client's end is told when a call of it fails.
Coroutine<std::string> told_after(testing::SysCall call, int error) {
  Log log;
  ProtocolPair pair = co_await protocol_pair(log);
  testing::Faults faults;
  faults.fail(call, {.error = error, .fd = pair.client->transport->socket().fileno()});
  if (call == testing::SysCall::send) {
    pair.client->transport->write("x");
    EXPECT_FALSE(pair.client->is_lost);
  } else {
    pair.server->transport->write("x");
  }
  auto waiting = until([&] { return pair.client->is_lost && pair.server->is_lost; });
  co_await std::move(waiting);
  EXPECT_EQ(std::count(log.begin(), log.end(), "c:lost!"), 1);
  co_return pair.client->lost_error;
}

// TR-20: told to the protocol, not to the handler.
TEST_P(RealFaults, ErrorsOfTheConnectionReachConnectionLost) {
  for (const int error : {ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS}) {
    for (const auto call : {testing::SysCall::send, testing::SysCall::recv}) {
      Net net(GetParam());
      const std::string told = net.run(told_after(call, error));
      EXPECT_THAT(told, ::testing::HasSubstr(std::generic_category().message(error)));
    }
  }
}

// The loop is closed under open connections: nothing is called, nothing is lost.
TEST(ProtocolEnd, ClosingTheLoopClosesDescriptorsWithoutCallbacks) {
  for (const System& system : all_systems()) {
    Net net(system);
    net.settles = false;
    Log log;
    const auto work = [](Log& told) -> Coroutine<> {
      ProtocolPair pair = co_await protocol_pair(told);
      pair.server->transport->pause_reading();
      pair.client->transport->write(pattern(1 << 20));
    };
    net.run(work(log));
    log.clear();
    net.close();
    EXPECT_EQ(join(log), "");
  }
}

// A base error leaves the loop, and the connection goes on with the next run.
TEST(ProtocolEnd, ABaseErrorOfACallbackStopsTheLoopOnly) {
  for (const System& system : all_systems()) {
    Net net(system);
    Log log;
    std::vector<ProtocolPair> kept;
    const auto connect = [](Log& told, std::vector<ProtocolPair>& pairs) -> Coroutine<> {
      ProtocolPair pair = co_await protocol_pair(told);
      pair.server->on_data = [](std::string_view) { throw SystemExit(3); };
      pair.server->transport->pause_reading();
      pair.client->transport->write("a");
      pairs.push_back(pair);
    };
    net.run(connect(log, kept));
    kept.front().server->transport->resume_reading();
    EXPECT_THROW(net.loop().run_forever(), SystemExit);
    const auto finish = [](ProtocolPair pair) -> Coroutine<> {
      EXPECT_EQ(pair.server->received, "a");
      pair.server->on_data = nullptr;
      pair.client->transport->write("b");
      auto second = until([&] { return pair.server->received == "ab"; });
      co_await std::move(second);
      pair.client->transport->close();
      auto lost = until([&] { return pair.client->is_lost && pair.server->is_lost; });
      co_await std::move(lost);
    };
    net.run(finish(kept.front()));
    kept.clear();
  }
}

}  // namespace
}  // namespace aster::net_tests
