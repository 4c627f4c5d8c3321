// SPDX-License-Identifier: MIT
// The addresses of accepted connections: always right, and most of the time without asking
// the system for them.
#include "net/net_fixture.hpp"
#include "support/blocking_client.hpp"

#include <aster/testing/faults.hpp>

#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace aster::net_tests {
namespace {

using support::close_with_reset;
using support::connect_blocking;
using testing::SysCall;

template <class Ask>
Address asked(int fd, Ask ask) {
  sockaddr_storage native{};
  socklen_t size = sizeof native;
  EXPECT_EQ(ask(fd, reinterpret_cast<sockaddr*>(&native), &size), 0);
  return Address::from_native(&native, size);
}
Address own_address(int fd) { return asked(fd, ::getsockname); }
Address peer_address(int fd) { return asked(fd, ::getpeername); }

class AcceptedAddresses : public ::testing::TestWithParam<System> {
 protected:
  /// What the server makes of one client; kept until the test lets it go.
  StreamWriter& accepted() {
    for (int i = 0; i < 1000 && !writer_; ++i) net.run(detail::as_coroutine(sleep(1ms)));
    return writer_.value();
  }
  Server serve(const std::string& host) { return net.run(start_server(keep(), host, 0)); }
  Server serve_path(const std::string& path) { return net.run(start_unix_server(keep(), path)); }

  std::function<void(StreamReader, StreamWriter)> keep() {
    return [this](StreamReader, StreamWriter writer) { writer_.emplace(std::move(writer)); };
  }

