// SPDX-License-Identifier: MIT
//
// What every back end does alike. The cases talk to sockets through IoBackend only,
// so a simulated one is a further line of `subjects` below; cases that need
// descriptors of the system (pipes, signals, fork) say so and are skipped there.
#include "support/kept_port.hpp"

#include <aster/loop/backend.hpp>
#include <aster/testing/faults.hpp>
#include <aster/testing/sim_backend.hpp>

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace aster {
namespace {

using namespace std::chrono_literals;
using testing::Faults;
using testing::SysCall;
using Kind = Operation::Kind;

// An operation that notes how it ended. One that a failed case leaves pending is
// reclaimed, so that the next case can run.
class Op : public Operation {
 public:
  static inline IoBackend* backend = nullptr;  // Of the running case.

  explicit Op(Kind wanted, native_socket on = -1) : Operation(&Op::on_complete) {
    kind = wanted;
    fd = on;
  }
  ~Op() {
    if (is_pending()) backend->reclaim(*this);
  }

  int completions = 0;   // By `complete`, inside a poll.
  std::string received;  // What a lent buffer held.
  std::function<void()> then;

  void note() { received = std::string(lent); }

 private:
  static void on_complete(Operation& operation) noexcept {
    auto& self = static_cast<Op&>(operation);
    ++self.completions;
    self.note();
    if (self.then) self.then();
  }
};

// A watch that counts its calls.
class CountingWatch : public Watch {
 public:
  CountingWatch() : Watch(&CountingWatch::on_ready) {}

  int calls = 0;
  unsigned last = 0;
  std::function<void(unsigned)> then;

 private:
  static void on_ready(Watch& watch, unsigned events) noexcept {
    auto& self = static_cast<CountingWatch&>(watch);
    ++self.calls;
    self.last = events;
    if (self.then) self.then(events);
  }
};

struct Subject {
  const char* name;
  std::unique_ptr<IoBackend> (*make)();
  bool is_real;  // Works on descriptors of the system.
  friend void PrintTo(const Subject& subject, std::ostream* out) { *out << subject.name; }
};

class BackendTest : public ::testing::TestWithParam<Subject> {
 protected:
  struct Pair {
    native_socket client;
    native_socket server;
  };

  void SetUp() override {
    backend_ = GetParam().make();
    Op::backend = backend_.get();
  }

  void TearDown() override {
    for (const auto& [fd, watch] : watched_) backend_->set_watch(fd, 0, *watch);
    expect_idle();
    for (const native_socket fd : sockets_) backend_->close_socket(fd);
    EXPECT_FALSE(backend_->is_watching());
  }

  IoBackend& backend() { return *backend_; }
  [[nodiscard]] bool is_real() const { return GetParam().is_real; }

  // A wait is not cut short again and again by something nobody waits for.
  void expect_idle() {
    const TimePoint end = backend().now() + 5ms;
    int turns = 0;
    for (; backend().now() < end && turns < 100; ++turns) backend().poll(end - backend().now());
    EXPECT_LT(turns, 5) << "the idle loop is busy";
  }

  // Polls until `done`, at most a few seconds.
  void run_until(const std::function<bool()>& done) {
    const TimePoint end = backend().now() + 5s;
    while (!done() && backend().now() < end) backend().poll(100ms);
    EXPECT_TRUE(done()) << "nothing came in time";
  }

  // Runs an operation to its end, and gives its result.
  std::int64_t run(Op& op) {
    const int before = op.completions;
    if (backend().submit(op)) {
      op.note();
      return op.result;
    }
    run_until([&] { return op.completions != before; });
    EXPECT_FALSE(op.is_pending());
    return op.result;
  }

  native_socket own(std::int64_t fd) {
    EXPECT_GE(fd, 0);
    sockets_.push_back(static_cast<native_socket>(fd));
    return static_cast<native_socket>(fd);
  }

  void close(native_socket fd) {
    std::erase(sockets_, fd);
    EXPECT_EQ(backend().close_socket(fd), 0);
  }

  int watch(native_socket fd, unsigned events, CountingWatch& w) {
    watched_.emplace_back(fd, &w);
    return backend().set_watch(fd, events, w);
  }

  native_socket open() { return own(backend().open_socket(AF_INET, SOCK_STREAM, 0)); }

  native_socket listener(sockaddr_in& address, int backlog = 100) {
    const native_socket fd = open();
    address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(backend().bind(fd, &address, sizeof address), 0);
    EXPECT_EQ(backend().listen(fd, backlog), 0);
    std::uint32_t size = sizeof address;
    EXPECT_EQ(backend().local_address(fd, &address, size), 0);
    return fd;
  }

  native_socket connect(const sockaddr_in& address) {
    Op op(Kind::connect, open());
    op.address = &address;
    op.address_size = sizeof address;
    EXPECT_EQ(run(op), 0);
    return op.fd;
  }

  Pair make_pair() {
    sockaddr_in address;
    const native_socket listening = listener(address);
    const native_socket client = connect(address);
    Op accept(Kind::accept, listening);
    const Pair pair{client, own(run(accept))};
    close(listening);
    return pair;
  }

  void send(native_socket fd, std::string_view text) {
    EXPECT_EQ(backend().send_now(fd, text.data(), text.size()),
              static_cast<std::int64_t>(text.size()));
  }

  // One receive into a lent buffer; "<EOF>" or "<number>" when it is no data.
  std::string receive(native_socket fd, std::size_t size = 65536) {
    Op op(Kind::recv, fd);
    op.size = size;
    const std::int64_t result = run(op);
    if (result == 0) return "<EOF>";
    if (result < 0) return "<" + std::to_string(result) + ">";
    return op.received;
  }

  // Sends until the socket takes no more; gives how much that was.
  std::size_t fill(native_socket fd) {
    const std::string block(65536, 'x');
    std::size_t sum = 0;
    for (int i = 0; i < 10000; ++i) {
      const std::int64_t sent = backend().send_now(fd, block.data(), block.size());
      if (sent <= 0) break;
      sum += static_cast<std::size_t>(sent);
    }
    return sum;
  }

  // Makes both ends wait for something once.
  void fill_and_empty(const Pair& pair) {
    const std::size_t size = fill(pair.client);
    char byte = 'x';
    Op op(Kind::send, pair.client);
    op.data = &byte;
    op.size = 1;
    EXPECT_FALSE(backend().submit(op));
    swallow(pair.server, size);
    run_until([&] { return op.completions == 1; });
    swallow(pair.server, 1);
    Op none(Kind::recv, pair.server);
    none.size = 1;
    EXPECT_FALSE(backend().submit(none));
    EXPECT_TRUE(backend().cancel(none));
  }

  // Receives `size` bytes and throws them away.
  void swallow(native_socket fd, std::size_t size) {
    while (size != 0) {
      const std::string part = receive(fd, std::min<std::size_t>(size, 65536));
      ASSERT_FALSE(part.empty());
      ASSERT_NE(part.front(), '<');
      size -= part.size();
    }
  }

 private:
  std::unique_ptr<IoBackend> backend_;
  std::vector<native_socket> sockets_;
  std::vector<std::pair<native_socket, CountingWatch*>> watched_;
};

#define NEEDS_SYSTEM() \
  if (!is_real()) GTEST_SKIP() << "needs descriptors of the system"
#define NEEDS_FAULTS() \
  if (!is_real() || !Faults::is_available()) GTEST_SKIP() << "needs fault injection"

// Connecting and accepting ------------------------------------------------------------

TEST_P(BackendTest, ConnectsAndAccepts) {
  sockaddr_in address;
  const native_socket listening = listener(address);
  const native_socket client = connect(address);

  Op accept(Kind::accept, listening);
  const native_socket server = own(run(accept));

  sockaddr_in peer{};
  std::uint32_t size = sizeof peer;
  EXPECT_EQ(backend().peer_address(server, &peer, size), 0);
  sockaddr_in local{};
  size = sizeof local;
  EXPECT_EQ(backend().local_address(client, &local, size), 0);
  EXPECT_EQ(peer.sin_port, local.sin_port);
}

TEST_P(BackendTest, PendingAcceptCompletesWhenSomebodyConnects) {
  sockaddr_in address;
  Op accept(Kind::accept, listener(address));
  EXPECT_FALSE(backend().submit(accept));
  EXPECT_TRUE(accept.is_pending());
  EXPECT_TRUE(backend().is_watching());

  connect(address);
  run_until([&] { return accept.completions == 1; });

  own(accept.result);
}

TEST_P(BackendTest, AcceptsAllThatWaitWithoutAnotherEvent) {
  sockaddr_in address;
  const native_socket listening = listener(address);
  for (int i = 0; i < 5; ++i) connect(address);

  for (int i = 0; i < 5; ++i) {
    Op accept(Kind::accept, listening);
    own(run(accept));
  }

  Op none(Kind::accept, listening);
  EXPECT_FALSE(backend().submit(none));
  EXPECT_TRUE(backend().cancel(none));
}

TEST_P(BackendTest, ConnectRefusedIsAResult) {
  const support::KeptPort port(backend());
  const Address address = port.address();
  Op op(Kind::connect, open());
  op.address = address.data();
  op.address_size = address.size();

  EXPECT_EQ(run(op), -ECONNREFUSED);
}

TEST_P(BackendTest, ResetOfAWaitingConnectionDoesNotHurtTheListener) {
  sockaddr_in address;
  const native_socket listening = listener(address);
  Op accept(Kind::accept, listening);
  for (int i = 0; i < 50; ++i) {
    const native_socket client = connect(address);
    const linger hard{1, 0};
    backend().set_option(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(client);
    const std::int64_t result = run(accept);
    if (result >= 0) close(own(result));
  }

  const native_socket client = connect(address);
  const native_socket server = own(run(accept));
  send(client, "alive");
  EXPECT_EQ(receive(server), "alive");
}

// Receiving ---------------------------------------------------------------------------

TEST_P(BackendTest, RecvOfDataThatIsThereIsOverAtOnce) {
  const Pair pair = make_pair();
  send(pair.client, "hello");
  std::string buffer(10, '-');
  Op peek(Kind::poll_in, pair.server);
  EXPECT_EQ(run(peek), 0);

  Op op(Kind::recv, pair.server);
  op.data = buffer.data();
  op.size = buffer.size();
  EXPECT_TRUE(backend().submit(op));

  EXPECT_EQ(op.result, 5);
  EXPECT_EQ(op.completions, 0);
  EXPECT_EQ(buffer, "hello-----");
}

TEST_P(BackendTest, PendingRecvCompletesOnceInAPoll) {
  const Pair pair = make_pair();
  std::string buffer(10, '-');
  Op op(Kind::recv, pair.server);
  op.data = buffer.data();
  op.size = buffer.size();
  EXPECT_FALSE(backend().submit(op));
  backend().poll(0ms);
  EXPECT_EQ(op.completions, 0);

  send(pair.client, "hello");
  run_until([&] { return op.completions == 1; });
  backend().poll(0ms);

  EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(op.result, 5);
  EXPECT_FALSE(backend().is_watching());
}

TEST_P(BackendTest, LendsABufferWhenNoneIsGiven) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 100;
  EXPECT_FALSE(backend().submit(op));

  send(pair.client, "pending");
  run_until([&] { return op.completions == 1; });
  EXPECT_EQ(op.received, "pending");

  send(pair.client, "inline");
  EXPECT_EQ(receive(pair.server), "inline");
}

TEST_P(BackendTest, LentBufferHoldsNoMoreThanWanted) {
  const Pair pair = make_pair();
  send(pair.client, "abcdef");

  EXPECT_EQ(receive(pair.server, 4), "abcd");
  EXPECT_EQ(receive(pair.server, 4), "ef");
}

TEST_P(BackendTest, EndOfStreamIsZeroAgainAndAgain) {
  const Pair pair = make_pair();
  backend().shutdown_write(pair.client);

  for (int i = 0; i < 3; ++i) EXPECT_EQ(receive(pair.server), "<EOF>");
}

TEST_P(BackendTest, EndOfStreamReachesAPendingRecv) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));

  close(pair.client);
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.result, 0);
}

