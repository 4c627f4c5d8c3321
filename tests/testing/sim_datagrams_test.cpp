// SPDX-License-Identifier: MIT
#include <aster/io/address.hpp>
#include <aster/io/sock.hpp>
#include <aster/testing/sim_backend.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::SimBackend;
using testing::SimCall;
using testing::SimLedger;
using testing::SimOptions;

// Datagram sockets of a simulator; "server" is bound to 127.0.0.1:53.
class SimDatagramsTest : public ::testing::Test {
 protected:
  void start(SimOptions options = {}) {
    sim.emplace(options);
    server = open();
    EXPECT_EQ(bind(server, server_address), 0);
    client = open();
  }

  native_socket open(int family = AF_INET) {
    return static_cast<native_socket>(sim->open_socket(family, SOCK_DGRAM, 0));
  }
  int bind(native_socket fd, const Address& address) {
    return sim->bind(fd, address.data(), address.size());
  }
  std::int64_t connect(native_socket fd, const Address& address) {
    Operation request([](Operation&) noexcept {});
    request.kind = Operation::Kind::connect;
    request.fd = fd;
    request.address = address.data();
    request.address_size = address.size();
    return sim->submit(request) ? request.result : -EINPROGRESS;
  }
  std::int64_t send(native_socket fd, std::string_view data) {
    return sim->send_now(fd, data.data(), data.size());
  }
  std::int64_t send_to(native_socket fd, std::string_view data, const Address& address) {
    return sim->send_to_now(fd, data, address.data(), address.size());
  }
  // A datagram, or nothing and `error`.
  std::optional<std::string> recv(native_socket fd, std::size_t room = 100) {
    std::string buffer(room, '\0');
    std::array<char, 128> peer;
    std::uint32_t size = peer.size();
    const std::int64_t result = sim->recv_from_now(fd, buffer, peer.data(), size);
    error = result < 0 ? static_cast<int>(-result) : 0;
    if (result < 0) return std::nullopt;
    from = Address::from_native(peer.data(), size);
    return buffer.substr(0, static_cast<std::size_t>(result));
  }
  void pass(Duration time) {
    sim->advance(time);
    sim->poll(Duration::zero());
  }
  Address name(native_socket fd) {
    std::array<char, 128> bytes;
    std::uint32_t size = bytes.size();
    EXPECT_EQ(sim->local_address(fd, bytes.data(), size), 0);
    return Address::from_native(bytes.data(), size);
  }
  // Everything that has come, a character for each datagram.
  std::string recv_all(native_socket fd) {
    std::string all;
    while (auto datagram = recv(fd)) all += *datagram;
    return all;
  }
  void expect_balance() {
    const SimLedger ledger = sim->ledger();
    EXPECT_EQ(ledger.bytes_accepted, ledger.bytes_delivered + ledger.bytes_discarded);
    EXPECT_TRUE(sim->violations().empty());
  }

  const Address server_address{"127.0.0.1", 53};
  std::optional<SimBackend> sim;
  native_socket server = -1;
  native_socket client = -1;
  Address from;
  int error = 0;
};

TEST_F(SimDatagramsTest, KeepTheirBordersAndTellTheirSender) {
  start();

  EXPECT_EQ(send_to(client, "one", server_address), 3);
  EXPECT_EQ(send_to(client, "", server_address), 0);
  EXPECT_EQ(send_to(client, "three", server_address), 5);

  EXPECT_EQ(recv(server), "one");
  EXPECT_EQ(from, Address("127.0.0.1", name(client).port()));
  EXPECT_EQ(recv(server), "");
  EXPECT_EQ(recv(server), "three");
  EXPECT_EQ(recv(server), std::nullopt);
  EXPECT_EQ(error, EAGAIN);
  EXPECT_EQ(send_to(server, "back", from), 4);
  EXPECT_EQ(recv(client), "back");
  EXPECT_EQ(from, server_address);
  expect_balance();
}

TEST_F(SimDatagramsTest, AreCutToTheRoomThatIsThere) {
  start();
  send_to(client, "too long", server_address);

  EXPECT_EQ(recv(server, 3), "too");

  EXPECT_EQ(recv(server), std::nullopt);
  EXPECT_EQ(sim->ledger().bytes_discarded, 5u);
  expect_balance();
}