  Net net{GetParam()};
  std::optional<StreamWriter> writer_;
};
INSTANTIATE_TEST_SUITE_P(Systems, AcceptedAddresses, ::testing::ValuesIn(real_systems()), name_of);

// TR-6: IPv4 and IPv6, to a listener of one address and to one of all.
TEST_P(AcceptedAddresses, AreThoseOfTheTwoEnds) {
  for (const auto& [host, target] :
       std::vector<std::pair<std::string, std::string>>{{"127.0.0.1", "127.0.0.1"},
                                                        {"0.0.0.0", "127.0.0.1"},
                                                        {"0.0.0.0", "127.0.0.7"},
                                                        {"::1", "::1"},
                                                        {"::", "::1"}}) {
    Server server = serve(host);
    const int port = server.sockets().front().getsockname().port();
    const int client = connect_blocking(Address(target, port));
    ASSERT_GE(client, 0);

    StreamWriter& writer = accepted();

    EXPECT_EQ(writer.peername(), own_address(client)) << host;
    EXPECT_EQ(writer.sockname(), Address(target, port)) << host;
    EXPECT_EQ(writer.sockname(), peer_address(client)) << host;
    ::close(client);
    writer_.reset();
    server.close();
  }
}

// An IPv4 client of a socket for both is an IPv6 address to it.
TEST_P(AcceptedAddresses, AreMappedOnASocketForBoth) {
  Socket both(AF_INET6, SOCK_STREAM);
  both.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  both.bind(Address("::", 0));
  const int port = both.getsockname().port();
  Server server = net.run(start_server(keep(), std::move(both)));
  const int client = connect_blocking(Address("127.0.0.1", port));

  StreamWriter& writer = accepted();

  EXPECT_EQ(writer.peername(), Address("::ffff:127.0.0.1", own_address(client).port()));
  EXPECT_EQ(writer.sockname(), Address("::ffff:127.0.0.1", port));
  ::close(client);
}

TEST_P(AcceptedAddresses, OfUnixSocketsArePathsOrNothing) {
  char name[] = "/tmp/aster_accepted_XXXXXX";
  const std::string folder = ::mkdtemp(name);
  for (const std::string& path : {folder + "/s", folder + "/a_name_that_needs_room_of_its_own"}) {
    for (const bool is_named : {false, true}) {
      Server server = serve_path(path);
      const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const Address own = Address::unix_path(path + ".client");
      if (is_named) {
        ASSERT_EQ(::bind(client, static_cast<const sockaddr*>(own.data()), own.size()), 0);
      }
      const Address there = Address::unix_path(path);
      ASSERT_EQ(::connect(client, static_cast<const sockaddr*>(there.data()), there.size()), 0);
      const auto expected = is_named ? std::optional<Address>(own) : std::nullopt;

      StreamWriter& writer = accepted();

      EXPECT_EQ(writer.peername(), expected);
      EXPECT_EQ(writer.sockname(), there);
      writer.close();
      net.run(writer.wait_closed());
      EXPECT_EQ(writer.peername(), expected);
      EXPECT_EQ(writer.sockname(), there);
      ::close(client);
      if (is_named) ::unlink(own.path().c_str());
      writer_.reset();
      server.close();
    }
  }
  ::rmdir(folder.c_str());
}

// The system no longer knows the peer of a connection that has been reset; accept does.
TEST_P(AcceptedAddresses, AreKnownOfAPeerThatHasResetBefore) {
  for (const std::string host : {"127.0.0.1", "::1"}) {
    Server server = serve(host);
    const Address there = server.sockets().front().getsockname();
    const int client = connect_blocking(there);
    const Address own = own_address(client);
    close_with_reset(client);

    StreamWriter& writer = accepted();

    EXPECT_EQ(writer.peername(), own);
    EXPECT_EQ(writer.sockname(), there);
    EXPECT_EQ(writer.socket().getsockopt(IPPROTO_TCP, TCP_NODELAY), 1);  // CON-11
    writer_.reset();
    server.close();
  }
}

TEST_P(AcceptedAddresses, StayAfterTheEnd) {  // TR-6
  for (const bool reset : {false, true}) {
    Server server = serve("127.0.0.1");
    const Address there = server.sockets().front().getsockname();
    const int client = connect_blocking(there);
    const Address own = own_address(client);
    StreamWriter& writer = accepted();

    if (reset) {
      close_with_reset(client);
    } else {
      ::close(client);
    }
    writer.abort();
    net.run(outcome(writer.wait_closed()));

    EXPECT_EQ(writer.socket().fileno(), -1);
    EXPECT_EQ(writer.peername(), own);
    EXPECT_EQ(writer.sockname(), there);
    writer_.reset();
    server.close();
  }
}

TEST_P(AcceptedAddresses, StayWhenTheLoopHasClosed) {
  Server server = serve("127.0.0.1");
  const Address there = server.sockets().front().getsockname();
  const int client = connect_blocking(there);
  const Address own = own_address(client);
  StreamWriter& writer = accepted();

  net.close();

  EXPECT_EQ(writer.peername(), own);
  EXPECT_EQ(writer.sockname(), there);
  ::close(client);
}

/// Answers once, with the addresses when that is asked for.
struct Answer final : Protocol {
  void connection_made(Transport& made) override { transport = &made; }
  void data_received(std::string_view data) override {
    std::string text(data);
    if (data == "who") text = transport->peername()->str() + " " + transport->sockname()->str();
    transport->write(text);
  }
  Transport* transport = nullptr;
};

/// Sends `text` on a new connection, and gives what comes back before its end.
std::string talk(Net& net, const Address& there, std::string_view text) {
  const int client = connect_blocking(there);
  EXPECT_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), std::ssize(text));
  std::string answer(200, '\0');
  ssize_t got = -1;
  for (int i = 0; i < 1000 && got < 0; ++i) {
    net.run(detail::as_coroutine(sleep(1ms)));
    got = ::recv(client, answer.data(), answer.size(), MSG_DONTWAIT);
  }
  ::close(client);
  answer.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return answer;
}

// A connection that is accepted, used and ended costs the calls for that, and no questions.
TEST_P(AcceptedAddresses, AreNotAskedForUnlessWanted) {
  auto factory = [] { return std::make_unique<Answer>(); };
  Server server = net.run(net.loop().create_server(factory, "127.0.0.1", 0));
  const Address there = server.sockets().front().getsockname();
  testing::Faults calls;

  EXPECT_EQ(talk(net, there, "x"), "x");
  net.turns(5);
  EXPECT_EQ(calls.calls(SysCall::close), 1U);
  EXPECT_EQ(calls.calls(SysCall::getpeername), 0U);
  EXPECT_EQ(calls.calls(SysCall::getsockname), 0U);
  EXPECT_EQ(calls.calls(SysCall::getsockopt), 0U);  // TCP_NODELAY has told its kind.

  EXPECT_THAT(talk(net, there, "who"), ::testing::EndsWith(" " + there.str()));
  EXPECT_EQ(calls.calls(SysCall::getpeername), 0U);
  EXPECT_EQ(calls.calls(SysCall::getsockname), 1U);
}

}  // namespace
}  // namespace aster::net_tests
