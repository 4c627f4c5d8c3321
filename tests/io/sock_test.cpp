// SPDX-License-Identifier: MIT
// The loop's sock_* functions on every system.
#include "io/sock_fixture.hpp"
#include "support/kept_port.hpp"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

namespace aster::sock_tests {
namespace {

class Sock : public SockTest {};
INSTANTIATE_TEST_SUITE_P(Systems, Sock, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(Sock, BytesGoThereAndBack) {  // SOCK-1, SOCK-5
  Ends ends = connected();

  run(loop().sock_sendall(ends.client, "hello"));
  EXPECT_EQ(run(receive(ends.server, 5)), "hello");
  run(loop().sock_sendall(ends.server, "and back"));
  EXPECT_EQ(run(receive(ends.client, 8)), "and back");
}

TEST_P(Sock, TheEndOfTheStreamIsAnEmptyString) {  // SOCK-1
  Ends ends = connected();
  run(loop().sock_sendall(ends.client, "x"));
  ends.client.shutdown(SHUT_WR);

  EXPECT_EQ(run(loop().sock_recv(ends.server, 100)), "x");
  EXPECT_EQ(run(loop().sock_recv(ends.server, 100)), "");
  EXPECT_EQ(run(loop().sock_recv(ends.server, 100)), "");
}

TEST_P(Sock, AReceiveWaitsForBytes) {  // SOCK-1
  Ends ends = connected();
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 100));
  net.turns(3);
  EXPECT_FALSE(receiving.done());

  run(loop().sock_sendall(ends.client, "late"));
  const std::string first = run(std::move(receiving));

