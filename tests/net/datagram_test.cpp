// SPDX-License-Identifier: MIT
#include "net/datagram_fixture.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <utility>

#include <unistd.h>

namespace aster::net_tests {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Words = std::vector<std::string>;

class DatagramTest : public NetTest {};

INSTANTIATE_TEST_SUITE_P(Systems, DatagramTest, ::testing::ValuesIn(all_systems()), name_of);

// PR-1, PR-6, TR-5: made first, lost last, each once, and never inside a call.
TEST_P(DatagramTest, CallsItsProtocolBackInOrder) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& server = pair.server.protocol();
    pair.client.protocol().call([](DatagramTransport& out) { out.sendto("hello"); });
    co_await server.words(2);
    server.call([](DatagramTransport& out) { out.close(); });
    EXPECT_TRUE(server.transport->is_closing());
    co_await server.ended();
    EXPECT_THAT(server.log, ElementsAre("made", "got:hello", "lost"));
    co_await close_and_wait(pair.client);
  };
  run(test());
}

// TR-24: to an address, back to the sender; a datagram without bytes is one too.
TEST_P(DatagramTest, SendsAndReceivesWholeDatagramsEmptyOnesToo) {
  const auto test = []() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(Address("127.0.0.1", 0));
    RecorderEndpoint client = co_await endpoint(Address("127.0.0.1", 0));
    const Address there = *server.transport().sockname();
    client.transport().sendto("one", there);
    client.transport().sendto("", there);
    client.transport().sendto(pattern(300), there);
    co_await server.protocol().words(4);
    EXPECT_THAT(server.protocol().log,
                ElementsAre("made", "got:one", "got:", "got:" + pattern(300)));
    EXPECT_EQ(server.protocol().last_from, *client.transport().sockname());
    server.transport().sendto("back", server.protocol().last_from);
    co_await client.protocol().words(2);
    EXPECT_THAT(client.protocol().log, ElementsAre("made", "got:back"));
    co_await close_and_wait(client);
    co_await close_and_wait(server);
  };
  run(test());
}

// TR-24: a connected endpoint has one address to send to.
TEST_P(DatagramTest, AConnectedEndpointSendsToItsPeerOnly) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramTransport& client = pair.client.transport();
    const Address there = *pair.server.transport().sockname();
    EXPECT_EQ(client.peername(), there);
    EXPECT_EQ(pair.server.transport().peername(), std::nullopt);
    client.sendto("a");
    client.sendto("b", there);
    EXPECT_THROW(client.sendto("c", Address("127.0.0.1", 9)), ValueError);
    EXPECT_THROW(pair.server.transport().sendto("d"), ValueError);
    EXPECT_THROW(pair.server.transport().sendto("d", Address()), ValueError);
    co_await pair.server.protocol().words(3);
    EXPECT_THAT(pair.server.protocol().log, ElementsAre("made", "got:a", "got:b"));
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  run(test());
}