TEST_P(BackendTest, DataAndEndThatArriveTogetherAreBothSeen) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 1000;
  EXPECT_FALSE(backend().submit(op));  // Now it is registered.

  send(pair.client, "last words");
  backend().shutdown_write(pair.client);
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.received, "last words");
  EXPECT_EQ(receive(pair.server), "<EOF>");
}

TEST_P(BackendTest, EndThatArrivesAfterAShortRecvIsSeen) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 1000;
  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "short");
  run_until([&] { return op.completions == 1; });

  EXPECT_FALSE(backend().submit(op));
  close(pair.client);
  run_until([&] { return op.completions == 2; });

  EXPECT_EQ(op.result, 0);
}

TEST_P(BackendTest, DataThatComesBetweenTwoRecvsIsNotLost) {
  const Pair pair = make_pair();
  for (int i = 0; i < 200; ++i) {
    const std::string text = "message " + std::to_string(i);
    if (i % 3 == 0) backend().poll(0ms);
    send(pair.client, text);
    if (i % 2 == 0) backend().poll(0ms);  // The event comes while nobody waits.
    EXPECT_EQ(receive(pair.server), text);
  }
}

TEST_P(BackendTest, HalfClosedConnectionStillSendsTheOtherWay) {
  const Pair pair = make_pair();
  backend().shutdown_write(pair.client);
  EXPECT_EQ(receive(pair.server), "<EOF>");

  send(pair.server, "still here");

  EXPECT_EQ(receive(pair.client), "still here");
}

TEST_P(BackendTest, ResetIsAResultOfBothDirections) {
  const Pair pair = make_pair();
  Op in(Kind::recv, pair.server);
  in.size = 10;
  EXPECT_FALSE(backend().submit(in));

  const linger hard{1, 0};
  backend().set_option(pair.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(pair.client);
  run_until([&] { return in.completions == 1; });
  EXPECT_EQ(in.result, -ECONNRESET);

  char byte = 'x';
  Op out(Kind::send, pair.server);  // Raises no SIGPIPE.
  out.data = &byte;
  out.size = 1;
  EXPECT_EQ(run(out), -EPIPE);
}

TEST_P(BackendTest, ShortRecvSparesTheWastedOne) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 1000;
  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "x");
  run_until([&] { return op.completions == 1; });

  const Faults faults;
  EXPECT_FALSE(backend().submit(op));

  EXPECT_EQ(faults.calls(SysCall::recv), 0U);
  EXPECT_EQ(faults.calls(SysCall::epoll_ctl), 0U);
  backend().cancel(op);
}