TEST_F(SimDatagramsTest, AConnectedSocketHearsItsPeerOnly) {
  start();
  EXPECT_EQ(connect(client, server_address), 0);
  const native_socket stranger = open();

  send_to(stranger, "no", name(client));
  send_to(server, "yes", name(client));

  EXPECT_EQ(recv(client), "yes");
  EXPECT_EQ(recv(client), std::nullopt);
  EXPECT_EQ(send(client, "hello"), 5);
  EXPECT_EQ(recv(server), "hello");
  EXPECT_EQ(from, name(client));
}

TEST_F(SimDatagramsTest, OnlyAConnectedSenderHearsThatNobodyIsThere) {
  start({.latency = 1ms});
  const Address nobody{"127.0.0.1", 9};
  EXPECT_EQ(connect(client, nobody), 0);
  const native_socket other = open();

  EXPECT_EQ(send(client, "x"), 1);
  EXPECT_EQ(send_to(other, "x", nobody), 1);
  pass(2ms);
  pass(2ms);

  EXPECT_EQ(send(client, "y"), -ECONNREFUSED);  // Once.
  EXPECT_EQ(send(client, "y"), 1);
  EXPECT_EQ(send_to(other, "y", nobody), 1);
}

TEST_F(SimDatagramsTest, AFullBufferGivesEagainUntilSomethingArrives) {
  start({.latency = 1ms, .capacity = 10});

  EXPECT_EQ(send_to(client, "12345678", server_address), 8);
  EXPECT_EQ(send_to(client, "abc", server_address), -EAGAIN);
  pass(1ms);

  EXPECT_EQ(send_to(client, "abc", server_address), 3);
}

TEST_F(SimDatagramsTest, WhatAReceiverCannotHoldIsDropped) {
  start({.capacity = 10});

  EXPECT_EQ(send_to(client, "12345678", server_address), 8);
  EXPECT_EQ(send_to(client, "abc", server_address), 3);

  EXPECT_EQ(recv(server), "12345678");
  EXPECT_EQ(recv(server), std::nullopt);
  expect_balance();
}

TEST_F(SimDatagramsTest, ImpossibleOnesAreRefused) {
  start();

  EXPECT_EQ(send(client, "x"), -EDESTADDRREQ);
  EXPECT_EQ(send_to(client, std::string(65508, 'x'), server_address), -EMSGSIZE);
  EXPECT_EQ(send_to(client, "x", Address("::1", 53)), -EAFNOSUPPORT);
  EXPECT_EQ(send_to(client, "x", Address("192.168.7.7", 53)), -ENETUNREACH);
  EXPECT_EQ(send_to(client, "x", Address("255.255.255.255", 53)), -EACCES);
  EXPECT_EQ(sim->listen(server, 1), -EOPNOTSUPP);
  EXPECT_EQ(bind(open(), server_address), -EADDRINUSE);
}

TEST_F(SimDatagramsTest, BetweenUnixSocketsArriveAtOnceOrTellWhyNot) {
  start({.capacity = 10});
  const Address path = Address::unix_path("box");
  const native_socket box = open(AF_UNIX);
  const native_socket sender = open(AF_UNIX);

  EXPECT_EQ(send(sender, "x"), -ENOTCONN);
  EXPECT_EQ(send_to(sender, "x", path), -ENOENT);
  ASSERT_EQ(bind(box, path), 0);
  EXPECT_EQ(bind(open(AF_UNIX), path), -EADDRINUSE);
  EXPECT_EQ(connect(sender, path), 0);
  EXPECT_EQ(send(sender, "12345678"), 8);
  EXPECT_EQ(send(sender, "abc"), -EAGAIN);
  EXPECT_EQ(recv(box), "12345678");
  EXPECT_EQ(send(sender, "abc"), 3);
  EXPECT_EQ(recv(box), "abc");
  EXPECT_EQ(send(sender, std::string(212961, 'x')), -EMSGSIZE);
  sim->close_socket(box);
  EXPECT_EQ(send(sender, "x"), -ECONNREFUSED);
  expect_balance();
}

TEST_F(SimDatagramsTest, AUnixSocketWithAPeerRefusesOthers) {
  start();
  const Address one = Address::unix_path("one");
  const Address two = Address::unix_path("two");
  const native_socket first = open(AF_UNIX);
  const native_socket second = open(AF_UNIX);
  ASSERT_EQ(bind(first, one), 0);
  ASSERT_EQ(bind(second, two), 0);
  ASSERT_EQ(connect(first, two), 0);
  const auto stream = static_cast<native_socket>(sim->open_socket(AF_UNIX, SOCK_STREAM, 0));

  EXPECT_EQ(send_to(second, "x", one), 1);
  EXPECT_EQ(send_to(open(AF_UNIX), "x", one), -EPERM);
  EXPECT_EQ(connect(stream, one), -EPROTOTYPE);
  EXPECT_EQ(recv(first), "x");
  expect_balance();
}

