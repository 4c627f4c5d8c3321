// SPDX-License-Identifier: MIT
// What happens between the moment a socket is found ready and the moment its bytes
// are received, on every system.
#include "net/net_fixture.hpp"

#include <array>
#include <string>

#include <sys/socket.h>

namespace aster::net_tests {
namespace {

class Delivery : public NetTest {
 protected:
  // Every turn polls: a callback queued now runs after that poll, and before what the
  // poll found is delivered.
  Delivery() { net.loop().set_strict_order(true); }
};
INSTANTIATE_TEST_SUITE_P(Systems, Delivery, ::testing::ValuesIn(all_systems()), name_of);

class DeliveryReal : public Delivery {};
INSTANTIATE_TEST_SUITE_P(Systems, DeliveryReal, ::testing::ValuesIn(real_systems()), name_of);

enum class By { text, into, view };

Coroutine<std::string> read_by(StreamReader reader, By kind) {
  std::string text;
  if (kind == By::text) {
    text = co_await reader.read(100);
  } else if (kind == By::into) {
    std::array<char, 100> target{};
    const std::size_t size = co_await reader.read_into(target);
    text.assign(target.data(), size);
  } else {
    const std::string_view view = co_await reader.read_view(100);
    text = view;
  }
  co_return text;
}

Coroutine<std::string> result_of(Task<std::string> task) {
  std::string text = co_await task;
  co_return text;
}

TEST_P(Delivery, AReadCancelledBetweenReadinessAndReceiptLosesNothing) {
  for (const By kind : {By::text, By::into, By::view}) {
    run([](By by) -> Coroutine<> {
      Pair pair = co_await connected_pair();
      Task<std::string> task = create_task(read_by(pair.server.reader, by));
      co_await turns(2);

      pair.client.writer.write("abc");
      get_running_loop().call_soon([task]() mutable { task.cancel(); });
      co_await turns(3);
      std::string text = co_await pair.server.reader.readexactly(3);

      EXPECT_TRUE(task.cancelled());
      EXPECT_EQ(text, "abc");
    }(kind));
  }
}

TEST_P(Delivery, AConnectionAbortedBetweenReadinessAndReceiptEndsItsRead) {
  run([](bool simulated) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    Task<std::string> task = create_task(read_by(pair.server.reader, By::into));
    co_await turns(2);

    pair.client.writer.write("abc");
    StreamWriter& writer = pair.server.writer;
    get_running_loop().call_soon([&writer] { writer.abort(); });
    std::string text = co_await task;
    co_await writer.wait_closed();

    // The simulated system has received by then.
    if (!simulated || text != "abc") {
      EXPECT_EQ(text, "");
    }
    EXPECT_TRUE(pair.server.reader.at_eof());
  }(net.is_simulated()));
}

TEST_P(DeliveryReal, ReadinessThatComesToNothingLetsTheReadWaitOn) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    Task<std::string> task = create_task(read_by(pair.server.reader, By::into));
    co_await turns(2);

    pair.client.writer.write("abc");
    const native_socket fd = pair.server.writer.socket().fileno();
    get_running_loop().call_soon([fd] {
      std::array<char, 3> taken{};
      EXPECT_EQ(::recv(fd, taken.data(), taken.size(), 0), 3);
    });
    co_await turns(3);
    EXPECT_FALSE(task.done());
    pair.client.writer.write("def");
    std::string text = co_await task;

    EXPECT_EQ(text, "def");
  }());
}

TEST_P(DeliveryReal, AReadThatBeginsAfterThePollGetsWhatItFound) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    Task<std::string> first = create_task(read_by(pair.server.reader, By::into));
    co_await turns(2);
    Task<std::string> second;

    pair.client.writer.write("abc");
    get_running_loop().call_soon([&] {
      first.cancel();
      second = get_running_loop().create_task(read_by(pair.server.reader, By::into));
    });
    co_await turns(3);
    std::string text = co_await second;

    EXPECT_TRUE(first.cancelled());
    EXPECT_EQ(text, "abc");
  }());
}

