// SPDX-License-Identifier: MIT
#include <aster/base/error.hpp>
#include <aster/testing/sim_backend.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::SimBackend;
using testing::SimCall;
using testing::SimLedger;
using testing::SimOptions;
using Kind = Operation::Kind;

const Address server_address{"127.0.0.1", 80};

// An operation with its bytes, which remembers how it ended.
struct Request : Operation {
  explicit Request(Kind wanted, native_socket on, std::size_t bytes = 0)
      : Operation([](Operation& operation) noexcept {
          auto& self = static_cast<Request&>(operation);
          ++self.completions;
          self.received += self.lent;
          if (self.then) self.then();
        }),
        buffer(bytes, '\0') {
    kind = wanted;
    fd = on;
    data = buffer.data();
    size = buffer.size();
  }

  // Submits; the result when it is over at once.
  std::optional<std::int64_t> start(SimBackend& sim) {
    if (sim.submit(*this)) return result;
    return std::nullopt;
  }

  // Submits and, when need be, polls until it is over.
  std::int64_t run(SimBackend& sim) {
    if (auto now = start(sim)) return *now;
    while (is_pending() && !sim.deadlocked()) sim.poll(Duration::max());
    return is_pending() ? -EDEADLK : result;
  }

  std::string buffer;
  std::string received;  // What was lent.
  std::function<void()> then;
  int completions = 0;
};

// A simulator in which a client is connected to a server.
class SimBackendTest : public ::testing::Test {
 protected:
  void connect(SimOptions options) {
    sim.emplace(options);
    listener = listen(server_address);
    std::tie(client, server) = pair(listener, server_address);
  }

  native_socket open(int family = AF_INET) {
    return static_cast<native_socket>(sim->open_socket(family, SOCK_STREAM, 0));
  }

  int bind(native_socket fd, const Address& address) {
    return sim->bind(fd, address.data(), address.size());
  }

  native_socket listen(const Address& address, int backlog = 8) {
    const native_socket fd = open(address.family());
    EXPECT_EQ(bind(fd, address), 0);
    EXPECT_EQ(sim->listen(fd, backlog), 0);
    return fd;
  }

  std::unique_ptr<Request> connecting(native_socket fd, const Address& address) {
    auto request = std::make_unique<Request>(Kind::connect, fd);
    addresses.push_back(std::make_unique<Address>(address));
    request->address = addresses.back()->data();
    request->address_size = addresses.back()->size();
    return request;
  }

  std::int64_t connect(native_socket fd, const Address& address) {
    return connecting(fd, address)->run(*sim);
  }

  std::pair<native_socket, native_socket> pair(native_socket on, const Address& address) {
    const native_socket fd = open(address.family());
    EXPECT_EQ(connect(fd, address), 0);
    return {fd, static_cast<native_socket>(Request(Kind::accept, on).run(*sim))};
  }

  // Receives once: the bytes, or nothing and `error`.
  std::string recv(native_socket fd, std::size_t size = 100) {
    Request request(Kind::recv, fd, size);
    error = request.run(*sim);
    return error > 0 ? request.buffer.substr(0, static_cast<std::size_t>(error)) : "";
  }

  std::string recv_all(native_socket fd) {
    std::string all;
    while (true) {
      const std::string piece = recv(fd, 1000);
      if (piece.empty()) return all;
      all += piece;
    }
  }

  std::int64_t send(native_socket fd, std::string_view bytes) {
    return sim->send_now(fd, bytes.data(), bytes.size());
  }

  Address name(native_socket fd) {
    char bytes[128];
    std::uint32_t size = sizeof bytes;
    EXPECT_EQ(sim->local_address(fd, bytes, size), 0);
    return Address::from_native(bytes, size);
  }

  Address peer(native_socket fd) {
    char bytes[128];
    std::uint32_t size = sizeof bytes;
    EXPECT_EQ(sim->peer_address(fd, bytes, size), 0);
    return Address::from_native(bytes, size);
  }

  int option(native_socket fd, int level, int option_name) {
    int value = -1;
    std::uint32_t size = sizeof value;
    EXPECT_EQ(sim->get_option(fd, level, option_name, &value, size), 0);
    return value;
  }

  int set(native_socket fd, int level, int option_name, int value = 1) {
    return sim->set_option(fd, level, option_name, &value, sizeof value);
  }

  std::optional<SimBackend> sim;
  std::vector<std::unique_ptr<Address>> addresses;
  native_socket listener = -1;
  native_socket client = -1;
  native_socket server = -1;
  std::int64_t error = 0;  // The result of the last recv().
};

// The clock ----------------------------------------------------------------------

TEST_F(SimBackendTest, TheClockStandsUntilSomethingWaits) {
  sim.emplace();
  const TimePoint start = sim->now();

  sim->poll(0ms);
  EXPECT_EQ(sim->now(), start);
  sim->poll(3h);
  EXPECT_EQ(sim->now() - start, 3h);
  sim->advance(1s);
  EXPECT_EQ(sim->now() - start, 3h + 1s);
  EXPECT_EQ(SimBackend().now(), start);
}