  EXPECT_EQ(first, std::string("late").substr(0, first.size()));
  EXPECT_FALSE(first.empty());
}

TEST_P(Sock, IntoABufferOfTheCaller) {  // SOCK-2
  Ends ends = connected();
  run(loop().sock_sendall(ends.client, "abcdef"));
  std::array<char, 4> buffer{'-', '-', '-', '-'};

  const std::size_t count = run(loop().sock_recv_into(ends.server, std::span(buffer).first(3)));

  ASSERT_GE(count, 1U);
  ASSERT_LE(count, 3U);
  EXPECT_EQ(std::string(buffer.data(), count), std::string("abcdef").substr(0, count));
  EXPECT_EQ(buffer[3], '-');
  EXPECT_EQ(run(receive(ends.server, 6 - count)).size(), 6 - count);
}

TEST_P(Sock, AStreamSocketKnowsNoSender) {  // SOCK-3, SOCK-4
  Ends ends = connected();
  run(loop().sock_sendall(ends.client, "ab"));

  const ReceivedFrom first = run(loop().sock_recvfrom(ends.server, 1));
  EXPECT_EQ(first.data, "a");
  EXPECT_EQ(first.address, Address());
  char byte = 0;
  const ReceivedIntoFrom second = run(loop().sock_recvfrom_into(ends.server, {&byte, 1}));
  EXPECT_EQ(second.size, 1U);
  EXPECT_EQ(byte, 'b');
  EXPECT_EQ(second.address, Address());
}

TEST_P(Sock, AMegabyteGoesThroughBothWaysAtOnce) {  // SOCK-5
  Ends ends = connected();
  const std::size_t size = net.is_simulated() ? 100'000 : 1'000'000;
  const std::string up = pattern(size, 1);
  const std::string down = pattern(size, 2);

  auto sends_up = loop().create_task(loop().sock_sendall(ends.client, up));
  auto sends_down = loop().create_task(loop().sock_sendall(ends.server, down));
  auto receives_up = loop().create_task(receive(ends.server, size));
  auto receives_down = loop().create_task(receive(ends.client, size));

  EXPECT_TRUE(run(std::move(receives_up)) == up);
  EXPECT_TRUE(run(std::move(receives_down)) == down);
  run(std::move(sends_up));
  run(std::move(sends_down));
}

TEST_P(Sock, SendingNothingIsNothing) {  // SOCK-5
  Ends ends = connected();
  run(loop().sock_sendall(ends.client, ""));
  ends.client.close();

  EXPECT_EQ(run(loop().sock_recv(ends.server, 1)), "");
}

TEST_P(Sock, AcceptTellsWhereAConnectionComesFrom) {  // SOCK-8
  Socket listener = listening();
  Socket client = tcp();
  run(loop().sock_connect(client, listener.getsockname()));

  Accepted accepted = run(loop().sock_accept(listener));

  EXPECT_EQ(accepted.address, client.getsockname());
  EXPECT_EQ(accepted.socket.getpeername(), client.getsockname());
  EXPECT_FALSE(accepted.socket.getblocking());
  if (!net.is_simulated()) {
    EXPECT_NE(::fcntl(accepted.socket.fileno(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_P(Sock, AnAcceptWaitsForAConnection) {  // SOCK-8
  Socket listener = listening();
  auto accepting = loop().create_task(loop().sock_accept(listener));
  net.turns(3);
  EXPECT_FALSE(accepting.done());

  Socket client = tcp();
  run(loop().sock_connect(client, listener.getsockname()));
  Accepted accepted = run(std::move(accepting));

  EXPECT_EQ(accepted.address, client.getsockname());
}

TEST_P(Sock, ARefusedConnectNamesTheAddress) {  // SOCK-7
  const support::KeptPort port(loop().backend());
  Socket client = tcp();

  EXPECT_THAT(error(loop().sock_connect(client, port.address())),
              HasSubstr("sock_connect " + port.address().str() + ": Connection refused"));
}

TEST_P(Sock, NumericHostsNeedNoLookUp) {  // SOCK-7
  Socket listener = listening();
  Socket client = tcp();

  run(loop().sock_connect(client, "127.0.0.1", listener.getsockname().port()));

  EXPECT_EQ(client.getpeername(), listener.getsockname());
}

TEST_P(Sock, NamesAreLookedUp) {  // SOCK-7
  loop().service<detail::ResolverService>().add_host("here.example",
                                                     {Address{"::1", 0}, loopback()});
  Socket listener = listening();
  Socket client = tcp();

  run(loop().sock_connect(client, "here.example", listener.getsockname().port()));

  EXPECT_EQ(client.getpeername(), listener.getsockname());
}

TEST_P(Sock, BadNamesAreRefused) {  // SOCK-7
  Socket client = tcp();

  EXPECT_THAT(error(loop().sock_connect(client, "", 80)), HasSubstr("ValueError"));
  EXPECT_THAT(error(loop().sock_connect(client, std::string(300, 'a'), 80)), HasSubstr("253"));
  EXPECT_THAT(error(loop().sock_connect(client, std::string_view("a\0b", 3), 80)),
              HasSubstr("NUL"));
  EXPECT_THAT(error(loop().sock_connect(client, "127.0.0.1", 70000)), HasSubstr("70000"));
  EXPECT_THAT(error(loop().sock_connect(client, Address())), HasSubstr("the address is empty"));
}

// Wrong use -----------------------------------------------------------------------------------

TEST_P(Sock, ASecondOperationOfADirectionIsAnError) {  // SOCK-11, OPEN-4
  Ends ends = connected();
  auto first = loop().create_task(loop().sock_recv(ends.server, 10));
  net.turns(2);

  const std::string number = std::to_string(ends.server.fileno());
  std::array<char, 4> four{};
  EXPECT_THAT(error(loop().sock_recv_into(ends.server, four)),
              HasSubstr("RuntimeError: sock_recv_into: socket " + number +
                        " is in use by a sock_recv that has not ended"));
  EXPECT_THAT(error(loop().sock_accept(ends.server)), HasSubstr("RuntimeError"));
  run(loop().sock_sendall(ends.server, "the other direction is free"));

  run(loop().sock_sendall(ends.client, "x"));  // The first is unharmed.
  EXPECT_EQ(run(std::move(first)), "x");
  run(loop().sock_sendall(ends.client, "y"));
  EXPECT_EQ(run(loop().sock_recv(ends.server, 10)), "y");  // And the direction free again.
}

TEST_P(Sock, ASecondSendWhileOneWaitsIsAnError) {  // SOCK-11
  Ends ends = connected();
  const std::string much(8'000'000, 'x');
  auto first = loop().create_task(loop().sock_sendall(ends.client, much));
  net.turns(2);
  ASSERT_FALSE(first.done());

  EXPECT_THAT(error(loop().sock_sendall(ends.client, "y")),
              HasSubstr("is in use by a sock_sendall that has not ended"));
  first.cancel();
  EXPECT_THAT(run(error_of(std::move(first))), HasSubstr("CancelledError"));
}

TEST_P(Sock, EmptyBuffersAreRefused) {
  Ends ends = connected();

  EXPECT_THAT(error(loop().sock_recv(ends.server, 0)), HasSubstr("ValueError: sock_recv: the buf"));
  EXPECT_THAT(error(loop().sock_recv_into(ends.server, {})), HasSubstr("ValueError"));
  EXPECT_THAT(error(loop().sock_recvfrom(ends.server, 0)), HasSubstr("ValueError"));
  EXPECT_THAT(error(loop().sock_recvfrom_into(ends.server, {})), HasSubstr("ValueError"));
  std::array<char, 4> four{};
  EXPECT_THAT(error(loop().sock_recvfrom_into(ends.server, four, 5)),
              HasSubstr("sock_recvfrom_into: a size of 5 is more than the buffer's 4"));
}

TEST_P(Sock, AClosedSocketIsNamed) {
  Socket closed;

  EXPECT_THAT(error(loop().sock_recv(closed, 1)),
              HasSubstr("sock_recv on a closed socket: Bad file descriptor"));
  EXPECT_THAT(error(loop().sock_accept(closed)), HasSubstr("sock_accept on a closed socket"));
  EXPECT_THAT(error(loop().sock_sendall(closed, "x")), HasSubstr("sock_sendall on a closed"));
  EXPECT_THAT(error(loop().sock_sendto(closed, "x", loopback(1))), HasSubstr("sock_sendto on a"));
  EXPECT_THAT(error(loop().sock_connect(closed, loopback(1))), HasSubstr("sock_connect on a"));
  EXPECT_THAT(error(loop().sock_connect(closed, "a.example", 1)), HasSubstr("sock_connect on a"));
  EXPECT_THAT(error(loop().sock_sendfile(closed, 0)), HasSubstr("sock_sendfile on a closed"));
}

TEST_P(Sock, ATransportsSocketIsRefused) {  // SOCK-12
  auto starting = start_server([](StreamReader, StreamWriter) {}, "127.0.0.1", 0);
  Server server = run(std::move(starting));
  const SocketView view = server.sockets().front();
  loop().set_transport_fd(view.fileno(), true);  // As the sockets of connections are.
  Socket alias = net.is_simulated() ? Socket::adopt(view.fileno(), view.backend())
                                    : Socket::adopt(view.fileno());

  EXPECT_THAT(error(loop().sock_accept(alias)),
              HasSubstr("RuntimeError: sock_accept: File descriptor " +
                        std::to_string(view.fileno()) + " is used by transport"));

  loop().set_transport_fd(view.fileno(), false);
  static_cast<void>(alias.release());
  server.close();
}

TEST_P(Sock, AnotherLoopsTaskIsRefused) {
  Ends ends = connected();
  EventLoop other;

  auto wrong = [&]() -> Coroutine<std::string> {
    co_return co_await error_of(loop().sock_recv(ends.server, 1));
  };

  EXPECT_THAT(other.run_until_complete(wrong()),
              HasSubstr("RuntimeError: sock_recv: awaited in a task of another loop"));
}

// Cancelling and closing -------------------------------------------------------------------------

TEST_P(Sock, ACancelledReceiveConsumesNothing) {  // SOCK-10, CAN-15
  Ends ends = connected();
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 10));
  net.turns(2);

  receiving.cancel();
  EXPECT_THAT(run(error_of(std::move(receiving))), HasSubstr("CancelledError"));
  run(loop().sock_sendall(ends.client, "all of it"));

  EXPECT_EQ(run(receive(ends.server, 9)), "all of it");
}

TEST_P(Sock, BytesOfAReceiveThatIsCancelledInTheirTurnStay) {  // SOCK-10, CAN-15
  Ends ends = connected();
  const std::string text = pattern(100 * 12);
  std::string received;
  std::size_t sent = 0;
  int cancelled = 0;
  for (const std::size_t size : {1U, 7U, 100U, 300U}) {
    for (int kind = 0; kind < 3; ++kind) {
      std::array<char, 300> buffer{};
      std::string data;
      auto receiving = loop().create_task([&]() -> Coroutine<> {
        if (kind == 0) {
          data = co_await loop().sock_recv(ends.server, size);
        } else if (kind == 1) {
          const std::size_t count =
              co_await loop().sock_recv_into(ends.server, std::span(buffer).first(size));
          data.assign(buffer.data(), count);
        } else {
          ReceivedFrom from = co_await loop().sock_recvfrom(ends.server, size);
          data = from.data;
        }
      });
      net.turns(2);
      received += data;
      data.clear();
      if (receiving.done()) continue;
      const std::int64_t taken = loop().backend().send_now(ends.client.fileno(), &text[sent], 100);
      ASSERT_GT(taken, 0);
      sent += static_cast<std::size_t>(taken);
      if (net.is_simulated()) net.sim().advance(5ms);

      // The poll finds the bytes, then this runs, then the task.
      loop().call_soon([&] { receiving.cancel(); });
      net.turns(1);

      auto ended = run(outcome(receiving));
      if (!ended.has_value()) ++cancelled;
      received += data;
    }
  }

  EXPECT_GT(cancelled, 0);
  received += run(receive(ends.server, sent - received.size()));
  EXPECT_TRUE(received == text.substr(0, sent));
}

// A connection arrives at `listener`, and in the turn in which it is accepted the accept
// is cancelled.
class SockAccept : public Sock {
 protected:
  bool accept_is_cancelled(Socket& listener, Socket& client) {
    const Address target = listener.getsockname();
    auto accepting = loop().create_task(loop().sock_accept(listener));
    net.turns(2);
    Operation connecting([](Operation&) noexcept {});
    connecting.kind = Operation::Kind::connect;
    connecting.fd = client.fileno();
    connecting.address = target.data();
    connecting.address_size = target.size();
    static_cast<void>(loop().backend().submit(connecting));
    if (net.is_simulated()) net.sim().advance(20ms);

    loop().call_soon([&] { accepting.cancel(); });
    net.turns(1);

    for (int i = 0; i < 1000 && connecting.is_pending(); ++i) run(sleep(1ms));
    EXPECT_EQ(connecting.result, 0);
    loop().backend().forget(client.fileno());
    return run(error_of(std::move(accepting))).find("CancelledError") != std::string::npos;
  }
};
INSTANTIATE_TEST_SUITE_P(Systems, SockAccept, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(SockAccept, AConnectionOfACancelledAcceptGoesToTheNext) {  // SOCK-10, CAN-15
  Socket listener = listening();
  int cancelled = 0;
  for (int i = 0; i < 10; ++i) {
    Socket client = tcp();
    if (!accept_is_cancelled(listener, client)) continue;
    ++cancelled;

    Accepted accepted = run(loop().sock_accept(listener));

    EXPECT_EQ(accepted.address, client.getsockname());
    EXPECT_EQ(accepted.socket.getpeername(), client.getsockname());
  }
  EXPECT_GT(cancelled, 0);
}

TEST_P(SockAccept, AConnectionThatNobodyTakesIsClosedWithItsListenerAndReported) {
  int reported = 0;
  for (int i = 0; i < 10; ++i) {
    Socket listener = listening();
    Socket client = tcp();
    const bool cancelled = accept_is_cancelled(listener, client);
    const std::string number = std::to_string(listener.fileno());

    listener.close();
    net.turns(1);

    for (const std::string& report : net.reports) {
      EXPECT_TRUE(cancelled);
      EXPECT_EQ(report, "sock_accept: a connection from " + client.getsockname().str() +
                            " that a cancelled call had accepted was closed with its listener, "
                            "socket " +
                            number);
      ++reported;
    }
    net.reports.clear();
  }
  // A real back end may look at the listener after the cancellation only.
  if (net.is_simulated()) {
    EXPECT_GT(reported, 0);
  }
}

TEST_P(SockAccept, AConnectionWhoseListenerClosesInTheSameTurnIsReported) {
  int reported = 0;
  for (int i = 0; i < 10; ++i) {
    Socket listener = listening();
    Socket client = tcp();
    const Address target = listener.getsockname();
    auto accepting = loop().create_task(loop().sock_accept(listener));
    net.turns(2);
    auto connecting = loop().create_task(loop().sock_connect(client, target));
    for (int turn = 0; turn < i; ++turn) net.turns(1);
    if (net.is_simulated()) net.sim().advance(20ms);
    loop().call_soon([&] {
      accepting.cancel();
      listener.close();
    });
    net.turns(1);

    auto accepted = run(outcome(std::move(accepting)));
    auto connected = run(outcome(std::move(connecting)));

    EXPECT_LE(net.reports.size(), accepted.has_value() ? 0U : 1U);
    for (const std::string& report : net.reports) {
      EXPECT_THAT(report, HasSubstr("that a cancelled call had accepted was closed"));
      ++reported;
    }
    net.reports.clear();
  }
  // A real back end may look at the listener after the cancellation only.
  if (net.is_simulated()) {
    EXPECT_GT(reported, 0);
  }
}

TEST_P(Sock, ACancelledConnectCanBeWaitedForAgain) {  // SOCK-10, CAN-15
  Socket listener = listening();
  Socket client = tcp();
  auto connecting = loop().create_task(loop().sock_connect(client, listener.getsockname()));
  net.turns(1);
  connecting.cancel();
  auto ended = run(outcome(std::move(connecting)));

  const std::string again = error(loop().sock_connect(client, listener.getsockname()));

  EXPECT_TRUE(again.empty() || again.find("already connected") != std::string::npos ||
              again.find("already in progress") != std::string::npos)
      << again;
}

TEST_P(Sock, ClosingASocketEndsWhatWaitsOnIt) {
  Ends ends = connected();
  Socket listener = listening();
  const std::string much(8'000'000, 'x');
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 10));
  auto sending = loop().create_task(loop().sock_sendall(ends.server, much));
  auto accepting = loop().create_task(loop().sock_accept(listener));
  net.turns(2);

  ends.server.close();
  listener.close();

  EXPECT_THAT(run(error_of(std::move(receiving))), HasSubstr("Bad file descriptor"));
  EXPECT_THAT(run(error_of(std::move(sending))), HasSubstr("sock_sendall on socket"));
  EXPECT_THAT(run(error_of(std::move(accepting))), HasSubstr("sock_accept on socket"));
}

TEST_P(Sock, ASocketMayMoveWhileItIsWaitedOn) {
  Ends ends = connected();
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 10));
  net.turns(2);

  Socket moved = std::move(ends.server);
  run(loop().sock_sendall(ends.client, "x"));

  EXPECT_EQ(run(std::move(receiving)), "x");
  ends.client.close();
  EXPECT_EQ(run(loop().sock_recv(moved, 1)), "");
}

TEST_P(Sock, ReadersAndWritersTakeSockets) {  // FD-4
  Ends ends = connected();
  int calls = 0;
  loop().add_reader(ends.server, [&] { ++calls; });
  loop().add_writer(ends.server, [&] { calls += 100; });
  net.turns(1);

  EXPECT_TRUE(loop().remove_writer(ends.server));
  run(loop().sock_sendall(ends.client, "x"));
  for (int i = 0; i < 1000 && calls % 100 == 0; ++i) run(sleep(1ms));

  EXPECT_GE(calls, 101);
  EXPECT_TRUE(loop().remove_reader(ends.server));
  EXPECT_FALSE(loop().remove_reader(ends.server));
}

// Faults at will
// -----------------------------------------------------------------------------------

class SockFaults : public SockTest {};
INSTANTIATE_TEST_SUITE_P(Systems, SockFaults, ::testing::ValuesIn(simulated_systems()), name_of);

TEST_P(SockFaults, EveryErrorReachesTheCallerAndTheSocketStaysUsable) {
  for (const int number : {ECONNRESET, ETIMEDOUT, ENOBUFS, EPIPE, ENOMEM, EIO}) {
    const std::string text = std::system_category().message(number);
    Ends ends = connected();
    net.sim().fail_next(SimCall::recv, number, 2);
    EXPECT_THAT(error(loop().sock_recv(ends.server, 5)), HasSubstr("sock_recv on socket"));
    EXPECT_THAT(error(loop().sock_recvfrom(ends.server, 5)), HasSubstr(text));
    net.sim().fail_next(SimCall::send, number, 2);
    EXPECT_THAT(error(loop().sock_sendall(ends.client, "x")), HasSubstr(text));
    EXPECT_THAT(error(loop().sock_sendto(ends.client, "x", loopback(1))),
                HasSubstr("sock_sendto 127.0.0.1:1: " + text));

    run(loop().sock_sendall(ends.client, "fine"));
    EXPECT_EQ(run(receive(ends.server, 4)), "fine");
  }
}

TEST_P(SockFaults, AnErrorComesToAReceiveThatWaits) {
  Ends ends = connected();
  for (const int number : {ECONNRESET, ETIMEDOUT, ENOBUFS}) {
    auto receiving = loop().create_task(loop().sock_recv(ends.server, 5));
    net.turns(3);
    ASSERT_FALSE(receiving.done());
    net.sim().fail_next(SimCall::recv, number);
    EXPECT_THAT(run(error_of(std::move(receiving))),
                HasSubstr(std::system_category().message(number)));
  }
}

TEST_P(SockFaults, AnErrorOfAReceiveThatIsCancelledInItsTurnIsTold) {  // SOCK-10
  Ends ends = connected();
  auto receiving = loop().create_task(loop().sock_recv(ends.server, 10));
  net.turns(2);

  net.sim().fail_next(SimCall::recv, ECONNRESET);
  loop().call_soon([&] { receiving.cancel(); });
  net.turns(1);

  EXPECT_THAT(run(error_of(std::move(receiving))), HasSubstr("CancelledError"));
  run(loop().sock_sendall(ends.client, "x"));
  EXPECT_THAT(error(loop().sock_recv(ends.server, 10)), HasSubstr("Connection reset"));
  EXPECT_EQ(run(loop().sock_recv(ends.server, 10)), "x");
}

TEST_P(SockFaults, AConnectThatFailsLateIsTold) {  // SOCK-7
  for (const int number : {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH}) {
    Socket listener = listening();
    Socket client = tcp();
    net.sim().fail_next(SimCall::connect, number);
    EXPECT_THAT(error(loop().sock_connect(client, listener.getsockname())),
                HasSubstr("sock_connect " + listener.getsockname().str() + ": " +
                          std::system_category().message(number)));
  }
}

TEST_P(SockFaults, AResetEndsBothDirections) {
  Ends ends = connected();
  net.sim().cut_after(ends.client.fileno(), 3, SimBackend::Cut::reset);
  auto receiving = loop().create_task(receive(ends.server, 100));

  const std::string sending = error(loop().sock_sendall(ends.client, std::string(100'000, 'x')));

  EXPECT_THAT(run(error_of(std::move(receiving))), HasSubstr("Connection reset by peer"));
  EXPECT_TRUE(sending.find("Connection reset") != std::string::npos ||
              sending.find("Broken pipe") != std::string::npos)
      << sending;
}

}  // namespace
}  // namespace aster::sock_tests