// A UDP port that refuses what comes. It is held by a socket that is connected to itself:
// a port given back may at once be another program's, or the sender's.
class RefusingPort {
 public:
  explicit RefusingPort(bool is_simulated) {
    if (is_simulated) return;  // There nobody has port 9.
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const Address any("127.0.0.1", 0);
    EXPECT_EQ(::bind(fd_, static_cast<const sockaddr*>(any.data()), any.size()), 0);
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size), 0);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&own), size), 0);
    address_ = Address::from_native(&own, size);
  }
  RefusingPort(const RefusingPort&) = delete;
  RefusingPort& operator=(const RefusingPort&) = delete;
  ~RefusingPort() {
    if (fd_ >= 0) ::close(fd_);
  }
  // Lets an endpoint with `reuse_port` have it too, which gets what comes from then on.
  void share() const {
    const int on = 1;
    if (fd_ >= 0) {
      EXPECT_EQ(::setsockopt(fd_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    }
  }
  [[nodiscard]] const Address& address() const { return address_; }

 private:
  int fd_ = -1;
  Address address_{"127.0.0.1", 9};
};

// PR-4: the error of a send is told by a later turn, and the endpoint goes on.
TEST_P(DatagramTest, ARefusedDatagramIsToldAndClosesNothing) {
  RefusingPort refusing(net.is_simulated());
  const auto test = [&]() -> Coroutine<> {
    const Address there = refusing.address();
    RecorderEndpoint client = co_await endpoint({}, there);
    DatagramRecorder& protocol = client.protocol();
    for (int i = 0; i < 100 && protocol.errors.empty(); ++i) {
      protocol.call([](DatagramTransport& out) { out.sendto("x"); });
      co_await sleep(20ms);
    }
    EXPECT_FALSE(protocol.errors.empty());
    if (protocol.errors.empty()) co_return;
    EXPECT_THAT(protocol.errors.front(), HasSubstr("Connection refused"));
    EXPECT_FALSE(client.transport().is_closing());

    refusing.share();
    DatagramOptions shared;
    shared.reuse_port = true;
    RecorderEndpoint back = co_await endpoint(there, {}, shared);
    const std::size_t before = protocol.log.size();
    back.transport().sendto("here again", *client.transport().sockname());
    co_await protocol.words(before + 1);
    EXPECT_EQ(protocol.log.back(), "got:here again");
    co_await close_and_wait(client);
    co_await close_and_wait(back);
  };
  run(test());
}

// CON-2: connection_made, then receiving, then the caller.
TEST_P(DatagramTest, TheCallerGoesOnAfterConnectionMade) {
  const auto test = []() -> Coroutine<> {
    std::vector<std::string> order;
    const auto factory = [&]() {
      order.emplace_back("factory");
      auto made = std::make_unique<DatagramRecorder>();
      made->on_made = [&] { order.emplace_back("made"); };
      return made;
    };
    auto making = get_running_loop().create_datagram_endpoint(factory, Address("127.0.0.1", 0));
    EXPECT_TRUE(order.empty());
    RecorderEndpoint made = co_await std::move(making);
    order.emplace_back("caller");
    EXPECT_EQ(order, (Words{"factory", "made", "caller"}));
    co_await close_and_wait(made);
  };
  run(test());
}

// An Endpoint is tuple-like and shares ownership with the loop.
TEST_P(DatagramTest, AnEndpointKeepsBothAfterTheEnd) {
  const auto test = []() -> Coroutine<> {
    RecorderEndpoint made = co_await endpoint(Address("127.0.0.1", 0));
    auto& [transport, protocol] = made;
    const Address local = *transport.sockname();
    transport.close();
    transport.close();
    co_await protocol.ended();
    EXPECT_TRUE(transport.is_closing());
    EXPECT_EQ(transport.sockname(), local);
    EXPECT_EQ(transport.get_protocol(), nullptr);
    EXPECT_EQ(transport.socket().fileno(), -1);
    EXPECT_EQ(to_string(transport), "<datagram transport closed>");
    transport.sendto("into nothing", local);
    transport.abort();
  };
  run(test());
}

TEST_P(DatagramTest, ADroppedEndpointGoesOn) {
  const auto test = []() -> Coroutine<> {
    std::optional<RecorderEndpoint> server = co_await endpoint(Address("127.0.0.1", 0));
    DatagramRecorder* const protocol = &server->protocol();
    const Address there = *server->transport().sockname();
    protocol->on_datagram = [protocol](std::string_view data, const Address& from) {
      protocol->transport->sendto(data, from);
      protocol->transport->close();
    };
    server.reset();
    RecorderEndpoint client = co_await endpoint({}, there);
    client.transport().sendto("echo");
    co_await client.protocol().words(2);
    EXPECT_THAT(client.protocol().log, ElementsAre("made", "got:echo"));
    co_await close_and_wait(client);
  };
  run(test());
}

// TR-2: close() inside a callback ends the reading at once.
TEST_P(DatagramTest, NothingIsReceivedAfterCloseInACallback) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& server = pair.server.protocol();
    server.on_datagram = [&](std::string_view, const Address&) { server.transport->close(); };
    for (const char* word : {"a", "b", "c"}) pair.client.transport().sendto(word);
    co_await server.ended();
    EXPECT_THAT(server.log, ElementsAre("made", "got:a", "lost"));
    co_await close_and_wait(pair.client);
  };
  run(test());
}

// What a callback throws goes to the exception handler; the endpoint goes on.
TEST_P(DatagramTest, AFailingCallbackIsReportedAndClosesNothing) {
  net.expected_reports = {"protocol.datagram_received() failed: std::runtime_error: bad datagram"};
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& server = pair.server.protocol();
    server.on_datagram = [](std::string_view data, const Address&) {
      if (data == "bad") throw std::runtime_error("bad datagram");
    };
    pair.client.transport().sendto("bad");
    pair.client.transport().sendto("good");
    co_await server.words(3);
    EXPECT_EQ(server.log.back(), "got:good");
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
  };
  run(test());
}