TEST_F(SimBackendTest, AWaitForEverWithNothingToComeIsADeadlock) {
  sim.emplace();
  const TimePoint start = sim->now();

  sim->poll(Duration::max());
  EXPECT_TRUE(sim->deadlocked());
  EXPECT_EQ(sim->now(), start);

  sim->poll(1s);
  EXPECT_FALSE(sim->deadlocked());
}

TEST_F(SimBackendTest, AWakeEndsTheNextWaitAndOnlyThat) {
  sim.emplace();
  const TimePoint start = sim->now();
  const std::shared_ptr<Waker> waker = sim->waker();

  waker->wake();
  waker->wake();
  sim->poll(1h);
  EXPECT_EQ(sim->now(), start);
  sim->poll(1h);
  EXPECT_EQ(sim->now(), start + 1h);

  sim.reset();
  waker->wake();  // Later than the back end: harmless.
}

TEST_F(SimBackendTest, WaitsForThreadsWhenToldTo) {
  sim.emplace(SimOptions{.wait_for_threads = true});
  std::thread other([waker = sim->waker()] { waker->wake(); });

  sim->poll(Duration::max());

  EXPECT_FALSE(sim->deadlocked());
  other.join();
}

TEST_F(SimBackendTest, LatencyTakesVirtualTime) {
  connect({.latency = 10ms});
  const TimePoint start = sim->now();

  EXPECT_EQ(send(client, "hello"), 5);
  EXPECT_EQ(recv(server), "hello");
  EXPECT_EQ(sim->now() - start, 10ms);

  const native_socket second = open();
  EXPECT_EQ(connect(second, server_address), 0);
  EXPECT_EQ(sim->now() - start, 30ms);
}

TEST_F(SimBackendTest, AWaitEndsAtItsTimeoutBeforeALaterEvent) {
  connect({.latency = 10ms});
  const TimePoint start = sim->now();
  Request request(Kind::recv, server, 10);
  EXPECT_EQ(request.start(*sim), std::nullopt);
  send(client, "x");

  sim->poll(4ms);
  EXPECT_EQ(sim->now() - start, 4ms);
  EXPECT_TRUE(request.is_pending());
  sim->poll(1h);
  EXPECT_EQ(sim->now() - start, 10ms);
  EXPECT_EQ(request.result, 1);
}

// Descriptors and addresses -------------------------------------------------------------

TEST_F(SimBackendTest, TheLowestFreeNumberIsUsedAgainAtOnce) {
  sim.emplace();
  const native_socket a = open();
  const native_socket b = open();
  EXPECT_EQ(a, SimBackend::first_descriptor);
  EXPECT_EQ(b, a + 1);

  sim->close_socket(a);

  EXPECT_EQ(open(), a);
  EXPECT_EQ(open(), b + 1);
  EXPECT_EQ(sim->open_descriptors(), (std::vector<native_socket>{a, b, b + 1}));
}

TEST_F(SimBackendTest, UseAfterCloseIsAViolation) {
  sim.emplace();
  const native_socket fd = open();
  EXPECT_EQ(sim->close_socket(fd), 0);

  EXPECT_EQ(sim->close_socket(fd), -EBADF);
  EXPECT_EQ(Request(Kind::recv, fd, 1).start(*sim), -EBADF);
  EXPECT_EQ(send(fd, "x"), -EBADF);

  ASSERT_EQ(sim->violations().size(), 3u);
  EXPECT_EQ(sim->violations().front(), "close on closed descriptor 1000000");
}

TEST_F(SimBackendTest, ClosingUnderAPendingOperationIsAViolationAndEndsIt) {
  connect({});
  Request request(Kind::recv, client, 1);
  EXPECT_EQ(request.start(*sim), std::nullopt);

  sim->close_socket(client);
  EXPECT_EQ(request.completions, 0);
  sim->poll(0ms);

  EXPECT_EQ(request.result, -EBADF);
  EXPECT_EQ(sim->violations(),
            std::vector<std::string>{"close of descriptor 1000001 under a pending recv"});
}

TEST_F(SimBackendTest, RealDescriptorsCannotBeWatched) {
  sim.emplace();
  Watch watch([](Watch&, unsigned) noexcept {});

  EXPECT_EQ(sim->set_watch(0, Watch::readable, watch), -EBADF);
  EXPECT_TRUE(sim->violations().empty());
}

TEST_F(SimBackendTest, OnlyStreamsAndDatagramsAreThere) {
  sim.emplace();

  EXPECT_EQ(sim->open_socket(AF_INET, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT);
  EXPECT_EQ(sim->open_socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), -EPROTONOSUPPORT);
  EXPECT_EQ(sim->open_socket(AF_UNIX, SOCK_SEQPACKET, 0), -ESOCKTNOSUPPORT);
  EXPECT_EQ(sim->open_socket(AF_NETLINK, SOCK_STREAM, 0), -EAFNOSUPPORT);
  EXPECT_EQ(sim->open_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
  EXPECT_GE(sim->open_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), 0);
}