TEST_P(BackendTest, ShortRecvOfAUnixStreamSparesTheWastedOneToo) {
  NEEDS_FAULTS();
  NEEDS_SYSTEM();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  const native_socket receiver = own(ends[0]);
  const native_socket sender = own(ends[1]);
  send(sender, "first");
  EXPECT_EQ(receive(receiver), "first");  // What it is, is looked up.
  Op op(Kind::recv, receiver);
  op.size = 1000;
  backend().submit(op);
  send(sender, "x");
  run_until([&] { return op.completions == 1; });

  const Faults faults;
  EXPECT_FALSE(backend().submit(op));

  EXPECT_EQ(faults.calls(SysCall::recv), 0U);
  backend().cancel(op);
}

TEST_P(BackendTest, WhatIsSaidToBeTcpIsNotAsked) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  ASSERT_EQ(backend().set_no_delay(pair.server), 0);
  const Faults faults;
  send(pair.client, "x");

  EXPECT_EQ(receive(pair.server), "x");

  EXPECT_EQ(faults.calls(SysCall::getsockopt), 0U);
}

// It counts as TCP: like that it has no more than a short receive gave.
TEST_P(BackendTest, AMultipathConnectionIsReceivedWhole) {
  NEEDS_SYSTEM();
#if defined(IPPROTO_MPTCP)
  const std::int64_t opened = backend().open_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
  if (opened < 0) GTEST_SKIP() << "no multipath TCP here";
  const native_socket listening = own(opened);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(backend().bind(listening, &address, sizeof address), 0);
  ASSERT_EQ(backend().listen(listening, 1), 0);
  std::uint32_t size = sizeof address;
  ASSERT_EQ(backend().local_address(listening, &address, size), 0);
  Op connect(Kind::connect, own(backend().open_socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)));
  connect.address = &address;
  connect.address_size = sizeof address;
  ASSERT_EQ(run(connect), 0);
  Op accept(Kind::accept, listening);
  const native_socket server = own(run(accept));
  ASSERT_EQ(backend().set_no_delay(server), 0);
  for (std::size_t round = 0; round < 500; ++round) {
    std::string sent;
    for (std::size_t i = 0; i <= round % 5; ++i) {
      const std::string text(1 + (37 * (round + i)) % 1500, static_cast<char>('a' + i));
      send(connect.fd, text);
      sent += text;
    }
    std::string all;
    while (all.size() < sent.size()) {
      const std::string piece = receive(server, 1000);
      ASSERT_FALSE(piece.empty()) << "stuck in round " << round;
      all += piece;
    }
    ASSERT_EQ(all, sent);
  }
#else
  GTEST_SKIP() << "no multipath TCP here";
#endif
}

TEST_P(BackendTest, DataBehindPassedDescriptorsIsReceived) {
  NEEDS_SYSTEM();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
  const native_socket receiver = own(ends[0]);
  const native_socket sender = own(ends[1]);
  const auto send_with_descriptor = [&](std::string text) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    iovec piece{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr& header = *CMSG_FIRSTHDR(&message);
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = SCM_RIGHTS;
    header.cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(&header), &sender, sizeof sender);
    ASSERT_EQ(::sendmsg(sender, &message, 0), static_cast<ssize_t>(text.size()));
  };
  for (const Kind kind : {Kind::recv, Kind::read, Kind::recv, Kind::read}) {
    Op op(kind, receiver);
    op.size = 1000;
    if (backend().submit(op)) ADD_FAILURE() << "nothing was there";
    send_with_descriptor("one ");
    send_with_descriptor("two ");
    send(sender, "three");
    run_until([&] { return op.completions == 1; });
    std::string all = op.received;
    for (int i = 0; i < 2 && all.size() < 13; ++i) {  // A receive stops at each of them.
      Op more(kind, receiver);
      more.size = 1000;
      EXPECT_GT(run(more), 0);
      all += more.received;
    }
    EXPECT_EQ(all, "one two three");
  }
}

TEST_P(BackendTest, MessagesThatAreShorterThanTheBufferAreAllReceived) {
  NEEDS_SYSTEM();
  const native_socket receiver = own(backend().open_socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(backend().bind(receiver, &address, sizeof address), 0);
  std::uint32_t size = sizeof address;
  ASSERT_EQ(backend().local_address(receiver, &address, size), 0);
  Op connect(Kind::connect, own(backend().open_socket(AF_INET, SOCK_DGRAM, 0)));
  connect.address = &address;
  connect.address_size = sizeof address;
  ASSERT_EQ(run(connect), 0);
  const int on = 1;
  EXPECT_LT(backend().set_option(receiver, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
  Op op(Kind::recv, receiver);
  op.size = 1000;
  EXPECT_FALSE(backend().submit(op));

  send(connect.fd, "one");
  send(connect.fd, "two");
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.received, "one");
  EXPECT_EQ(receive(receiver), "two");  // Of which there will be no new edge.
}

TEST_P(BackendTest, DataBehindAnUrgentMarkIsReceived) {
  NEEDS_SYSTEM();
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 1000;
  EXPECT_FALSE(backend().submit(op));

  ASSERT_EQ(::send(pair.client, "abc!", 4, MSG_OOB), 4);
  send(pair.client, "def");
  run_until([&] { return op.completions == 1; });
  std::string all = op.received;
  while (all.size() < 6) all += receive(pair.server);  // A recv stops at the mark.

  EXPECT_EQ(all, "abcdef");
}

// Sending -----------------------------------------------------------------------------

TEST_P(BackendTest, SendToAnEmptySocketIsOverAtOnce) {
  const Pair pair = make_pair();
  std::string text = "hello";
  Op op(Kind::send, pair.client);
  op.data = text.data();
  op.size = text.size();

  EXPECT_TRUE(backend().submit(op));

  EXPECT_EQ(op.result, 5);
  EXPECT_EQ(receive(pair.server), "hello");
}

TEST_P(BackendTest, SendWaitsUntilThereIsRoom) {
  const Pair pair = make_pair();
  const std::size_t size = fill(pair.client);
  char byte = 'y';
  Op op(Kind::send, pair.client);
  op.data = &byte;
  op.size = 1;
  EXPECT_FALSE(backend().submit(op));
  backend().poll(0ms);
  EXPECT_EQ(op.completions, 0);

  swallow(pair.server, size);
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.result, 1);
  EXPECT_EQ(receive(pair.server), "y");
}

TEST_P(BackendTest, ShortSendSparesTheWastedOne) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  std::string block(16 * 1024 * 1024, 'x');  // More than the buffers hold.
  Op op(Kind::send, pair.client);
  op.data = block.data();
  op.size = block.size();
  ASSERT_TRUE(backend().submit(op));
  ASSERT_LT(op.result, static_cast<std::int64_t>(block.size()));

  const Faults faults;
  EXPECT_FALSE(backend().submit(op));

  EXPECT_EQ(faults.calls(SysCall::send), 0U);
  EXPECT_TRUE(backend().cancel(op));
}

TEST_P(BackendTest, FullSocketCanStillReceive) {
  const Pair pair = make_pair();
  fill(pair.client);
  char byte = 'y';
  Op out(Kind::send, pair.client);
  out.data = &byte;
  out.size = 1;
  EXPECT_FALSE(backend().submit(out));
  Op in(Kind::recv, pair.client);
  in.size = 10;
  EXPECT_FALSE(backend().submit(in));

  send(pair.server, "hi");
  run_until([&] { return in.completions == 1; });

  EXPECT_EQ(in.received, "hi");
  EXPECT_TRUE(out.is_pending());
  EXPECT_TRUE(backend().cancel(out));
}