// TR-7
TEST_P(DatagramTest, ItsProtocolCanBeReplaced) {
  const auto test = []() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    const auto second = std::make_shared<DatagramRecorder>();
    pair.server.transport().set_protocol(second);
    EXPECT_EQ(pair.server.transport().get_protocol(), second);
    EXPECT_THROW(pair.server.transport().set_protocol(std::make_shared<Protocol>()), TypeError);
    EXPECT_THROW(pair.server.transport().set_protocol(nullptr), TypeError);
    pair.client.transport().sendto("to the second");
    co_await second->words(1);
    EXPECT_EQ(second->log, (Words{"got:to the second"}));
    EXPECT_EQ(pair.server.protocol().log, (Words{"made"}));
    co_await close_and_wait(pair.client);
    pair.server.transport().close();
    co_await second->ended();
  };
  run(test());
}

// FD-5, SOCK-12: its descriptor is its own.
TEST_P(DatagramTest, ItsDescriptorIsTaken) {
  const auto test = []() -> Coroutine<> {
    RecorderEndpoint made = co_await endpoint(Address("127.0.0.1", 0));
    const native_socket fd = made.transport().socket().fileno();
    EXPECT_GE(fd, 0);
    EXPECT_THROW(get_running_loop().add_reader(fd, [] {}), RuntimeError);
    EXPECT_THAT(to_string(made.transport()), HasSubstr("read=polling write=<idle, bufsize=0>"));
    co_await close_and_wait(made);
  };
  run(test());
}

// CON-10: a cancelled call leaves no socket behind (the ledgers say so).
TEST_P(DatagramTest, ACancelledCallClosesItsSocket) {
  const auto test = []() -> Coroutine<> {
    for (int after = 0; after < 4; ++after) {
      auto task = create_task(endpoint(Address("127.0.0.1", 0)));
      co_await turns(after);
      task.cancel();
      const Outcome<RecorderEndpoint> result = co_await outcome(std::move(task));
      EXPECT_TRUE(result.cancelled() || after == 3);
      if (result.has_value()) result.value().transport().close();
      co_await turns(3);
    }
  };
  run(test());
}

// CON-13
TEST_P(DatagramTest, ImpossibleArgumentsAreRefused) {
  const auto test = []() -> Coroutine<> {
    const Address four("127.0.0.1", 0);
    const Address six("::1", 0);
    DatagramOptions of_six;
    of_six.family = AF_INET6;
    EXPECT_THAT(co_await error_of(endpoint({})), HasSubstr("unexpected address family"));
    EXPECT_THAT(co_await error_of(endpoint(four, six)),
                HasSubstr("can not get address information: 127.0.0.1:0, [::1]:0"));
    EXPECT_THAT(co_await error_of(endpoint(four, {}, of_six)),
                HasSubstr("can not get address information"));
    RecorderEndpoint first = co_await endpoint(four);
    EXPECT_THAT(co_await error_of(endpoint(first.transport().sockname())),
                HasSubstr("Address already in use"));
    co_await close_and_wait(first);
  };
  run(test());
}

// CON-13: with a family alone the socket is not bound; it is by its first datagram.
TEST_P(DatagramTest, AFamilyIsEnough) {
  const auto test = []() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(Address("::1", 0));
    DatagramOptions six;
    six.family = AF_INET6;
    RecorderEndpoint client = co_await endpoint({}, {}, six);
    client.transport().sendto("six", *server.transport().sockname());
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:six");
    co_await close_and_wait(client);
    co_await close_and_wait(server);
  };
  run(test());
}

// CON-13
TEST_P(DatagramTest, ReusePortAllowsTwoOnOneAddress) {
  const auto test = []() -> Coroutine<> {
    DatagramOptions shared;
    shared.reuse_port = true;
    RecorderEndpoint one = co_await endpoint(Address("127.0.0.1", 0), {}, shared);
    RecorderEndpoint two = co_await endpoint(one.transport().sockname(), {}, shared);
    EXPECT_EQ(one.transport().sockname(), two.transport().sockname());
    co_await close_and_wait(one);
    co_await close_and_wait(two);
  };
  run(test());
}