TEST_F(SimBackendTest, UnixSocketsConnectAtOnceOrNotAtAll) {
  sim.emplace();
  const Address path = Address::unix_path("/run/sim");
  const auto listening = static_cast<native_socket>(sim->open_socket(AF_UNIX, SOCK_STREAM, 0));
  const auto connect = [&] {
    const auto fd = static_cast<native_socket>(sim->open_socket(AF_UNIX, SOCK_STREAM, 0));
    Operation operation([](Operation&) noexcept {});
    operation.kind = Operation::Kind::connect;
    operation.fd = fd;
    operation.address = path.data();
    operation.address_size = path.size();
    EXPECT_TRUE(sim->submit(operation));
    return operation.result;
  };

  EXPECT_EQ(connect(), -ENOENT);
  EXPECT_EQ(sim->listen(listening, 0), -EINVAL);
  EXPECT_EQ(sim->bind(listening, path.data(), path.size()), 0);
  EXPECT_EQ(connect(), -ECONNREFUSED);
  EXPECT_EQ(sim->listen(listening, 0), 0);
  EXPECT_EQ(connect(), 0);
  EXPECT_EQ(connect(), -EAGAIN);  // The backlog is full.
  const auto other = static_cast<native_socket>(sim->open_socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(sim->bind(other, path.data(), path.size()), -EADDRINUSE);
  EXPECT_EQ(sim->close_socket(listening), 0);
  EXPECT_EQ(sim->bind(other, path.data(), path.size()), 0);
}

TEST_F(SimBackendTest, APipeTellsItsWriterThatTheReaderHasGone) {
  sim.emplace();
  const testing::SimPipe pipe = sim->open_pipe();
  EXPECT_EQ(sim->send_now(pipe.write_end, "unread", 6), 6);

  EXPECT_EQ(sim->close_socket(pipe.read_end), 0);

  EXPECT_EQ(sim->send_now(pipe.write_end, "x", 1), -EPIPE);
  EXPECT_EQ(sim->send_now(pipe.write_end, "x", 1), -EPIPE);
  EXPECT_EQ(sim->ledger().bytes_discarded, 6U);
}

TEST_F(SimBackendTest, BindChecksItsAddress) {
  sim.emplace();
  const native_socket fd = open();

  EXPECT_EQ(bind(fd, Address{"::1", 80}), -EAFNOSUPPORT);
  EXPECT_EQ(bind(open(AF_INET6), Address{"127.0.0.1", 80}), -EINVAL);
  EXPECT_EQ(bind(fd, Address{"192.0.2.1", 80}), -EADDRNOTAVAIL);
  EXPECT_EQ(sim->bind(fd, server_address.data(), 3), -EINVAL);
  EXPECT_EQ(bind(fd, Address{"10.1.2.3", 0}), 0);
  EXPECT_GT(name(fd).port(), 0);
  EXPECT_EQ(bind(fd, Address{"10.1.2.3", 0}), -EINVAL);
}

TEST_F(SimBackendTest, LocalNetworksCanBeChosen) {
  sim.emplace();

  sim->clear_local_networks();
  sim->add_local_network("192.0.2.0/25");

  EXPECT_EQ(bind(open(), Address{"192.0.2.127", 80}), 0);
  EXPECT_EQ(bind(open(), Address{"192.0.2.128", 80}), -EADDRNOTAVAIL);
  EXPECT_EQ(bind(open(), server_address), -EADDRNOTAVAIL);
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.0/", "name/8", "10.0.0.0/8x", "10/8"}) {
    EXPECT_THROW(sim->add_local_network(bad), ValueError) << bad;
  }
}

TEST_F(SimBackendTest, APortIsTakenByOverlappingAddressesOnly) {
  sim.emplace();
  listen(server_address);

  EXPECT_EQ(bind(open(), server_address), -EADDRINUSE);
  EXPECT_EQ(bind(open(), Address{"0.0.0.0", 80}), -EADDRINUSE);
  EXPECT_EQ(bind(open(AF_INET6), Address{"::", 80}), -EADDRINUSE);
  EXPECT_EQ(bind(open(), Address{"127.0.0.2", 80}), 0);
  EXPECT_EQ(bind(open(AF_INET6), Address{"::1", 80}), 0);
  const native_socket only6 = open(AF_INET6);
  sim->close_socket(only6 - 1);
  EXPECT_EQ(set(only6, IPPROTO_IPV6, IPV6_V6ONLY), 0);
  EXPECT_EQ(bind(only6, Address{"::", 80}), 0);
}

TEST_F(SimBackendTest, ReuseportSharesAListeningPort) {
  sim.emplace();
  const native_socket a = open();
  const native_socket b = open();
  for (native_socket fd : {a, b}) {
    EXPECT_EQ(set(fd, SOL_SOCKET, SO_REUSEPORT), 0);
    EXPECT_EQ(bind(fd, server_address), 0);
    EXPECT_EQ(sim->listen(fd, 100), 0);
  }

  for (int i = 0; i < 50; ++i) EXPECT_EQ(connect(open(), server_address), 0);

  EXPECT_GE(Request(Kind::accept, a).run(*sim), 0);
  EXPECT_GE(Request(Kind::accept, b).run(*sim), 0);
}