TEST_P(BackendTest, SeveralPiecesLeaveInOrder) {
  const Pair pair = make_pair();
  const std::string_view pieces[] = {"one ", "", "two ", "three"};

  EXPECT_EQ(backend().send_now(pair.client, pieces), 13);

  EXPECT_EQ(receive(pair.server), "one two three");
}

TEST_P(BackendTest, MorePiecesThanTheSystemTakesAreSentInPart) {
  const Pair pair = make_pair();
  const std::vector<std::string_view> pieces(5000, "ab");

  const std::int64_t sent = backend().send_now(pair.client, pieces);

  ASSERT_GT(sent, 0);
  swallow(pair.server, static_cast<std::size_t>(sent));
}

// Waiting for readiness ---------------------------------------------------------------

TEST_P(BackendTest, PollInWaitsForDataAndTakesNone) {
  const Pair pair = make_pair();
  Op op(Kind::poll_in, pair.server);
  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "x");
  run_until([&] { return op.completions == 1; });
  EXPECT_EQ(op.result, 0);

  EXPECT_TRUE(backend().submit(op));  // It is still there.

  EXPECT_EQ(receive(pair.server), "x");
  EXPECT_FALSE(backend().submit(op));
  EXPECT_TRUE(backend().cancel(op));
}

TEST_P(BackendTest, PollOutWaitsForRoom) {
  const Pair pair = make_pair();
  Op op(Kind::poll_out, pair.client);
  EXPECT_TRUE(backend().submit(op));
  const std::size_t size = fill(pair.client);
  EXPECT_FALSE(backend().submit(op));

  swallow(pair.server, size);
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.result, 0);
}

TEST_P(BackendTest, PollInWorksOnPipes) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  Op op(Kind::poll_in, own(ends[0]));
  EXPECT_FALSE(backend().submit(op));

  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  run_until([&] { return op.completions == 1; });
  char byte;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);  // Behind the back end's back.
  EXPECT_FALSE(backend().submit(op));
  ::close(ends[1]);
  run_until([&] { return op.completions == 2; });

  EXPECT_EQ(op.result, 0);  // Hung up.
}

TEST_P(BackendTest, PollInThatMayBeEarlyWaitsForAnEventAllTheSame) {
  const Pair pair = make_pair();
  fill_and_empty(pair);
  Op op(Kind::poll_in, pair.client);
  op.is_exact = false;
  EXPECT_FALSE(backend().submit(op));

  send(pair.server, "x");
  run_until([&] { return op.completions == 1; });

  EXPECT_EQ(op.result, 0);
  EXPECT_EQ(receive(pair.client), "x");
}

TEST_P(BackendTest, PipesAreReadAndWritten) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  Op read(Kind::read, own(ends[0]));
  read.size = 100;
  EXPECT_FALSE(backend().submit(read));
  std::string bytes = "through a pipe";
  Op write(Kind::write, own(ends[1]));
  write.data = bytes.data();
  write.size = bytes.size();

  EXPECT_EQ(run(write), 14);
  run_until([&] { return read.completions == 1; });

  EXPECT_EQ(read.received, bytes);
  close(ends[1]);
  EXPECT_EQ(run(read), 0);
}

TEST_P(BackendTest, AFullPipeTakesMoreOnceItIsRead) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  std::string bytes(1 << 20, 'x');
  Op write(Kind::write, own(ends[1]));
  write.data = bytes.data();
  write.size = bytes.size();
  const std::int64_t held = run(write);
  EXPECT_LT(held, static_cast<std::int64_t>(bytes.size()));
  EXPECT_FALSE(backend().submit(write));

  Op read(Kind::read, own(ends[0]));
  std::int64_t taken = 0;
  while (taken < held) {
    read.size = 65536;
    taken += run(read);
  }
  run_until([&] { return write.completions == 1; });

  EXPECT_GT(write.result, 0);
}

// SIGPIPE would end this program.
TEST_P(BackendTest, APipeWithoutAReaderIsAnErrorAndNoSignal) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  ::close(ends[0]);
  char byte = 'x';
  Op write(Kind::write, own(ends[1]));
  write.data = &byte;
  write.size = 1;

  EXPECT_EQ(run(write), -EPIPE);

  sigset_t pending;
  ASSERT_EQ(::sigpending(&pending), 0);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

// Cancelling --------------------------------------------------------------------------

TEST_P(BackendTest, CancelledRecvNeverCompletesAndTakesNoData) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  EXPECT_TRUE(backend().cancel(op));
  EXPECT_FALSE(op.is_pending());
  EXPECT_FALSE(backend().is_watching());

  send(pair.client, "kept");
  backend().poll(1ms);

  EXPECT_EQ(op.completions, 0);
  EXPECT_EQ(receive(pair.server), "kept");
}

TEST_P(BackendTest, OperationThatIsReadyButNotDeliveredCanBeCancelled) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "kept");

  EXPECT_TRUE(backend().cancel(op));
  backend().poll(1ms);

  EXPECT_EQ(op.completions, 0);
  EXPECT_EQ(receive(pair.server), "kept");
}

TEST_P(BackendTest, ReclaimEndsAnOperationWithoutCompletion) {
  const Pair pair = make_pair();
  {
    auto op = std::make_unique<Op>(Kind::recv, pair.server);
    op->size = 10;
    EXPECT_FALSE(backend().submit(*op));
    backend().reclaim(*op);
  }

  send(pair.client, "x");
  backend().poll(1ms);

  EXPECT_EQ(receive(pair.server), "x");
}

TEST_P(BackendTest, ConnectCanBeCancelledAndItsSocketClosed) {
  sockaddr_in address;
  const native_socket listening = listener(address, 0);
  std::vector<std::unique_ptr<Op>> ops;
  for (int i = 0; i < 4; ++i) {  // More than the backlog takes: some stay pending.
    ops.push_back(std::make_unique<Op>(Kind::connect, open()));
    ops.back()->address = &address;
    ops.back()->address_size = sizeof address;
    backend().submit(*ops.back());
  }

  for (const auto& op : ops) {
    if (op->is_pending()) {
      EXPECT_TRUE(backend().cancel(*op));
    }
    close(op->fd);
  }

  EXPECT_FALSE(backend().is_watching());
  close(listening);
}

TEST_P(BackendTest, SecondOperationInADirectionIsBusy) {
  const Pair pair = make_pair();
  Op first(Kind::recv, pair.server);
  first.size = 10;
  EXPECT_FALSE(backend().submit(first));
  Op second(Kind::poll_in, pair.server);
  Op other_way(Kind::poll_out, pair.server);

  EXPECT_TRUE(backend().submit(second));
  EXPECT_EQ(second.result, -EBUSY);
  EXPECT_EQ(run(other_way), 0);

  send(pair.client, "x");
  run_until([&] { return first.completions == 1; });
}

TEST_P(BackendTest, BadDescriptorIsAResult) {
  const native_socket fd = open();
  close(fd);
  CountingWatch w;

  for (const native_socket bad : {native_socket{-1}, fd}) {
    for (const Kind kind : {Kind::accept, Kind::recv, Kind::send, Kind::poll_in}) {
      char byte = 0;
      Op op(kind, bad);
      op.data = &byte;
      op.size = 1;
      EXPECT_EQ(run(op), -EBADF);
    }
    EXPECT_EQ(backend().set_watch(bad, Watch::readable, w), -EBADF);
    EXPECT_EQ(backend().set_watch(bad, 0, w), 0);
  }
}

