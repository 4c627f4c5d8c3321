// SPDX-License-Identifier: MIT
// The loop's sock_* functions with what only a real system has: datagrams, local
// sockets, blocking sockets, several loops; and with faults at every call.
#include "io/sock_fixture.hpp"

#include <aster/loop/policy.hpp>

#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace aster::sock_tests {
namespace {

class SockSystem : public SockTest {
 protected:
  static Socket udp() {
    Socket socket{AF_INET, SOCK_DGRAM};
    socket.bind(loopback());
    return socket;
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, SockSystem, ::testing::ValuesIn(real_systems()), name_of);

// Datagrams -----------------------------------------------------------------------------------

TEST_P(SockSystem, DatagramsComeWithTheirSender) {  // SOCK-3, SOCK-6
  Socket a = udp();
  Socket b = udp();

  EXPECT_EQ(run(loop().sock_sendto(a, "one", b.getsockname())), 3U);
  EXPECT_EQ(run(loop().sock_sendto(a, "", b.getsockname())), 0U);
  EXPECT_EQ(run(loop().sock_sendto(a, "three", b.getsockname())), 5U);

  const ReceivedFrom one = run(loop().sock_recvfrom(b, 100));
  EXPECT_EQ(one.data, "one");
  EXPECT_EQ(one.address, a.getsockname());
  EXPECT_EQ(run(loop().sock_recvfrom(b, 100)).data, "");
  EXPECT_EQ(run(loop().sock_recvfrom(b, 2)).data, "th");  // The rest is lost.
}

TEST_P(SockSystem, DatagramsIntoABufferOfTheCaller) {  // SOCK-4
  Socket a = udp();
  Socket b = udp();
  std::array<char, 8> buffer{};
  auto receiving = loop().create_task(loop().sock_recvfrom_into(b, buffer));
  net.turns(2);
  EXPECT_FALSE(receiving.done());

  run(loop().sock_sendto(a, "abc", b.getsockname()));
  const ReceivedIntoFrom whole = run(std::move(receiving));
  EXPECT_EQ(std::string(buffer.data(), whole.size), "abc");
  EXPECT_EQ(whole.address, a.getsockname());

  run(loop().sock_sendto(a, "xyz", b.getsockname()));
  EXPECT_EQ(run(loop().sock_recvfrom_into(b, buffer, 2)).size, 2U);
  EXPECT_EQ(std::string(buffer.data(), 3), "xyc");
}

TEST_P(SockSystem, ADatagramOfAReceiveThatIsCancelledInItsTurnStaysWhole) {  // SOCK-10
  Socket a = udp();
  Socket b = udp();
  for (const std::string text : {"", "datagram"}) {
    auto receiving = loop().create_task(loop().sock_recvfrom(b, 100));
    net.turns(2);
    ASSERT_EQ(::sendto(a.fileno(), text.data(), text.size(), 0,
                       static_cast<const sockaddr*>(b.getsockname().data()), sizeof(sockaddr_in)),
              static_cast<ssize_t>(text.size()));
    loop().call_soon([&] { receiving.cancel(); });
    net.turns(1);
    EXPECT_THAT(run(error_of(std::move(receiving))), HasSubstr("CancelledError"));
    run(loop().sock_sendto(a, "next", b.getsockname()));

    const ReceivedFrom kept = run(loop().sock_recvfrom(b, 4));
    EXPECT_EQ(kept.data, text.substr(0, 4));
    EXPECT_EQ(kept.address, a.getsockname());
    EXPECT_EQ(run(loop().sock_recvfrom(b, 4)).data, "next");
  }
}

TEST_P(SockSystem, ADatagramThatIsTooLargeIsAnErrorWithItsAddress) {  // SOCK-6
  Socket a = udp();
  Socket b = udp();
  const std::string large(100'000, 'x');

  EXPECT_THAT(error(loop().sock_sendto(a, large, b.getsockname())),
              HasSubstr("sock_sendto " + b.getsockname().str() + ": Message too long"));
  EXPECT_THAT(error(loop().sock_sendto(a, "x", Address())), HasSubstr("the address is empty"));
}

// Local sockets ---------------------------------------------------------------------------------

TEST_P(SockSystem, LocalSocketsByAbstractName) {  // SOCK-7, SOCK-8
  Socket listener{AF_UNIX, SOCK_STREAM};
  const Address abstract =
      Address::unix_path(std::string(1, '\0') + "aster-sock-" + std::to_string(::getpid()));
  listener.bind(abstract);
  listener.listen(1);
  Socket client{AF_UNIX, SOCK_STREAM};

  run(loop().sock_connect(client, abstract));  // At once: nothing is ever in progress.
  Accepted accepted = run(loop().sock_accept(listener));

  EXPECT_EQ(accepted.address, Address());  // The client has no name.
  EXPECT_EQ(client.getpeername(), abstract);
}

TEST_P(SockSystem, ALocalListenerWithAFullBacklogIsAnError) {  // SOCK-7
  Socket listener{AF_UNIX, SOCK_STREAM};
  const Address abstract =
      Address::unix_path(std::string(1, '\0') + "aster-full-" + std::to_string(::getpid()));
  listener.bind(abstract);
  listener.listen(0);
  std::vector<Socket> clients;
  std::string failure;
  for (int i = 0; i < 10 && failure.empty(); ++i) {
    clients.emplace_back(AF_UNIX, SOCK_STREAM);
    failure = error(loop().sock_connect(clients.back(), abstract));
  }

  EXPECT_THAT(failure, HasSubstr("sock_connect @aster-full-"));
  EXPECT_THAT(failure, HasSubstr("Resource temporarily unavailable"));
}

// Loops and modes --------------------------------------------------------------------------------

TEST_P(SockSystem, DebugModeRefusesBlockingSockets) {  // DBG-6
  Ends ends = connected();
  loop().set_debug(true);
  ends.server.setblocking(true);
  EXPECT_TRUE(ends.server.getblocking());

  EXPECT_THAT(error(loop().sock_recv(ends.server, 1)),
              HasSubstr("ValueError: sock_recv: the socket must be non-blocking: socket " +
                        std::to_string(ends.server.fileno())));
  EXPECT_THAT(error(loop().sock_sendall(ends.server, "x")), HasSubstr("must be non-blocking"));

  ends.server.setblocking(false);
  run(loop().sock_sendall(ends.server, "x"));
  EXPECT_EQ(run(loop().sock_recv(ends.client, 1)), "x");
}

TEST_P(SockSystem, ASocketOutlivesItsLoopAndWorksOnTheNext) {
  Ends ends;
  {
    EventLoop first;
    ends.client = Socket(AF_INET, SOCK_STREAM);
    Socket listener = listening();
    first.run_until_complete([&]() -> Coroutine<> {
      co_await first.sock_connect(ends.client, listener.getsockname());
      Accepted accepted = co_await first.sock_accept(listener);
      ends.server = std::move(accepted.socket);
      co_await first.sock_sendall(ends.client, "from the first");
    }());
    first.close();
  }

  EXPECT_EQ(run(loop().sock_recv(ends.server, 100)), "from the first");
}

TEST_P(SockSystem, TwoLoopsCannotUseOneSocketAtATime) {
  Ends ends = connected();
  run(loop().sock_sendall(ends.client, "x"));
  EventLoop other;

  const std::string refused =
      other.run_until_complete(error_of(other.sock_sendall(ends.client, "y")));
  Socket given = Socket::adopt(ends.client.release());
  other.run_until_complete(other.sock_sendall(given, "z"));
  other.close();

  EXPECT_THAT(refused, HasSubstr("RuntimeError: sock_sendall: socket " +
                                 std::to_string(given.fileno()) + " is used by another loop"));
  EXPECT_EQ(run(receive(ends.server, 2)), "xz");
}

TEST_P(SockSystem, ANumberThatComesBackIsANewSocket) {
  for (int i = 0; i < 20; ++i) {  // The kernel gives the same numbers each time.
    Ends ends = connected();
    auto waiting = loop().create_task(error_of(loop().sock_recv(ends.server, 1)));
    net.turns(2);
    ends.server.close();
    EXPECT_THAT(run(std::move(waiting)), HasSubstr("Bad file descriptor"));
  }
}

TEST_P(SockSystem, TasksThatWaitMayBeDestroyedWithTheLoop) {
  net.settles = false;
  net.expected_reports = {"Task was destroyed but it is pending!"};
  Ends ends = connected();
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 10));
  net.turns(2);