TEST_F(SimBackendTest, AnUnboundSocketHasAnAddressOfZeros) {
  sim.emplace();

  EXPECT_EQ(name(open()).str(), "0.0.0.0:0");
  EXPECT_EQ(name(open(AF_INET6)).str(), "[::]:0");
}

TEST_F(SimBackendTest, AddressesAreWrittenOnlyAsFarAsThereIsRoom) {
  sim.emplace();
  const native_socket fd = listen(server_address);
  char bytes[5] = {0, 0, 0, 0, 'x'};
  std::uint32_t size = 4;

  EXPECT_EQ(sim->local_address(fd, bytes, size), 0);

  EXPECT_EQ(size, server_address.size());
  EXPECT_EQ(bytes[4], 'x');
}

// Connecting and accepting --------------------------------------------------------------

TEST_F(SimBackendTest, BothEndsKnowBothAddresses) {
  connect({});

  EXPECT_EQ(peer(client), server_address);
  EXPECT_EQ(name(server), server_address);
  EXPECT_EQ(name(client).host(), "127.0.0.1");
  EXPECT_EQ(peer(server), name(client));
}

TEST_F(SimBackendTest, ConnectNeverEndsInsideSubmit) {
  sim.emplace();
  listen(server_address);
  const auto request = connecting(open(), server_address);

  EXPECT_EQ(request->start(*sim), std::nullopt);
  sim->poll(0ms);

  EXPECT_EQ(request->completions, 1);
  EXPECT_EQ(request->result, 0);
}

TEST_F(SimBackendTest, ConnectIsRefusedWhereNobodyListens) {
  sim.emplace();
  const native_socket fd = open();

  EXPECT_EQ(connect(fd, server_address), -ECONNREFUSED);
  listen(server_address);
  EXPECT_EQ(connect(fd, server_address), 0);
  EXPECT_EQ(connect(fd, server_address), -EISCONN);
}

TEST_F(SimBackendTest, ConnectToAForeignAddressIsUnreachable) {
  sim.emplace();

  EXPECT_EQ(connect(open(), Address{"192.0.2.1", 80}), -ENETUNREACH);
  EXPECT_EQ(connect(open(), Address{"::1", 80}), -EAFNOSUPPORT);
}

TEST_F(SimBackendTest, ABlackHoleNeverAnswers) {
  sim.emplace();
  sim->add_black_hole(Address{"192.0.2.1", 0});
  const auto request = connecting(open(), Address{"192.0.2.1", 80});

  EXPECT_EQ(request->start(*sim), std::nullopt);
  sim->poll(24h);
  EXPECT_TRUE(request->is_pending());
  sim->poll(Duration::max());
  EXPECT_TRUE(sim->deadlocked());

  EXPECT_TRUE(sim->cancel(*request));
}

TEST_F(SimBackendTest, AFullBacklogMakesClientsKnockAgain) {
  sim.emplace();
  listener = listen(server_address, 1);
  EXPECT_EQ(connect(open(), server_address), 0);
  EXPECT_EQ(connect(open(), server_address), 0);  // Linux holds one more.
  const TimePoint start = sim->now();
  const auto third = connecting(open(), server_address);
  EXPECT_EQ(third->start(*sim), std::nullopt);
  sim->poll(500ms);
  EXPECT_TRUE(third->is_pending());

  EXPECT_GE(Request(Kind::accept, listener).run(*sim), 0);
  sim->poll(Duration::max());

  EXPECT_EQ(third->result, 0);
  EXPECT_EQ(sim->now() - start, 1s);
}

TEST_F(SimBackendTest, AFullBacklogTimesOutInTheEnd) {
  sim.emplace();
  listen(server_address, 0);
  EXPECT_EQ(connect(open(), server_address), 0);
  const TimePoint start = sim->now();

  EXPECT_EQ(connect(open(), server_address), -ETIMEDOUT);
  EXPECT_EQ(sim->now() - start, 127s);
}

TEST_F(SimBackendTest, ADualStackListenerSeesMappedAddresses) {
  sim.emplace();
  listener = listen(Address{"::", 80});

  const auto [from4, to4] = pair(listener, server_address);
  EXPECT_EQ(name(to4).host(), "::ffff:127.0.0.1");
  EXPECT_EQ(peer(to4).port(), name(from4).port());

  const auto [from6, to6] = pair(listener, Address{"::1", 80});
  EXPECT_EQ(name(to6).host(), "::1");
  EXPECT_EQ(peer(to6), name(from6));
}

TEST_F(SimBackendTest, ClosingAListenerResetsWhatWasNotAccepted) {
  sim.emplace();
  listener = listen(server_address);
  client = open();
  EXPECT_EQ(connect(client, server_address), 0);

  sim->close_socket(listener);

  recv(client);
  EXPECT_EQ(error, -ECONNRESET);
  EXPECT_EQ(connect(open(), server_address), -ECONNREFUSED);
}

