// SPDX-License-Identifier: MIT
// Datagrams that do not go at once, and networks that lose them.
#include "net/datagram_fixture.hpp"

#include <aster/testing/faults.hpp>

#include <cerrno>
#include <set>

namespace aster::net_tests {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A far network, whose sending buffers hold 100 bytes.
class DatagramFlow : public ::testing::Test {
 protected:
  DatagramFlow() : net({"sim", true, {.seed = 1, .latency = 10ms, .capacity = 100}, {}}) {}
  Net net;
};

// TR-24: what does not go at once is buffered; a datagram counts 8 bytes more (K-19).
TEST_F(DatagramFlow, BuffersWhatDoesNotGoAtOnceAndCountsEightMoreForEach) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramTransport& client = pair.client.transport();
    client.sendto(pattern(90));
    EXPECT_EQ(client.get_write_buffer_size(), 0u);
    client.sendto(pattern(20));
    client.sendto("");
    EXPECT_EQ(client.get_write_buffer_size(), 20u + 8 + 8);
    EXPECT_THAT(to_string(client), HasSubstr("write=<polling, bufsize=36>"));
    co_await pair.server.protocol().words(4);
    EXPECT_THAT(pair.server.protocol().log,
                ElementsAre("made", "got:" + pattern(90), "got:" + pattern(20), "got:"));
    EXPECT_EQ(client.get_write_buffer_size(), 0u);
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// TR-14, TR-15, TR-16: once over the high mark, once at the low one, never in a call.
TEST_F(DatagramFlow, PausesAboveTheHighMarkAndResumesAtTheLowOne) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->set_write_buffer_limits(200, 60);
    EXPECT_EQ(client.transport->get_write_buffer_limits(), (WriteBufferLimits{60, 200}));
    EXPECT_THROW(client.transport->set_write_buffer_limits(10, 11), ValueError);
    for (int i = 0; i < 4; ++i) {
      client.call([](DatagramTransport& out) { out.sendto(pattern(92)); });
    }
    EXPECT_EQ(client.transport->get_write_buffer_size(), 300u);
    EXPECT_THAT(client.log, ElementsAre("made"));
    co_await client.words(2);
    EXPECT_THAT(client.log, ElementsAre("made", "pause"));
    co_await client.words(3);
    EXPECT_THAT(client.log, ElementsAre("made", "pause", "resume"));
    EXPECT_EQ(client.transport->get_write_buffer_size(), 0u);  // 100 were still too many.
    co_await pair.server.protocol().words(5);
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// TR-18
TEST_F(DatagramFlow, AHighMarkOfZeroPausesAsSoonAsAnythingIsBuffered) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->set_write_buffer_limits(0);
    client.transport->sendto(pattern(90));
    co_await turns(2);
    EXPECT_THAT(client.log, ElementsAre("made"));
    client.transport->sendto(pattern(90));
    co_await client.words(3);
    EXPECT_THAT(client.log, ElementsAre("made", "pause", "resume"));
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// TR-2: close() sends what is buffered; what is written afterwards is ignored (TR-11).
TEST_F(DatagramFlow, CloseSendsWhatIsBuffered) {
  support::Logged logged;
  const auto test = [&]() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->sendto(pattern(90, 1));
    client.transport->sendto(pattern(90, 2));
    client.transport->close();
    EXPECT_GT(client.transport->get_write_buffer_size(), 0u);
    for (int i = 0; i < 4; ++i) client.transport->sendto("too late");
    EXPECT_FALSE(logged.contains("datagrams are sent"));
    client.transport->sendto("too late");
    EXPECT_TRUE(logged.contains("datagrams are sent to an endpoint that was closed or lost"));
    co_await client.ended();
    co_await pair.server.protocol().words(3);
    EXPECT_THAT(pair.server.protocol().log,
                ElementsAre("made", "got:" + pattern(90, 1), "got:" + pattern(90, 2)));
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// TR-16: also when the last of it is sent while closing, right before the end.
TEST_F(DatagramFlow, ResumesBeforeTheEndWhenCloseHasSentEverything) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->set_write_buffer_limits(0);
    client.transport->sendto(pattern(90, 1));
    client.transport->sendto(pattern(90, 2));
    co_await client.words(2);
    client.call([](DatagramTransport& out) { out.close(); });
    co_await client.ended();
    EXPECT_THAT(client.log, ElementsAre("made", "pause", "resume", "lost"));
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// TR-25, TR-3
TEST_F(DatagramFlow, AbortDropsWhatIsBuffered) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->set_write_buffer_limits(0);
    client.transport->sendto(pattern(90, 1));
    client.transport->sendto(pattern(90, 2));
    co_await client.words(2);
    client.call([](DatagramTransport& out) { out.abort(); });
    EXPECT_EQ(client.transport->get_write_buffer_size(), 0u);
    co_await client.ended();
    EXPECT_THAT(client.log, ElementsAre("made", "pause", "lost"));
    co_await sleep(1s);
    EXPECT_THAT(pair.server.protocol().log, ElementsAre("made", "got:" + pattern(90, 1)));
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// PR-4: a buffered datagram that fails is one error, and the next ones are sent.
TEST_F(DatagramFlow, AnErrorOfABufferedDatagramDoesNotHoldTheOthers) {
  const auto test = [this]() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    client.transport->sendto(pattern(90, 1));
    client.transport->sendto(pattern(90, 2));  // Will be lost.
    client.transport->sendto("kept");
    net.sim().fail_next(SimCall::send, ENOBUFS);
    co_await pair.server.protocol().words(3);
    EXPECT_THAT(client.log, ElementsAre("made", "error"));
    EXPECT_THAT(client.errors.front(), HasSubstr("sendto 127.0.0.1:"));
    EXPECT_EQ(pair.server.protocol().log.back(), "got:kept");
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// PR-4: errors of sends that were made before close() come before connection_lost.
TEST_F(DatagramFlow, ErrorsComeBeforeTheEnd) {
  const auto test = [this]() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    net.sim().fail_next(SimCall::send, EPERM, 2);
    client.call([](DatagramTransport& out) {
      out.sendto("a");
      out.sendto("b");
      out.close();
    });
    co_await client.ended();
    EXPECT_THAT(client.log, ElementsAre("made", "error", "error", "lost"));
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// PR-4
TEST_F(DatagramFlow, AnErrorOfAReceiveIsToldAndTheNextDatagramComes) {
  const auto test = [this]() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& server = pair.server.protocol();
    net.sim().fail_next(SimCall::recv, ENOMEM);
    pair.client.transport().sendto("after the error");
    co_await server.words(3);
    EXPECT_THAT(server.log, ElementsAre("made", "error", "got:after the error"));
    EXPECT_THAT(server.errors.front(), HasSubstr("recvfrom"));
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  net.run(test());
}

// What cannot be watched ends; the caller and the protocol are told.
TEST_F(DatagramFlow, AnEndpointThatCannotBeWatchedIsLost) {
  std::shared_ptr<DatagramRecorder> protocol = std::make_shared<DatagramRecorder>();
  const auto test = [&]() -> Coroutine<> {
    net.sim().fail_next(SimCall::set_watch, ENOSPC);
    const auto factory = [&] { return protocol; };
    auto making = net.loop().create_datagram_endpoint(factory, Address("127.0.0.1", 0));
    EXPECT_THAT(co_await error_of(std::move(making)), HasSubstr("cannot be watched"));
    co_await protocol->ended();
  };
  net.run(test());
  EXPECT_THAT(protocol->log.back(), HasSubstr("lost:"));
}

// A base error of a callback leaves the loop; what was to follow comes when it runs on.
TEST_F(DatagramFlow, AKeyboardInterruptInACallbackLosesNothing) {
  std::optional<DatagramPair> pair;
  const auto begin = [&]() -> Coroutine<> {
    DatagramPair made = co_await datagram_pair();
    pair.emplace(std::move(made));
  };
  net.run(begin());
  pair->server.protocol().on_datagram = [](std::string_view data, const Address&) {
    if (data == "a") throw KeyboardInterrupt();
  };
  pair->client.transport().sendto("a");
  pair->client.transport().sendto("b");
  pair->client.transport().close();
  EXPECT_THROW(net.loop().run_forever(), KeyboardInterrupt);
  const auto rest = [&]() -> Coroutine<> {
    co_await pair->server.protocol().words(3);
    EXPECT_THAT(pair->server.protocol().log, ElementsAre("made", "got:a", "got:b"));
    co_await close_and_wait(pair->server);
  };
  net.run(rest());
  EXPECT_TRUE(pair->client.protocol().lost);
}

class DatagramFaults : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, DatagramFaults, ::testing::ValuesIn(real_systems()), name_of);

// EAGAIN after readiness and EINTR are no errors; ENOBUFS is one of that datagram.
TEST_P(DatagramFaults, CallsThatDoNotGoAtOnceLoseNothing) {
  if (!testing::Faults::is_available()) GTEST_SKIP() << "needs a library with fault injection";
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& client = pair.client.protocol();
    DatagramRecorder& server = pair.server.protocol();
    testing::Faults faults;
    for (const int error : {EAGAIN, EINTR}) {
      testing::FailOptions some;
      some.error = error;
      some.times = 3;
      faults.fail(testing::SysCall::sendto, some);
      faults.fail(testing::SysCall::recvfrom, some);
    }
    for (const char* word : {"a", "b", "c"}) client.transport->sendto(word);
    co_await server.words(4);
    EXPECT_THAT(server.log, ElementsAre("made", "got:a", "got:b", "got:c"));
    EXPECT_THAT(client.log, ElementsAre("made"));
    EXPECT_EQ(client.transport->get_write_buffer_size(), 0u);

    testing::FailOptions none_left;
    none_left.error = ENOBUFS;
    faults.fail(testing::SysCall::sendto, none_left);
    client.transport->sendto("lost");
    client.transport->sendto("d");
    co_await server.words(5);
    co_await client.words(2);
    EXPECT_EQ(server.log.back(), "got:d");
    EXPECT_THAT(client.errors.front(), HasSubstr("No buffer space available"));
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  run(test());
}

// A program that repeats what is not confirmed gets everything through any network.
Coroutine<> deliver_all(int count) {
  DatagramPair pair = co_await datagram_pair();
  DatagramRecorder& server = pair.server.protocol();
  DatagramRecorder& client = pair.client.protocol();
  std::set<std::string> arrived;
  std::set<std::string> confirmed;
  server.on_datagram = [&](std::string_view data, const Address& from) {
    arrived.emplace(data);
    server.transport->sendto(data, from);
  };
  client.on_datagram = [&](std::string_view data, const Address&) { confirmed.emplace(data); };
  for (int round = 0; round < 1000 && confirmed.size() < std::size_t(count); ++round) {
    for (int i = 0; i < count; ++i) {
      const std::string text = std::to_string(i);
      if (!confirmed.contains(text)) client.transport->sendto(text);
    }
    co_await sleep(100ms);
  }
  EXPECT_EQ(arrived.size(), std::size_t(count));
  EXPECT_EQ(confirmed.size(), std::size_t(count));
  co_await close_and_wait(pair.client);
  co_await close_and_wait(pair.server);
}

TEST(DatagramStorm, RepeatedDatagramsGetThroughAnyNetwork) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Net net({"sim",
             true,
             {.seed = seed,
              .latency = seed % 3 * 1ms,
              .capacity = 64 + seed % 5 * 100,
              .loss_percent = unsigned(seed % 7) * 10,
              .duplicates_percent = unsigned(seed % 4) * 10,
              .reorder_percent = unsigned(seed % 5) * 10,
              .inline_budget = seed % 3},
             {}});
    for (std::uint64_t fault = 0; fault < seed % 4; ++fault) {
      net.sim().fail_next(SimCall::send, ENOBUFS);
      net.sim().fail_next(SimCall::recv, EINTR);
    }
    net.run(deliver_all(20));
  }
}

}  // namespace
}  // namespace aster::net_tests