// CON-13: allow_broadcast leaves the socket unconnected, so that answers of others come.
TEST_P(DatagramTest, WithAllowBroadcastTheSocketIsNotConnected) {
  const auto test = []() -> Coroutine<> {
    DatagramOptions options;
    options.allow_broadcast = true;
    RecorderEndpoint server = co_await endpoint(Address("127.0.0.1", 0));
    RecorderEndpoint other = co_await endpoint(Address("127.0.0.1", 0));
    RecorderEndpoint client =
        co_await endpoint(Address("127.0.0.1", 0), server.transport().sockname(), options);
    EXPECT_EQ(client.transport().peername(), std::nullopt);
    EXPECT_NE(client.transport().socket().getsockopt(SOL_SOCKET, SO_BROADCAST), 0);
    client.transport().sendto("to the remote address");
    EXPECT_THROW(client.transport().sendto("x", *other.transport().sockname()), ValueError);
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:to the remote address");
    other.transport().sendto("from another", *client.transport().sockname());
    co_await client.protocol().words(2);
    EXPECT_EQ(client.protocol().log.back(), "got:from another");
    co_await close_and_wait(server);
    co_await close_and_wait(other);
    co_await close_and_wait(client);
  };
  run(test());
}

// CON-13: a socket of the caller's, and what excludes it.
TEST_P(DatagramTest, TakesOverASocket) {
  const auto test = [this]() -> Coroutine<> {
    const auto make = [this](int type) {
      return net.is_simulated() ? Socket(net.loop().backend(), AF_INET, type)
                                : Socket(AF_INET, type);
    };
    Socket socket = make(SOCK_DGRAM);
    socket.bind(Address("127.0.0.1", 0));
    const Address local = socket.getsockname();
    DatagramOptions options;
    options.sock = &socket;
    options.reuse_port = true;
    EXPECT_THAT(co_await error_of(endpoint(local, {}, options)),
                HasSubstr("sock excludes local, reuse_port"));
    options.reuse_port = false;
    Socket stream = make(SOCK_STREAM);
    DatagramOptions wrong;
    wrong.sock = &stream;
    EXPECT_THAT(co_await error_of(endpoint({}, {}, wrong)),
                HasSubstr("A datagram socket was expected"));
    EXPECT_FALSE(stream.is_closed());

    RecorderEndpoint server = co_await endpoint({}, {}, options);
    EXPECT_TRUE(socket.is_closed());
    EXPECT_EQ(server.transport().sockname(), local);
    RecorderEndpoint client = co_await endpoint({}, local);
    client.transport().sendto("hello");
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:hello");
    co_await close_and_wait(server);
    co_await close_and_wait(client);
  };
  run(test());
}

// A flood leaves room for the loop's other work: a turn takes a bounded number.
TEST_P(DatagramTest, AFloodIsBoundedInATurn) {
  const auto test = [this]() -> Coroutine<> {
    DatagramPair pair = co_await datagram_pair();
    DatagramRecorder& server = pair.server.protocol();
    std::size_t most = 0;
    std::size_t in_turn = 0;
    server.on_datagram = [&](std::string_view, const Address&) {
      if (in_turn == 0) net.loop().call_soon([&] { in_turn = 0; });
      most = std::max(most, ++in_turn);
    };
    constexpr std::size_t count = 200;
    for (std::size_t i = 0; i < count; ++i) pair.client.transport().sendto("x");
    co_await server.words(1 + count);
    EXPECT_GE(most, 1u);
    EXPECT_LE(most, 32u);
    co_await close_and_wait(pair.client);
    co_await close_and_wait(pair.server);
    co_await turns(2);
  };
  if (GetParam().name == "sim_narrow") GTEST_SKIP() << "drops what it cannot hold";
  run(test());
}

// TR-23: the loop's end closes what is open; the protocol is not called any more.
TEST_P(DatagramTest, AClosedLoopEndsOpenEndpoints) {
  std::optional<DatagramPair> pair;
  const auto test = [&]() -> Coroutine<> {
    DatagramPair made = co_await datagram_pair();
    pair.emplace(std::move(made));
  };
  run(test());
  net.close();
  EXPECT_TRUE(pair->client.transport().is_closing());
  EXPECT_EQ(pair->client.protocol().log, (Words{"made"}));
  pair->client.transport().sendto("ignored");
  pair->client.transport().close();
}

}  // namespace
}  // namespace aster::net_tests