TEST_F(SimBackendTest, AcceptWaitsForAConnection) {
  sim.emplace();
  listener = listen(server_address);
  Request request(Kind::accept, listener);
  EXPECT_EQ(request.start(*sim), std::nullopt);
  EXPECT_EQ(Request(Kind::accept, listener).start(*sim), -EBUSY);

  EXPECT_EQ(connect(open(), server_address), 0);
  sim->poll(0ms);

  EXPECT_GE(request.result, SimBackend::first_descriptor);
  EXPECT_EQ(request.completions, 1);
}

TEST_F(SimBackendTest, AcceptedSocketsInheritOptions) {
  sim.emplace();
  listener = listen(server_address);
  set(listener, SOL_SOCKET, SO_KEEPALIVE);

  server = pair(listener, server_address).second;

  EXPECT_EQ(option(server, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(option(server, SOL_SOCKET, SO_ACCEPTCONN), 0);
  EXPECT_EQ(option(server, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
}

// Bytes ------------------------------------------------------------------------------------

TEST_F(SimBackendTest, BytesArriveInOrder) {
  connect({});

  EXPECT_EQ(send(client, "hello "), 6);
  const std::vector<std::string_view> pieces{"wor", "", "ld"};
  EXPECT_EQ(sim->send_now(client, pieces), 5);

  EXPECT_EQ(recv(server, 3), "hel");
  EXPECT_EQ(recv(server), "lo world");
}

TEST_F(SimBackendTest, APendingReceiveEndsInPoll) {
  connect({});
  Request request(Kind::recv, server, 10);
  EXPECT_EQ(request.start(*sim), std::nullopt);
  EXPECT_TRUE(sim->is_watching());

  send(client, "x");
  EXPECT_EQ(request.completions, 0);
  sim->poll(0ms);

  EXPECT_EQ(request.completions, 1);
  EXPECT_EQ(request.result, 1);
  EXPECT_FALSE(sim->is_watching());
}

TEST_F(SimBackendTest, CapacityHoldsASenderBackUntilTheReceiverReads) {
  connect({.capacity = 4});

  EXPECT_EQ(send(client, "abcdef"), 4);
  EXPECT_EQ(send(client, "ef"), -EAGAIN);
  Request request(Kind::send, client, 2);
  request.buffer = "ef";
  EXPECT_EQ(request.start(*sim), std::nullopt);
  EXPECT_EQ(recv(server, 3), "abc");
  sim->poll(0ms);

  EXPECT_EQ(request.result, 2);
  EXPECT_EQ(recv(server), "def");
}

TEST_F(SimBackendTest, MaxChunkCutsEveryTransferReproducibly) {
  const auto sizes = [this](std::uint64_t seed) {
    connect({.seed = seed, .max_chunk = 3});
    std::vector<std::int64_t> all;
    for (int i = 0; i < 50; ++i) {
      all.push_back(send(client, "0123456789"));
      EXPECT_GE(all.back(), 1);
      EXPECT_LE(all.back(), 3);
      all.push_back(static_cast<std::int64_t>(recv(server).size()));
      EXPECT_LE(all.back(), 3);
    }
    return all;
  };

  EXPECT_EQ(sizes(1), sizes(1));
  EXPECT_NE(sizes(1), sizes(2));
}

TEST_F(SimBackendTest, LendsWhatArrived) {
  connect({});
  Request request(Kind::recv, server);
  request.data = nullptr;
  request.size = 4;
  EXPECT_EQ(request.start(*sim), std::nullopt);

  send(client, "abcdef");
  sim->poll(0ms);
  EXPECT_EQ(request.received, "abcd");
  EXPECT_EQ(request.start(*sim), 2);
  EXPECT_EQ(request.lent, "ef");
}

TEST_F(SimBackendTest, EmptyTransfersAreOverAtOnce) {
  connect({});

  EXPECT_EQ(send(client, ""), 0);
  EXPECT_EQ(Request(Kind::recv, server, 0).start(*sim), 0);
}

TEST_F(SimBackendTest, TheBudgetEndsInlineCompletionsUntilTheNextPoll) {
  connect({.inline_budget = 2});
  sim->poll(0ms);
  send(client, "abc");

  EXPECT_EQ(Request(Kind::recv, server, 1).start(*sim), 1);
  EXPECT_EQ(Request(Kind::recv, server, 1).start(*sim), 1);
  Request third(Kind::recv, server, 1);
  EXPECT_EQ(third.start(*sim), std::nullopt);
  sim->poll(0ms);

  EXPECT_EQ(third.buffer, "c");
}

// Ends -----------------------------------------------------------------------------------------

TEST_F(SimBackendTest, ShutdownWriteEndsTheStreamBehindItsDataOnly) {
  connect({.latency = 1ms});
  send(client, "last");
  EXPECT_EQ(sim->shutdown_write(client), 0);
  EXPECT_EQ(sim->shutdown_write(client), 0);

  EXPECT_EQ(send(client, "x"), -EPIPE);
  EXPECT_EQ(recv(server), "last");
  EXPECT_EQ(recv(server), "");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(send(server, "still"), 5);
  EXPECT_EQ(recv(client), "still");
  EXPECT_EQ(sim->shutdown_write(listener), 0);
  EXPECT_EQ(sim->shutdown_write(server), 0);
  EXPECT_EQ(sim->shutdown_write(server), -ENOTCONN);  // Both directions have ended.
}

TEST_F(SimBackendTest, CloseIsAnOrderlyEnd) {
  connect({});
  send(client, "last");

  sim->close_socket(client);

  EXPECT_EQ(recv(server), "last");
  EXPECT_EQ(recv(server), "");
  EXPECT_EQ(error, 0);
}

TEST_F(SimBackendTest, SendingToAClosedPeerSucceedsOnceThenIsAnEpipe) {
  connect({});
  sim->close_socket(client);

  EXPECT_EQ(send(server, "lost"), 4);
  EXPECT_EQ(send(server, "x"), -EPIPE);
  EXPECT_EQ(recv(server), "");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(sim->ledger().bytes_discarded, 4u);
}

TEST_F(SimBackendTest, CloseWithUnreadDataIsAReset) {
  connect({});
  send(server, "unread");
  send(client, "sent");

  sim->close_socket(client);

  EXPECT_EQ(recv(server), "sent");  // Linux lets it be read.
  recv(server);
  EXPECT_EQ(error, -ECONNRESET);
  recv(server);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(send(server, "x"), -EPIPE);
}

TEST_F(SimBackendTest, LingerZeroIsAReset) {
  connect({});
  const linger off{1, 0};
  EXPECT_EQ(sim->set_option(client, SOL_SOCKET, SO_LINGER, &off, sizeof off), 0);

  sim->close_socket(client);

  EXPECT_EQ(option(server, SOL_SOCKET, SO_ERROR), ECONNRESET);
  EXPECT_EQ(option(server, SOL_SOCKET, SO_ERROR), 0);
}

TEST_F(SimBackendTest, AResetIsTakenByTheFirstSend) {
  connect({});
  send(server, "unread");
  sim->close_socket(client);

  EXPECT_EQ(send(server, "x"), -ECONNRESET);
  EXPECT_EQ(send(server, "x"), -EPIPE);
}

TEST_F(SimBackendTest, CallsOnAnUnconnectedSocketFailAsOnLinux) {
  sim.emplace();
  const native_socket fd = open();

  EXPECT_EQ(send(fd, "x"), -EPIPE);
  EXPECT_EQ(Request(Kind::recv, fd, 1).start(*sim), -ENOTCONN);
  EXPECT_EQ(Request(Kind::accept, fd).start(*sim), -EINVAL);
  char bytes[128];
  std::uint32_t size = sizeof bytes;
  EXPECT_EQ(sim->peer_address(fd, bytes, size), -ENOTCONN);
}

// Cancelling -----------------------------------------------------------------------------------

TEST_F(SimBackendTest, ACancelledOperationTransfersNothing) {
  connect({});
  Request request(Kind::recv, server, 10);
  EXPECT_EQ(request.start(*sim), std::nullopt);
  send(client, "kept");

  EXPECT_TRUE(sim->cancel(request));
  sim->poll(0ms);

  EXPECT_EQ(request.completions, 0);
  EXPECT_FALSE(request.is_pending());
  EXPECT_EQ(recv(server), "kept");
  EXPECT_TRUE(sim->violations().empty());
}

TEST_F(SimBackendTest, ALateCancelEndsInPollWithTheTruth) {
  int late = 0;
  int successes = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    connect({.seed = seed, .late_cancel = true});
    Request request(Kind::recv, server, 10);
    EXPECT_EQ(request.start(*sim), std::nullopt);
    send(client, "data");

    if (sim->cancel(request)) continue;
    ++late;
    EXPECT_TRUE(request.is_pending());
    sim->poll(0ms);
    EXPECT_EQ(request.completions, 1);
    if (request.result == 4) {
      ++successes;
    } else {
      EXPECT_EQ(request.result, -ECANCELED);
      EXPECT_EQ(recv(server), "data");
    }
  }
  EXPECT_GT(late, successes);
  EXPECT_GT(successes, 0);
}

TEST_F(SimBackendTest, ReclaimEndsAnOperationAtOnce) {
  connect({.late_cancel = true});
  Request request(Kind::recv, server, 10);
  EXPECT_EQ(request.start(*sim), std::nullopt);

  sim->reclaim(request);

  EXPECT_FALSE(request.is_pending());
  EXPECT_EQ(sim->close_socket(server), 0);
  EXPECT_TRUE(sim->violations().empty());
}

TEST_F(SimBackendTest, ACompletionMayCloseWhatALaterOneWasAbout) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    connect({.seed = seed});
    Request at_client(Kind::recv, client, 10);
    Request at_server(Kind::recv, server, 10);
    const auto end_other = [this](Request& other) {
      return [this, &other] {
        if (!other.is_pending()) return;
        EXPECT_TRUE(sim->cancel(other));
        EXPECT_EQ(sim->close_socket(other.fd), 0);
        EXPECT_EQ(open(), other.fd);  // A stranger under the same number.
      };
    };
    at_client.then = end_other(at_server);
    at_server.then = end_other(at_client);
    at_client.start(*sim);
    at_server.start(*sim);
    send(client, "x");
    send(server, "y");

    sim->poll(0ms);

    EXPECT_EQ(at_client.completions + at_server.completions, 1);
    EXPECT_TRUE(sim->violations().empty());
  }
}

TEST_F(SimBackendTest, TheSeedDecidesTheOrderOfOnePoll) {
  const auto order = [this](SimOptions options) {
    sim.emplace(options);
    listener = listen(server_address);
    std::string seen;
    std::vector<native_socket> senders;
    std::vector<std::unique_ptr<Request>> requests;
    for (char letter = 'a'; letter <= 'h'; ++letter) {
      const auto [from, to] = pair(listener, server_address);
      senders.push_back(from);
      requests.push_back(std::make_unique<Request>(Kind::recv, to, 1));
      requests.back()->then = [&seen, letter] { seen += letter; };
      requests.back()->start(*sim);
    }
    sim->poll(0ms);
    for (native_socket fd : senders) send(fd, "x");
    sim->poll(0ms);
    return seen;
  };

  EXPECT_EQ(order({.shuffle = false}), "abcdefgh");
  EXPECT_EQ(order({.seed = 1}), order({.seed = 1}));
  EXPECT_NE(order({.seed = 1}), order({.seed = 2}));
}

// Readiness ----------------------------------------------------------------------------------

struct Recorder : Watch {
  Recorder()
      : Watch([](Watch& watch, unsigned events) noexcept {
          auto& self = static_cast<Recorder&>(watch);
          self.seen.push_back(events);
        }) {}
  std::vector<unsigned> seen;
};

TEST_F(SimBackendTest, WatchesAreLevelTriggeredAndToldOncePerPoll) {
  connect({});
  Recorder watch;
  EXPECT_EQ(sim->set_watch(server, Watch::readable, watch), 0);
  EXPECT_TRUE(sim->is_watching());
  sim->poll(0ms);
  EXPECT_TRUE(watch.seen.empty());

  send(client, "x");
  send(client, "y");
  sim->poll(0ms);
  sim->poll(Duration::max());
  EXPECT_EQ(watch.seen, (std::vector<unsigned>{Watch::readable, Watch::readable}));

  recv(server);
  watch.seen.clear();
  sim->poll(0ms);
  EXPECT_TRUE(watch.seen.empty());

  EXPECT_EQ(sim->set_watch(server, Watch::readable | Watch::writable, watch), 0);
  sim->poll(0ms);
  EXPECT_EQ(watch.seen, std::vector<unsigned>{Watch::writable});
  EXPECT_EQ(sim->set_watch(server, 0, watch), 0);
  EXPECT_FALSE(sim->is_watching());
}

TEST_F(SimBackendTest, AWatchThatIsAlwaysReadyDoesNotStopTimeForGood) {
  connect({});
  Recorder watch;
  sim->set_watch(server, Watch::writable, watch);
  const TimePoint start = sim->now();

  for (int i = 0; i < 1000; ++i) sim->poll(1h);
  EXPECT_EQ(sim->now(), start);
  for (int i = 0; i < 1000; ++i) sim->poll(1h);
  EXPECT_EQ(sim->now(), start + 1s);
}

TEST_F(SimBackendTest, APollIsDueWhenItWouldNotWait) {
  connect({.inline_budget = 0});
  sim->poll(0ms);
  EXPECT_FALSE(sim->is_poll_due());

  send(client, "x");
  EXPECT_FALSE(sim->is_poll_due());  // Nobody waits for it.
  Request request(Kind::recv, server, 1);
  EXPECT_EQ(request.start(*sim), std::nullopt);

  EXPECT_TRUE(sim->is_poll_due());
  sim->reclaim(request);
}

TEST_F(SimBackendTest, AnErrorIsBothReadableAndWritable) {
  connect({});
  Recorder watch;
  sim->set_watch(server, Watch::readable | Watch::writable, watch);
  send(server, "unread");
  sim->close_socket(client);

  sim->poll(0ms);

  EXPECT_EQ(watch.seen, std::vector<unsigned>{Watch::readable | Watch::writable});
}

TEST_F(SimBackendTest, PollOperationsWaitForReadiness) {
  connect({.capacity = 2});
  Request readable(Kind::poll_in, server);
  EXPECT_EQ(readable.start(*sim), std::nullopt);
  send(client, "xy");
  Request writable(Kind::poll_out, client);
  EXPECT_EQ(writable.start(*sim), std::nullopt);

  sim->poll(0ms);
  EXPECT_EQ(readable.completions, 1);
  EXPECT_EQ(readable.result, 0);
  EXPECT_TRUE(writable.is_pending());

  recv(server);
  sim->poll(0ms);
  EXPECT_EQ(writable.completions, 1);
}

// Faults ---------------------------------------------------------------------------------------

TEST_F(SimBackendTest, ScriptedCallsFailAsOftenAsToldThenWork) {
  sim.emplace();
  sim->fail_next(SimCall::open_socket, EMFILE, 2);
  sim->fail_next(SimCall::bind, EACCES);

  EXPECT_EQ(sim->open_socket(AF_INET, SOCK_STREAM, 0), -EMFILE);
  EXPECT_EQ(sim->open_socket(AF_INET, SOCK_STREAM, 0), -EMFILE);
  const native_socket fd = open();
  EXPECT_EQ(bind(fd, server_address), -EACCES);
  EXPECT_EQ(bind(fd, server_address), 0);
}

TEST_F(SimBackendTest, AScriptedErrorEndsAPendingReceive) {
  connect({});
  Request request(Kind::recv, server, 10);
  EXPECT_EQ(request.start(*sim), std::nullopt);

  sim->fail_next(SimCall::recv, ENOBUFS);
  sim->poll(0ms);

  EXPECT_EQ(request.result, -ENOBUFS);
}

TEST_F(SimBackendTest, AScriptedAcceptErrorLeavesTheConnectionUnlessItIsAborted) {
  sim.emplace();
  listener = listen(server_address);
  const native_socket first = open();
  const native_socket second = open();
  connect(first, server_address);
  connect(second, server_address);
  sim->fail_next(SimCall::accept, EMFILE);
  sim->fail_next(SimCall::accept, ECONNABORTED);

  EXPECT_EQ(Request(Kind::accept, listener).run(*sim), -EMFILE);
  EXPECT_EQ(Request(Kind::accept, listener).run(*sim), -ECONNABORTED);
  server = static_cast<native_socket>(Request(Kind::accept, listener).run(*sim));

  recv(first);
  EXPECT_EQ(error, -ECONNRESET);
  EXPECT_EQ(peer(server), name(second));
}

TEST_F(SimBackendTest, AScriptedConnectErrorComesAfterItsJourney) {
  sim.emplace(SimOptions{.latency = 5ms});
  listen(server_address);
  sim->fail_next(SimCall::connect, ETIMEDOUT);
  const TimePoint start = sim->now();

  EXPECT_EQ(connect(open(), server_address), -ETIMEDOUT);
  EXPECT_EQ(sim->now() - start, 5ms);
  EXPECT_EQ(connect(open(), server_address), 0);
}

TEST_F(SimBackendTest, ACutByFinEndsBothStreamsAfterSoManyBytes) {
  connect({});
  sim->cut_after(client, 5, SimBackend::Cut::fin);

  EXPECT_EQ(send(client, "0123456789"), 10);

  EXPECT_EQ(recv_all(server), "01234");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(recv_all(client), "");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(send(client, "x"), 1);
  EXPECT_EQ(send(client, "x"), -EPIPE);
}

TEST_F(SimBackendTest, ACutByResetFailsBothEnds) {
  connect({.latency = 1ms});
  send(client, "ab");
  sim->cut_after(client, 3, SimBackend::Cut::reset);
  send(client, "cdefg");

  EXPECT_EQ(recv_all(server), "abcde");
  EXPECT_EQ(error, -ECONNRESET);
  recv(client);
  EXPECT_EQ(error, -ECONNRESET);
  EXPECT_THROW(sim->cut_after(listener, 0, SimBackend::Cut::fin), ValueError);
}

// The accounts --------------------------------------------------------------------------------

TEST_F(SimBackendTest, TheLedgerBalances) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    connect({.seed = seed, .latency = 1ms, .capacity = 10, .max_chunk = 4});
    for (int i = 0; i < 20; ++i) {
      send(client, "0123456789");
      if (i % 3 == 0) recv(server, 5);
    }
    Request cancelled(Kind::recv, client, 1);
    cancelled.start(*sim);
    sim->cancel(cancelled);
    for (native_socket fd : sim->open_descriptors()) sim->close_socket(fd);
    sim->poll(1s);

    const SimLedger ledger = sim->ledger();
    EXPECT_EQ(ledger.descriptors_opened, 3u);
    EXPECT_EQ(ledger.descriptors_closed, 3u);
    EXPECT_EQ(ledger.operations_submitted,
              ledger.operations_completed + ledger.operations_cancelled);
    EXPECT_EQ(ledger.bytes_accepted, ledger.bytes_delivered + ledger.bytes_discarded);
    EXPECT_GT(ledger.bytes_discarded, 0u);
    EXPECT_TRUE(sim->violations().empty());
  }
}

TEST_F(SimBackendTest, CancellingWhatIsNotPendingIsAViolation) {
  connect({});
  Request request(Kind::recv, server, 1);

  EXPECT_TRUE(sim->cancel(request));

  EXPECT_EQ(sim->violations(), std::vector<std::string>{"cancel of a recv that is not pending"});
}

}  // namespace
}  // namespace aster