// Fairness ----------------------------------------------------------------------------

TEST_P(BackendTest, DescriptorThatIsAlwaysReadyDoesNotStarveAnother) {
  const Pair hot = make_pair();
  const Pair quiet = make_pair();
  Op waiting(Kind::recv, quiet.server);
  waiting.size = 10;
  EXPECT_FALSE(backend().submit(waiting));
  send(quiet.client, "me too");
  send(hot.client, std::string(10000, 'x'));
  Op settle(Kind::poll_in, hot.server);
  EXPECT_EQ(run(settle), 0);

  Op op(Kind::recv, hot.server);
  op.size = 1;
  int in_a_row = 0;
  while (in_a_row < 5000 && backend().submit(op)) ++in_a_row;
  ASSERT_LT(in_a_row, 5000) << "submit never gave the others a chance";
  EXPECT_TRUE(backend().is_poll_due());
  const TimePoint before = backend().now();
  backend().poll(10s);  // Does not wait: the deferred operation is due.

  EXPECT_LT(backend().now() - before, 5s);
  EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(op.result, 1);
  EXPECT_EQ(waiting.received, "me too");
}

TEST_P(BackendTest, PollDoesNotWaitWhileAnOperationIsDeferred) {
  const Pair hot = make_pair();
  send(hot.client, std::string(10000, 'x'));
  Op settle(Kind::poll_in, hot.server);
  EXPECT_EQ(run(settle), 0);
  Op op(Kind::recv, hot.server);
  op.size = 1;
  int in_a_row = 0;
  while (in_a_row < 5000 && backend().submit(op)) ++in_a_row;
  ASSERT_TRUE(op.is_pending());

  const TimePoint before = backend().now();
  backend().poll(10s);

  EXPECT_LT(backend().now() - before, 5s);
  EXPECT_EQ(op.completions, 1);
  EXPECT_FALSE(backend().is_poll_due());
}

TEST_P(BackendTest, DeferredOperationsCanBeCancelledAndClosed) {
  const Pair hot = make_pair();
  send(hot.client, std::string(10000, 'x'));
  Op settle(Kind::poll_in, hot.server);
  EXPECT_EQ(run(settle), 0);
  Op op(Kind::recv, hot.server);
  op.size = 1;
  int in_a_row = 0;
  while (in_a_row < 5000 && backend().submit(op)) ++in_a_row;
  ASSERT_TRUE(op.is_pending());

  EXPECT_TRUE(backend().cancel(op));
  EXPECT_FALSE(backend().submit(op));
  EXPECT_TRUE(backend().cancel(op));
  close(hot.server);
  backend().poll(0ms);

  EXPECT_EQ(op.completions, 0);
}

TEST_P(BackendTest, DeferredOperationThatWouldBlockWaits) {
  const Pair hot = make_pair();
  send(hot.client, std::string(100, 'x'));
  Op settle(Kind::poll_in, hot.server);
  EXPECT_EQ(run(settle), 0);
  const Pair quiet = make_pair();
  Op op(Kind::recv, hot.server);
  op.size = 1;
  int in_a_row = 0;
  while (in_a_row < 99 && backend().submit(op)) ++in_a_row;
  Op blocked(Kind::recv, quiet.server);
  blocked.size = 10;
  EXPECT_FALSE(backend().submit(blocked));

  backend().poll(0ms);
  EXPECT_TRUE(blocked.is_pending());
  expect_idle();
  send(quiet.client, "now");
  run_until([&] { return blocked.completions == 1; });

  EXPECT_EQ(blocked.received, "now");
  if (op.is_pending()) backend().cancel(op);
}

// Callbacks ---------------------------------------------------------------------------

TEST_P(BackendTest, CompletionMaySubmitItselfAgain) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  std::string all;
  op.then = [&] {
    all += op.received;
    while (all.size() < 6 && backend().submit(op)) {
      op.note();
      all += op.received;
    }
  };
  EXPECT_FALSE(backend().submit(op));

  for (const char* part : {"ab", "cd", "ef"}) {
    send(pair.client, part);
    backend().poll(10ms);
  }
  run_until([&] { return all.size() == 6; });

  EXPECT_EQ(all, "abcdef");
}

TEST_P(BackendTest, CompletionMayCancelAndCloseTheOthersOfItsBatch) {
  std::vector<Pair> pairs;
  std::vector<std::unique_ptr<Op>> ops;
  for (int i = 0; i < 8; ++i) pairs.push_back(make_pair());
  int completions = 0;
  for (const Pair& pair : pairs) {
    ops.push_back(std::make_unique<Op>(Kind::recv, pair.server));
    ops.back()->size = 10;
    ops.back()->then = [&] {
      ++completions;
      for (const auto& op : ops) {
        if (!op->is_pending()) continue;
        EXPECT_TRUE(backend().cancel(*op));
        close(op->fd);
      }
    };
    EXPECT_FALSE(backend().submit(*ops.back()));
  }

  for (const Pair& pair : pairs) send(pair.client, "x");
  run_until([&] { return completions > 0; });
  backend().poll(1ms);

  EXPECT_EQ(completions, 1);
}

TEST_P(BackendTest, NumberThatIsUsedAgainAtOnceGetsNoStaleEvents) {
  std::vector<Pair> pairs;
  for (int i = 0; i < 8; ++i) pairs.push_back(make_pair());
  sockaddr_in address;
  const native_socket listening = listener(address);
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<std::unique_ptr<Op>> fresh;
  for (const Pair& pair : pairs) {
    ops.push_back(std::make_unique<Op>(Kind::recv, pair.server));
    ops.back()->size = 10;
    ops.back()->then = [&] {
      if (!fresh.empty()) return;
      for (const auto& op : ops) {
        if (!op->is_pending()) continue;
        backend().cancel(*op);
        close(op->fd);
        // Most likely the same number: a listener, on which nothing comes in.
        sockaddr_in unused;
        fresh.push_back(std::make_unique<Op>(Kind::poll_in, listener(unused)));
        EXPECT_FALSE(backend().submit(*fresh.back()));
      }
    };
    EXPECT_FALSE(backend().submit(*ops.back()));
  }

  for (const Pair& pair : pairs) send(pair.client, "x");
  run_until([&] { return !fresh.empty(); });
  backend().poll(1ms);

  for (const auto& op : fresh) {
    EXPECT_EQ(op->completions, 0) << "an event of the closed descriptor arrived";
    EXPECT_TRUE(backend().cancel(*op));
  }
  close(listening);
}

TEST_P(BackendTest, CompletionMayCloseItsOwnDescriptor) {
  const Pair pair = make_pair();
  Op in(Kind::recv, pair.server);
  in.size = 10;
  fill(pair.server);
  char byte = 'x';
  Op out(Kind::send, pair.server);
  out.data = &byte;
  out.size = 1;
  in.then = [&] {
    if (out.is_pending()) backend().cancel(out);
    close(pair.server);
  };
  EXPECT_FALSE(backend().submit(in));
  EXPECT_FALSE(backend().submit(out));

  send(pair.client, "x");
  run_until([&] { return in.completions == 1; });

  EXPECT_EQ(out.completions, 0);
}