TEST_F(SimDatagramsTest, HavePortsOfTheirOwn) {
  start();
  const auto stream = static_cast<native_socket>(sim->open_socket(AF_INET, SOCK_STREAM, 0));

  EXPECT_EQ(bind(stream, server_address), 0);
}

TEST_F(SimDatagramsTest, SixWorksAsWellAsFour) {
  start();
  const native_socket six = open(AF_INET6);
  EXPECT_EQ(bind(six, Address("::", 99)), 0);

  EXPECT_EQ(send_to(open(AF_INET6), "6", Address("::1", 99)), 1);
  EXPECT_EQ(recv(six), "6");
  EXPECT_EQ(send_to(client, "4", Address("127.0.0.1", 99)), 1);
  EXPECT_EQ(recv(six), "4");
  EXPECT_EQ(from.host(), "::ffff:127.0.0.1");
}

TEST_F(SimDatagramsTest, GetLostAsOftenAsAskedFor) {
  start({.loss_percent = 20, .duplicates_percent = 10});
  for (int i = 0; i < 1000; ++i) send_to(client, ".", server_address);

  const std::size_t got = recv_all(server).size();

  EXPECT_GT(got, 800u);  // 880 are to be expected.
  EXPECT_LT(got, 960u);
  expect_balance();
}

TEST_F(SimDatagramsTest, OvertakeOneAnotherWhenAskedTo) {
  start({.latency = 1ms, .reorder_percent = 30});
  std::string sent;
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    sent += letter;
    send_to(client, {&letter, 1}, server_address);
    pass(1ms);
  }
  pass(1s);

  std::string got = recv_all(server);

  EXPECT_NE(got, sent);
  std::sort(got.begin(), got.end());
  EXPECT_EQ(got, sent);  // Nothing is lost.
}

TEST_F(SimDatagramsTest, TheSameSeedGivesTheSameRun) {
  std::vector<std::string> runs;
  for (const std::uint64_t seed : {7u, 7u, 8u}) {
    start({.seed = seed, .latency = 1ms, .loss_percent = 20, .reorder_percent = 20});
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      send_to(client, {&letter, 1}, server_address);
      pass(1ms);
    }
    pass(1s);
    runs.push_back(recv_all(server));
  }

  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

TEST_F(SimDatagramsTest, ScriptedErrorsHitThem) {
  start();
  sim->fail_next(SimCall::send, ENOBUFS);
  sim->fail_next(SimCall::recv, ENOMEM);

  EXPECT_EQ(send_to(client, "x", server_address), -ENOBUFS);
  EXPECT_EQ(recv(server), std::nullopt);
  EXPECT_EQ(error, ENOMEM);
}

TEST_F(SimDatagramsTest, WhatIsUnreadWhenTheSocketClosesCountsAsDiscarded) {
  start();
  send_to(client, "12345", server_address);

  EXPECT_EQ(sim->close_socket(server), 0);

  EXPECT_EQ(sim->ledger().bytes_discarded, 5u);
}

// The loop's own functions on simulated datagrams (SOCK-3, SOCK-6).
TEST(SimDatagramsLoop, SockSendtoAndSockRecvfromWork) {
  testing::SimLoop loop({.latency = 1ms});
  const auto talk = [&]() -> Coroutine<std::string> {
    Socket one(loop.backend(), AF_INET, SOCK_DGRAM);
    Socket two(loop.backend(), AF_INET, SOCK_DGRAM);
    one.bind(Address("127.0.0.1", 7));
    auto sending = loop.sock_sendto(two, "hello", Address("127.0.0.1", 7));
    co_await std::move(sending);
    auto receiving = loop.sock_recvfrom(one, 100);
    const ReceivedFrom got = co_await std::move(receiving);
    EXPECT_EQ(got.address.host(), "127.0.0.1");
    co_return got.data;
  };

  EXPECT_EQ(loop.run_until_complete(talk()), "hello");
  EXPECT_TRUE(loop.sim().violations().empty());
}

}  // namespace
}  // namespace aster