  receiving = {};
  loop().close();

  EXPECT_FALSE(ends.server.is_closed());
  EventLoop next;
  next.run_until_complete(next.sock_sendall(ends.client, "still open"));
  next.close();
  ends = {};
  net.close();
}

// Faults ------------------------------------------------------------------------------------------

TEST_P(SockSystem, EveryByteAloneBothWays) {  // SOCK-5
  Ends ends = connected();
  Faults faults;
  faults.shorten(SysCall::send, {.max = 1});
  faults.shorten(SysCall::recv, {.max = 1});
  const std::string text = pattern(2000);

  auto sending = loop().create_task(loop().sock_sendall(ends.client, text));
  EXPECT_TRUE(run(receive(ends.server, text.size())) == text);
  run(std::move(sending));
  EXPECT_GE(faults.injected_count(), 3900U);
}

TEST_P(SockSystem, InterruptedCallsAreMadeAgain) {
  Socket listener = listening();
  Socket client = tcp();
  Faults faults;
  for (const SysCall call :
       {SysCall::accept, SysCall::recv, SysCall::send, SysCall::recvfrom, SysCall::sendto}) {
    faults.fail(call, {.times = 3, .error = EINTR});
  }
  run(loop().sock_connect(client, listener.getsockname()));
  Accepted accepted = run(loop().sock_accept(listener));
  run(loop().sock_sendall(client, "ab"));
  EXPECT_EQ(run(loop().sock_recv(accepted.socket, 1)), "a");
  EXPECT_EQ(run(loop().sock_recvfrom(accepted.socket, 1)).data, "b");
  EXPECT_GE(faults.injected_count(), 9U);
}

TEST_P(SockSystem, AnInterruptedConnectGoesOn) {  // SOCK-7
  Socket listener = listening();
  Socket client = tcp();
  // The kernel goes on connecting; here nothing was begun, so that it says so.
  Faults faults;
  faults.fail(SysCall::connect, {.error = EINTR});
  faults.fail(SysCall::getsockopt, {.error = ECONNREFUSED});

  EXPECT_THAT(error(loop().sock_connect(client, listener.getsockname())),
              HasSubstr("Connection refused"));
}

TEST_P(SockSystem, AnErrorAfterTheSocketWasWritableIsTheConnects) {  // SOCK-7
  for (const int number : {ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH}) {
    Socket listener = listening();
    Socket client = tcp();
    Faults faults;
    faults.fail(SysCall::connect, {.error = EINPROGRESS});
    faults.fail(SysCall::getsockopt, {.error = number});

    auto ended = run(outcome(loop().sock_connect(client, listener.getsockname())));

    try {
      ended.value();
      ADD_FAILURE();
    } catch (const std::system_error& failure) {  // MAP-2: no TimeoutError.
      EXPECT_EQ(failure.code().value(), number);
      EXPECT_THAT(failure.what(), HasSubstr("sock_connect " + listener.getsockname().str()));
    }
  }
}

struct Fault {
  SysCall call;
  int error;
};

TEST_P(SockSystem, EveryErrorReachesTheCallerAndTheSocketStaysUsable) {
  for (const int number : {ECONNRESET, ETIMEDOUT, ENOBUFS, EPIPE, EIO, ENOMEM}) {
    Ends ends = connected();
    Faults faults;
    faults.fail(SysCall::recv, {.error = number});
    faults.fail(SysCall::recvfrom, {.error = number});
    faults.fail(SysCall::send, {.error = number});
    faults.fail(SysCall::sendto, {.error = number});
    const std::string text = std::system_category().message(number);
    const std::string server = "socket " + std::to_string(ends.server.fileno()) + ": " + text;
    const std::string client = "socket " + std::to_string(ends.client.fileno()) + ": " + text;

    EXPECT_THAT(error(loop().sock_recv(ends.server, 5)), HasSubstr("sock_recv on " + server));
    EXPECT_THAT(error(loop().sock_recvfrom(ends.server, 5)),
                HasSubstr("sock_recvfrom on " + server));
    EXPECT_THAT(error(loop().sock_sendall(ends.client, "x")),
                HasSubstr("sock_sendall on " + client));
    EXPECT_THAT(error(loop().sock_sendto(ends.client, "x", ends.server.getsockname())),
                HasSubstr("sock_sendto " + ends.server.getsockname().str() + ": " + text));

    run(loop().sock_sendall(ends.client, "fine"));
    EXPECT_EQ(run(receive(ends.server, 4)), "fine");
  }
}

TEST_P(SockSystem, AnAcceptThatFailsCanBeTriedAgain) {  // SOCK-8
  Socket listener = listening();
  Socket client = tcp();
  run(loop().sock_connect(client, listener.getsockname()));
  for (const int number : {ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO}) {
    Faults faults;
    faults.fail(SysCall::accept, {.error = number});
    EXPECT_THAT(error(loop().sock_accept(listener)),
                HasSubstr("sock_accept on socket " + std::to_string(listener.fileno()) + ": " +
                          std::system_category().message(number)));
  }

  EXPECT_EQ(run(loop().sock_accept(listener)).address, client.getsockname());
}

TEST_P(SockSystem, ReadinessThatWasNoneIsWaitedOut) {
  Ends ends = connected();
  auto receiving = loop().create_task(receive(ends.server, 2));
  net.turns(2);
  Faults faults;
  faults.fail(SysCall::recv, {.times = 1, .error = EAGAIN});
  run(loop().sock_sendall(ends.client, "a"));
  net.turns(2);
  run(loop().sock_sendall(ends.client, "b"));

  EXPECT_EQ(run(std::move(receiving)), "ab");
}

TEST_P(SockSystem, ABrokenPipeIsAnErrorAndNoSignal) {  // SOCK-5
  Ends ends = connected();
  ends.server.close();

  std::string failure;
  for (int i = 0; i < 100 && failure.empty(); ++i) {
    failure = error(loop().sock_sendall(ends.client, std::string(100'000, 'x')));
  }

  EXPECT_TRUE(failure.find("Broken pipe") != std::string::npos ||
              failure.find("Connection reset") != std::string::npos)
      << failure;
}

TEST_P(SockSystem, AFacilityThatRefusesASocketIsTold) {
  if (GetParam().backend != Backend::epoll) GTEST_SKIP() << "only epoll can refuse";
  Ends ends = connected();
  Socket fresh = Socket::adopt(ends.server.release());
  Faults faults;
  faults.fail(SysCall::epoll_ctl, {.error = ENOSPC});

  EXPECT_THAT(error(loop().sock_recv(fresh, 1)), HasSubstr("No space left on device"));
  run(loop().sock_sendall(ends.client, "x"));
  EXPECT_EQ(run(loop().sock_recv(fresh, 1)), "x");
}

}  // namespace
}  // namespace aster::sock_tests