TEST_P(DeliveryReal, ASocketThatIsAlwaysReadableStarvesNeitherATimerNorAnother) {
  net.loop().set_strict_order(false);
  run([]() -> Coroutine<> {
    Pair busy = co_await connected_pair();
    Pair other = co_await connected_pair();
    int reads = 0;
    int other_at = -1;
    int timer_at = -1;
    busy.client.writer.write(std::string(60000, 'x'));
    auto hog = create_task([&]() -> Coroutine<> {
      std::array<char, 16> target{};
      for (std::size_t got = 0; got < 60000; ++reads) {
        const std::size_t size = co_await busy.server.reader.read_into(target);
        got += size;
      }
    });
    auto waiting = create_task([&]() -> Coroutine<> {
      co_await other.server.reader.readexactly(1);
      other_at = reads;
    });
    TimerHandle timer = get_running_loop().call_later(0s, [&] { timer_at = reads; });
    other.client.writer.write("x");

    co_await hog;
    co_await waiting;

    EXPECT_GE(reads, 3750);
    EXPECT_LT(other_at, 1000);
    EXPECT_GE(timer_at, 0);
    EXPECT_LT(timer_at, 1000);
  }());
}

TEST_P(DeliveryReal, WhatAWokenTaskQueuesRunsAfterAllThatWasReady) {  // LOOP-2
  run([]() -> Coroutine<> {
    std::string log;
    Pair a = co_await connected_pair();
    Pair b = co_await connected_pair();
    auto reading = [&log](StreamReader reader, char name) -> Coroutine<> {
      co_await reader.read(1);
      log += name;
      get_running_loop().call_soon([&log, name] { log += static_cast<char>(name - 'A' + 'a'); });
    };
    auto first = create_task({}, reading, a.server.reader, 'A');
    auto second = create_task({}, reading, b.server.reader, 'B');
    co_await turns(2);

    a.client.writer.write("x");
    b.client.writer.write("x");
    co_await first;
    co_await second;
    co_await turns(2);

    EXPECT_TRUE(log == "ABab" || log == "BAba") << log;  // Which is first is the system's.
  }());
}

Coroutine<> interrupt_at_a_byte(StreamReader reader) {
  co_await reader.read(1);
  throw KeyboardInterrupt();
}

TEST_P(DeliveryReal, AnErrorThatLeavesTheTurnLosesNoEvent) {
  Pair a = run(connected_pair());
  Pair b = run(connected_pair());
  auto interrupted = net.loop().create_task(interrupt_at_a_byte(a.server.reader));
  Task<std::string> reading = net.loop().create_task(read_by(b.server.reader, By::into));
  net.turns(2);

  a.client.writer.write("x");
  b.client.writer.write("y");
  EXPECT_THROW(net.turns(3), KeyboardInterrupt);

  EXPECT_EQ(run(result_of(reading)), "y");
}

TEST_P(DeliveryReal, ALoopMayCloseWithEventsThatWereNotDelivered) {
  Pair a = run(connected_pair());
  Pair b = run(connected_pair());
  auto interrupted = net.loop().create_task(interrupt_at_a_byte(a.server.reader));
  Task<std::string> reading = net.loop().create_task(read_by(b.server.reader, By::into));
  net.turns(2);
  a.client.writer.write("x");
  b.client.writer.write("y");
  EXPECT_THROW(net.turns(3), KeyboardInterrupt);

  net.settles = false;
  net.expected_reports = reading.done()
                             ? std::vector<std::string>{}
                             : std::vector<std::string>{"Task was destroyed but it is pending!"};
  net.close();
}

TEST_P(Delivery, ViewsHoldAllThatIsSentInOrder) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(300000);
    pair.client.writer.write(sent);
    pair.client.writer.write_eof();

    std::string got;
    for (;;) {
      const std::string_view piece = co_await pair.server.reader.read_view(5000);
      if (piece.empty()) break;
      EXPECT_LE(piece.size(), 5000U);
      got += piece;
    }

    EXPECT_EQ(got, sent);
    EXPECT_TRUE(pair.server.reader.at_eof());
  }());
}

TEST_P(Delivery, AViewOfWhatWasBufferedLeavesTheRestToTheNextRead) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("head\nbody and tail");
    std::string head = co_await pair.server.reader.readuntil("\n");
    std::string body;
    while (body.size() < 4) {
      const std::string_view piece = co_await pair.server.reader.read_view(4 - body.size());
      body += piece;
    }
    std::string tail = co_await pair.server.reader.readexactly(9);

    EXPECT_EQ(head, "head\n");
    EXPECT_EQ(body, "body");
    EXPECT_EQ(tail, " and tail");
  }());
}

}  // namespace
}  // namespace aster::net_tests