TEST_P(BackendTest, ForgottenDescriptorStaysOpenAndCanComeBack) {
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  EXPECT_TRUE(backend().cancel(op));

  backend().forget(pair.server);
  backend().forget(pair.server);
  send(pair.client, "x");
  expect_idle();

  EXPECT_EQ(receive(pair.server), "x");
}

// Watches -----------------------------------------------------------------------------

TEST_P(BackendTest, WatchIsToldOncePerPollWhileReadable) {
  const Pair pair = make_pair();
  CountingWatch w;
  EXPECT_EQ(watch(pair.server, Watch::readable, w), 0);
  EXPECT_TRUE(backend().is_watching());
  backend().poll(0ms);
  EXPECT_EQ(w.calls, 0);

  send(pair.client, "x");
  run_until([&] { return w.calls == 1; });
  backend().poll(100ms);
  EXPECT_EQ(w.calls, 2);
  EXPECT_EQ(w.last, Watch::readable);

  EXPECT_EQ(receive(pair.server), "x");
  const int before = w.calls;
  backend().poll(0ms);
  EXPECT_EQ(w.calls, before);
  EXPECT_EQ(backend().set_watch(pair.server, 0, w), 0);
  EXPECT_FALSE(backend().is_watching());
}

TEST_P(BackendTest, WatchIsToldOncePerPollWhileWritable) {
  const Pair pair = make_pair();
  CountingWatch w;
  EXPECT_EQ(watch(pair.client, Watch::writable, w), 0);
  backend().poll(100ms);
  backend().poll(100ms);
  EXPECT_EQ(w.calls, 2);
  EXPECT_EQ(w.last, Watch::writable);

  const std::size_t size = fill(pair.client);
  backend().poll(0ms);
  EXPECT_EQ(w.calls, 2);
  swallow(pair.server, size);

  run_until([&] { return w.calls > 2; });
}

TEST_P(BackendTest, WatchOfBothDirectionsIsToldOnceWithBoth) {
  const Pair pair = make_pair();
  send(pair.client, "x");
  Op settle(Kind::poll_in, pair.server);
  EXPECT_EQ(run(settle), 0);
  CountingWatch w;

  EXPECT_EQ(watch(pair.server, Watch::readable | Watch::writable, w), 0);
  backend().poll(100ms);

  EXPECT_EQ(w.calls, 1);
  EXPECT_EQ(w.last, Watch::readable | Watch::writable);
}

TEST_P(BackendTest, WatchMaskCanBeChangedInsideTheCallback) {
  const Pair pair = make_pair();
  CountingWatch w;
  w.then = [&](unsigned events) {
    if (events == Watch::writable) backend().set_watch(pair.server, Watch::readable, w);
    if (events == Watch::readable) backend().set_watch(pair.server, 0, w);
  };
  EXPECT_EQ(watch(pair.server, Watch::writable, w), 0);
  backend().poll(100ms);
  EXPECT_EQ(w.calls, 1);

  expect_idle();  // Writable, but no longer watched for that.
  send(pair.client, "x");
  run_until([&] { return w.calls == 2; });

  EXPECT_FALSE(backend().is_watching());
  expect_idle();
}

TEST_P(BackendTest, WatchEndedByAnotherOfItsBatchIsNotTold) {
  const Pair one = make_pair();
  const Pair two = make_pair();
  CountingWatch a;
  CountingWatch b;
  a.then = [&](unsigned) { backend().set_watch(two.server, 0, b); };
  b.then = [&](unsigned) { backend().set_watch(one.server, 0, a); };
  EXPECT_EQ(watch(one.server, Watch::readable, a), 0);
  EXPECT_EQ(watch(two.server, Watch::readable, b), 0);

  send(one.client, "x");
  send(two.client, "x");
  run_until([&] { return a.calls + b.calls > 0; });

  EXPECT_EQ(a.calls + b.calls, 1);
}

TEST_P(BackendTest, WatchOfANumberUsedAgainAtOnceGetsNoStaleEvents) {
  NEEDS_SYSTEM();
  int pipes[2][2];
  CountingWatch watches[2];
  CountingWatch fresh;
  int replaced = 0;
  for (auto& ends : pipes) ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  int quiet[2];
  ASSERT_EQ(::pipe2(quiet, O_NONBLOCK | O_CLOEXEC), 0);
  for (const int i : {0, 1}) {
    watches[i].then = [&, i](unsigned) {
      if (replaced++ != 0) return;
      // As its owner may: unwatch, close, open another file, watch that.
      const int other = pipes[1 - i][0];
      EXPECT_EQ(backend().set_watch(other, 0, watches[1 - i]), 0);
      EXPECT_EQ(::dup3(quiet[0], other, O_CLOEXEC), other);
      EXPECT_EQ(watch(other, Watch::readable, fresh), 0);
    };
    EXPECT_EQ(watch(pipes[i][0], Watch::readable, watches[i]), 0);
    ASSERT_EQ(::write(pipes[i][1], "x", 1), 1);
  }

  backend().poll(100ms);

  EXPECT_EQ(replaced, 1);
  EXPECT_EQ(fresh.calls, 0) << "an event of the closed file arrived";
  for (const int i : {0, 1}) {
    backend().set_watch(pipes[i][0], 0, fresh);
    for (const int fd : pipes[i]) ::close(fd);
    ::close(quiet[i]);
  }
}

TEST_P(BackendTest, HangUpCountsAsWhatIsWatched) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const native_socket write_end = own(ends[1]);
  while (::write(write_end, "xxxxxxxx", 8) == 8) {
  }
  CountingWatch w;
  EXPECT_EQ(watch(write_end, Watch::writable, w), 0);
  backend().poll(0ms);
  EXPECT_EQ(w.calls, 0);

  ::close(ends[0]);
  run_until([&] { return w.calls == 1; });

  EXPECT_EQ(w.last, Watch::writable);
}

TEST_P(BackendTest, WatchAndOperationShareADescriptor) {
  const Pair pair = make_pair();
  CountingWatch w;
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  EXPECT_EQ(watch(pair.server, Watch::writable, w), 0);
  backend().poll(100ms);
  EXPECT_EQ(w.calls, 1);
  send(pair.client, "one");
  run_until([&] { return op.completions == 1; });
  EXPECT_EQ(op.received, "one");

  // Data that nobody waits for is no reason to wake while the watch is there …
  fill(pair.server);
  send(pair.client, "two");
  const int before = w.calls;
  expect_idle();
  EXPECT_EQ(w.calls, before);
  // … and is found by the next operation, also when the watch ends under it.
  EXPECT_EQ(receive(pair.server), "two");
  EXPECT_FALSE(backend().submit(op));
  EXPECT_EQ(backend().set_watch(pair.server, 0, w), 0);
  send(pair.client, "three");
  run_until([&] { return op.completions == 2; });
  EXPECT_EQ(op.received, "three");
}

TEST_P(BackendTest, RegularFilesAreRefusedOrAlwaysReady) {
  NEEDS_SYSTEM();
  const native_socket file = own(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CountingWatch w;

  const int result = watch(file, Watch::readable, w);
  if (backend().name() == "epoll") {
    EXPECT_EQ(result, -EPERM);
    EXPECT_FALSE(backend().is_watching());
  } else {
    EXPECT_EQ(result, 0);
    backend().poll(100ms);
    EXPECT_EQ(w.calls, 1);
  }
}

TEST_P(BackendTest, DescriptorsBeyondTheFacilityAreRefused) {
  NEEDS_SYSTEM();
  const Pair pair = make_pair();
  const native_socket high = ::fcntl(pair.server, F_DUPFD_CLOEXEC, FD_SETSIZE + 100);
  if (high < 0) GTEST_SKIP() << "the limit of descriptors is too low here";
  own(high);
  CountingWatch w;
  Op op(Kind::recv, high);
  op.size = 10;

  if (backend().name() == "select") {
    EXPECT_TRUE(backend().submit(op));
    EXPECT_EQ(op.result, -EINVAL);
    EXPECT_EQ(watch(high, Watch::readable, w), -EINVAL);
  } else {
    EXPECT_FALSE(backend().submit(op));
    EXPECT_EQ(watch(high, Watch::writable, w), 0);
    send(pair.client, "x");
    run_until([&] { return op.completions == 1; });
  }
}

TEST_P(BackendTest, WatchedDescriptorClosedBehindItsBackDoesNotSpin) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  CountingWatch w;
  EXPECT_EQ(backend().set_watch(ends[0], Watch::readable, w), 0);
  const Pair pair = make_pair();

  ::close(ends[0]);
  ::close(ends[1]);
  backend().poll(1ms);
  backend().poll(1ms);

  const bool is_told = backend().name() != "epoll";
  EXPECT_EQ(w.calls, is_told ? 1 : 0);
  EXPECT_EQ(backend().is_watching(), !is_told);
  expect_idle();
  EXPECT_EQ(backend().set_watch(ends[0], 0, w), 0);
  EXPECT_FALSE(backend().is_watching());
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "x");
  run_until([&] { return op.completions == 1; });
}

TEST_P(BackendTest, OperationOnADescriptorClosedBehindItsBackDoesNotSpin) {
  NEEDS_SYSTEM();
  const Pair pair = make_pair();
  const native_socket copy = ::dup(pair.server);
  Op in(Kind::poll_in, copy);
  EXPECT_FALSE(backend().submit(in));

  ::close(copy);
  for (int i = 0; i < 3; ++i) backend().poll(1ms);

  if (backend().name() == "epoll") {  // The file lives on, and so does the interest.
    EXPECT_TRUE(backend().cancel(in));
  } else {
    EXPECT_EQ(in.completions, 1);
    EXPECT_EQ(in.result, -EBADF);
  }
  expect_idle();
}

TEST_P(BackendTest, NumberReopenedBehindItsBackCanBeWatchedAnew) {
  NEEDS_SYSTEM();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  CountingWatch w;
  EXPECT_EQ(watch(ends[0], Watch::readable, w), 0);
  const Pair pair = make_pair();
  ASSERT_EQ(::dup3(pair.server, ends[0], O_CLOEXEC), ends[0]);

  EXPECT_EQ(backend().set_watch(ends[0], Watch::writable, w), 0);
  backend().poll(100ms);

  EXPECT_EQ(w.calls, 1);
  EXPECT_EQ(backend().set_watch(ends[0], 0, w), 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

// Waking and waiting ------------------------------------------------------------------

TEST_P(BackendTest, WakeFromAnotherThreadEndsTheWait) {
  const std::shared_ptr<Waker> waker = backend().waker();
  std::atomic<int> posted = 0;
  std::thread other([&] {
    posted = 1;
    waker->wake();
  });

  const auto before = std::chrono::steady_clock::now();
  while (posted == 0) backend().poll(10s);

  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
  other.join();
}

TEST_P(BackendTest, EveryPostIsSeenAfterItsWake) {
  NEEDS_SYSTEM();
  const std::shared_ptr<Waker> waker = backend().waker();
  constexpr int total = 20000;
  std::atomic<int> posted = 0;
  std::thread other([&] {
    for (int i = 0; i < total; ++i) {
      posted.fetch_add(1);
      waker->wake();
    }
  });

  const auto before = std::chrono::steady_clock::now();
  while (posted != total) backend().poll(10s);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 9s) << "a wake-up was lost";

  other.join();
  backend().poll(0ms);  // What the last wakes left.
}

TEST_P(BackendTest, WakesBeforeTheWaitCountAsOne) {
  backend().waker()->wake();
  backend().waker()->wake();

  backend().poll(10s);

  expect_idle();
}

TEST_P(BackendTest, SeveralWakesAreOneWrite) {
  NEEDS_FAULTS();
  const Faults faults;

  for (int i = 0; i < 100; ++i) backend().waker()->wake();
  EXPECT_EQ(faults.calls(SysCall::write), 1U);
  backend().poll(10s);
  backend().waker()->wake();

  EXPECT_EQ(faults.calls(SysCall::write), 2U);
  backend().poll(10s);
}

TEST_P(BackendTest, WakerOutlivesTheBackEnd) {
  const std::shared_ptr<Waker> waker = GetParam().make()->waker();

  waker->wake();
}

TEST_P(BackendTest, WaitIsNeverEarly) {
  for (const Duration timeout :
       {Duration(1ns), Duration(1us), Duration(999us), Duration(1001us), Duration(2500us)}) {
    const TimePoint before = backend().now();
    backend().poll(timeout);
    EXPECT_GE(backend().now() - before, timeout);
  }
}

TEST_P(BackendTest, NoTimeoutAndNegativeTimeoutDoNotWait) {
  const auto before = std::chrono::steady_clock::now();
  backend().poll(Duration::zero());
  backend().poll(Duration::min());

  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
}

TEST_P(BackendTest, HugeTimeoutsAreAccepted) {
  for (const Duration timeout : {Duration::max(), Duration::max() - 1ns}) {
    backend().waker()->wake();
    backend().poll(timeout);  // Ends by the wake alone.
  }
}

TEST_P(BackendTest, PollableDescriptorTellsThatAPollIsDue) {
  NEEDS_SYSTEM();
  if (backend().pollable_fd() < 0) GTEST_SKIP() << "has none";
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  backend().poll(0ms);
  pollfd state{backend().pollable_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&state, 1, 0), 0);

  send(pair.client, "x");
  EXPECT_EQ(::poll(&state, 1, 5000), 1);
  backend().poll(0ms);
  EXPECT_EQ(op.completions, 1);
  EXPECT_EQ(::poll(&state, 1, 0), 0);

  backend().waker()->wake();
  EXPECT_EQ(::poll(&state, 1, 0), 1);
  backend().poll(0ms);
  EXPECT_EQ(::poll(&state, 1, 0), 0);
}

// Trouble -----------------------------------------------------------------------------

// Interrupts the process once a millisecond while it lives.
class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action{};
    action.sa_handler = [](int) {};  // Without SA_RESTART: calls are interrupted.
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval every{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~SignalStorm() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

TEST_P(BackendTest, TransfersSurviveAStormOfSignals) {
  NEEDS_SYSTEM();
  const SignalStorm storm;
  const TimePoint end = backend().now() + 50ms;
  for (int round = 0; round < 20 || backend().now() < end; ++round) {
    const Pair pair = make_pair();
    const std::size_t size = fill(pair.client);
    swallow(pair.server, size);
    close(pair.client);
    EXPECT_EQ(receive(pair.server), "<EOF>");
    close(pair.server);
    backend().poll(2ms);
  }
}

TEST_P(BackendTest, InterruptedCallsAreMadeAgain) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  Faults faults;
  faults.fail(SysCall::recv, {.times = 5, .error = EINTR});
  faults.fail(SysCall::send, {.times = 5, .error = EINTR});
  for (const SysCall call : {SysCall::epoll_wait, SysCall::poll, SysCall::select}) {
    faults.fail(call, {.times = 5, .error = EINTR});
  }

  send(pair.client, "x");

  EXPECT_EQ(receive(pair.server), "x");
  EXPECT_GE(faults.injected_count(), 10U);
}

TEST_P(BackendTest, InterruptedConnectGoesOn) {
  NEEDS_FAULTS();
  sockaddr_in address;
  const native_socket listening = listener(address);
  Op op(Kind::connect, open());
  op.address = &address;
  op.address_size = sizeof address;
  // As after an EINTR: the kernel is already at it, and says so.
  ASSERT_EQ(::connect(op.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), -1);
  ASSERT_EQ(errno, EINPROGRESS);
  Faults faults;
  faults.fail(SysCall::connect, {.error = EINTR});

  EXPECT_EQ(run(op), 0);

  Op accept(Kind::accept, listening);
  own(run(accept));
}

TEST_P(BackendTest, ScriptedErrorsAreResults) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  send(pair.client, "kept");
  Faults faults;
  faults.fail(SysCall::recv, {.error = ECONNRESET, .fd = pair.server});
  faults.fail(SysCall::send, {.error = ENOBUFS, .fd = pair.client});

  EXPECT_EQ(receive(pair.server), "<" + std::to_string(-ECONNRESET) + ">");
  EXPECT_EQ(backend().send_now(pair.client, "x", 1), -ENOBUFS);

  EXPECT_EQ(receive(pair.server), "kept");
}

TEST_P(BackendTest, ShortTransfersLoseNothing) {
  NEEDS_FAULTS();
  const Pair pair = make_pair();
  std::string text = "a longer text";
  std::string got;
  fill_and_empty(pair);  // From here on both are registered.
  Faults faults;
  faults.shorten(SysCall::send, {.max = 1});
  faults.shorten(SysCall::recv, {.max = 2, .fd = pair.server});

  for (std::size_t at = 0; at < text.size(); ++at) {
    Op op(Kind::send, pair.client);
    op.data = text.data() + at;
    op.size = text.size() - at;
    ASSERT_EQ(run(op), 1);
  }
  backend().poll(1ms);
  while (got.size() < text.size()) got += receive(pair.server);

  EXPECT_EQ(got, text);
}

TEST_P(BackendTest, LackOfDescriptorsIsAResultOfAcceptAndPasses) {
  NEEDS_FAULTS();
  sockaddr_in address;
  Op accept(Kind::accept, listener(address));
  EXPECT_FALSE(backend().submit(accept));
  Faults faults;
  faults.fail(SysCall::accept, {.error = EMFILE});

  connect(address);
  run_until([&] { return accept.completions == 1; });
  EXPECT_EQ(accept.result, -EMFILE);
  expect_idle();  // The waiting connection does not keep it busy.

  own(run(accept));
}

TEST_P(BackendTest, TransientErrorsOfAcceptAreResults) {
  NEEDS_FAULTS();
  sockaddr_in address;
  Op accept(Kind::accept, listener(address));
  connect(address);

  for (const int error : {ECONNABORTED, EPROTO, ENETDOWN, EPERM, ENOBUFS, ENOMEM, ENFILE}) {
    Faults faults;
    faults.fail(SysCall::accept, {.times = 100, .error = error});
    for (int i = 0; i < 100; ++i) EXPECT_EQ(run(accept), -error);
  }

  own(run(accept));
}

TEST_P(BackendTest, DescriptorThatCannotBeRegisteredIsAResult) {
  NEEDS_FAULTS();
  if (backend().name() != "epoll") GTEST_SKIP() << "registers nothing";
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 10;
  CountingWatch w;
  {
    Faults faults;
    faults.fail(SysCall::epoll_ctl, {.times = 2, .error = ENOSPC, .fd = pair.server});
    EXPECT_TRUE(backend().submit(op));
    EXPECT_EQ(op.result, -ENOSPC);
    EXPECT_EQ(backend().set_watch(pair.server, Watch::readable, w), -ENOSPC);
  }
  EXPECT_FALSE(backend().is_watching());

  EXPECT_FALSE(backend().submit(op));
  send(pair.client, "x");
  run_until([&] { return op.completions == 1; });
}

TEST_P(BackendTest, KernelWithoutNanosecondWaitsIsServedInMilliseconds) {
  NEEDS_FAULTS();
  if (backend().name() != "epoll") GTEST_SKIP() << "has no such call";
  Faults faults;
  faults.fail(SysCall::epoll_wait, {.error = ENOSYS});
  const TimePoint before = backend().now();

  backend().poll(1100us);

  EXPECT_GE(backend().now() - before, 1100us);
  EXPECT_EQ(faults.calls(SysCall::epoll_wait), 2U);
}

TEST_P(BackendTest, InterruptedCloseHasClosed) {
  NEEDS_FAULTS();
  const native_socket fd =
      static_cast<native_socket>(backend().open_socket(AF_INET, SOCK_STREAM, 0));
  Faults faults;
  faults.fail(SysCall::close, {.error = EINTR, .fd = fd});

  EXPECT_EQ(backend().close_socket(fd), 0);

  EXPECT_EQ(faults.calls(SysCall::close), 1U);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_P(BackendTest, ForkedChildLeavesTheParentAlone) {
  NEEDS_SYSTEM();
  const Pair pair = make_pair();
  Op op(Kind::recv, pair.server);
  op.size = 100;
  EXPECT_FALSE(backend().submit(op));
  backend().poll(0ms);  // Takes the report of the state at registration.

  const pid_t child = ::fork();
  if (child == 0) {
    backend().abandon_after_fork();
    backend().waker()->wake();  // Reaches nobody.
    backend().reclaim(op);
    backend().poll(10s);  // Does nothing.
    ::_exit(backend().close_socket(pair.server) == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const TimePoint before = backend().now();
  backend().poll(10ms);
  EXPECT_GE(backend().now() - before, 10ms) << "the child woke its parent";

  send(pair.client, "for the parent");
  run_until([&] { return op.completions == 1; });
  EXPECT_EQ(op.received, "for the parent");
}

TEST_P(BackendTest, DescriptorHeldByAChildMakesNoEventsAfterClose) {
  NEEDS_SYSTEM();
  const Pair pair = make_pair();
  const int copy = ::dup(pair.server);  // As a child would have it.
  Op op(Kind::recv, pair.server);
  op.size = 10;
  EXPECT_FALSE(backend().submit(op));
  EXPECT_TRUE(backend().cancel(op));
  close(pair.server);

  send(pair.client, "x");
  expect_idle();

  ::close(copy);
}

std::unique_ptr<IoBackend> simulated(testing::SimOptions options) {
  return std::make_unique<testing::SimBackend>(options);
}

const std::vector<Subject> subjects{
#if defined(__linux__)
    {"epoll", [] { return make_backend(Backend::epoll); }, true},
#endif
    {"poll", [] { return make_backend(Backend::poll); }, true},
    {"select", [] { return make_backend(Backend::select); }, true},
    {"sim", [] { return simulated({}); }, false},
    {"sim_slow_network", [] { return simulated({.seed = 1, .latency = 2ms}); }, false},
    {"sim_small_capacity", [] { return simulated({.seed = 2, .capacity = 20'000}); }, false},
};

INSTANTIATE_TEST_SUITE_P(All, BackendTest, ::testing::ValuesIn(subjects),
                         [](const auto& subject) { return std::string(subject.param.name); });

}  // namespace
}  // namespace aster
