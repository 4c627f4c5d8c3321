// SPDX-License-Identifier: MIT
// How connections end, on every system.
#include "net/net_fixture.hpp"

#include <algorithm>

namespace aster::net_tests {
namespace {

class WriterEnd : public NetTest {
 protected:
  /// More bytes than the system takes at once.
  [[nodiscard]] std::size_t much() const { return net.is_simulated() ? 150'000 : 30'000'000; }
};
INSTANTIATE_TEST_SUITE_P(Systems, WriterEnd, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(WriterEnd, WriteEofEndsOneDirectionOnly) {  // TR-13, ST-20
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("question");
    pair.client.writer.write_eof();
    pair.client.writer.write_eof();  // Nothing.

    std::string question = co_await pair.server.reader.read();
    pair.server.writer.write("answer");
    pair.server.writer.write_eof();
    std::string answer = co_await pair.client.reader.read();

    EXPECT_EQ(question, "question");
    EXPECT_EQ(answer, "answer");
    EXPECT_FALSE(pair.client.writer.is_closing());
    EXPECT_THROW(pair.client.writer.write("more"), RuntimeError);  // TR-10
    EXPECT_THROW(pair.client.writer.writelines({"more"}), RuntimeError);
  }());
}

TEST_P(WriterEnd, WriteEofComesBehindWhatIsBuffered) {  // TR-13
  run([](std::size_t size) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(size);
    pair.client.writer.write(sent);
    pair.client.writer.write_eof();
    EXPECT_GT(pair.client.writer.get_write_buffer_size(), 0U);

    std::string got = co_await pair.server.reader.read();

    EXPECT_TRUE(got == sent);
  }(much()));
}

TEST_P(WriterEnd, CloseSendsWhatIsBuffered) {  // TR-2, C11
  run([](std::size_t size) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(size);
    pair.client.writer.write(sent);
    pair.client.writer.close();
    pair.client.writer.close();                    // Idempotent.
    EXPECT_TRUE(pair.client.writer.is_closing());  // TR-4
    EXPECT_GT(pair.client.writer.get_write_buffer_size(), 0U);
    pair.client.writer.write("more");  // Nothing, unlike asyncio, so that the end is near.
    pair.client.writer.write_eof();    // Nothing.

    std::string got = co_await pair.server.reader.read();
    std::string closed = co_await error_of(pair.client.writer.wait_closed());

    EXPECT_TRUE(got == sent);
    EXPECT_EQ(closed, "");
  }(much()));
}

TEST_P(WriterEnd, AbortDoesNotSendWhatIsBuffered) {  // TR-3, C11
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write(std::string(30'000'000, 'x'));
    pair.client.writer.abort();
    co_await pair.client.writer.wait_closed();

    std::size_t got = 0;
    for (;;) {
      auto piece = co_await outcome(pair.server.reader.read(1 << 20));
      if (!piece.has_value() || piece.value().empty()) break;
      got += piece.value().size();
    }

    EXPECT_LT(got, 30'000'000U);
    EXPECT_EQ(pair.client.writer.get_write_buffer_size(), 0U);
  }());
}

TEST_P(WriterEnd, AbortEndsAFlushThatStalls) {  // TR-3, C29
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write(std::string(30'000'000, 'x'));
    pair.client.writer.close();
    co_await turns(10);
    auto waiting = create_task(error_of(pair.client.writer.wait_closed()));
    co_await turns(10);
    EXPECT_FALSE(waiting.done());

    pair.client.writer.abort();
    std::string error = co_await waiting;

    EXPECT_EQ(error, "");
  }());
}

TEST_P(WriterEnd, TheEndNeverComesInsideACall) {  // TR-5, ORD-27
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto waiting = create_task(error_of(pair.client.writer.wait_closed()));
    co_await turns(2);

    pair.client.writer.abort();
    EXPECT_NE(pair.client.writer.socket().fileno(), -1);
    EXPECT_FALSE(waiting.done());

    co_await waiting;
    EXPECT_EQ(pair.client.writer.socket().fileno(), -1);
  }());
}

TEST_P(WriterEnd, WaitClosedThrowsWhatEndedTheConnectionToEveryWaiter) {  // ST-17
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write(std::string(30'000'000, 'x'));
    std::vector<Task<std::string>> waits;
    for (int i = 0; i < 10; ++i) {
      waits.push_back(create_task(error_of(pair.client.writer.wait_closed())));
    }
    co_await turns(3);
    waits[3].cancel();
    co_await turns(2);
    EXPECT_TRUE(waits[3].done());  // CAN-17: the others go on.
    EXPECT_FALSE(waits[4].done());

    pair.server.writer.abort();
    for (std::size_t i = 0; i < waits.size(); ++i) {
      std::string error = co_await waits[i];
      EXPECT_THAT(error, ::testing::HasSubstr(i == 3 ? "CancelledError" : "send 127.0.0.1:"));
    }
    std::string later = co_await error_of(pair.client.writer.wait_closed());
    EXPECT_THAT(later, ::testing::HasSubstr("send 127.0.0.1:"));
  }());
}

TEST_P(WriterEnd, WritesAfterTheLossAreIgnoredAndTheFifthIsWarnedOf) {  // TR-11, K-11
  const Logged logged;
  run([&logged]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.abort();
    co_await pair.client.writer.wait_closed();

    for (int i = 0; i < 4; ++i) pair.client.writer.write("x");
    EXPECT_EQ(logged.lines().size(), 0U);
    pair.client.writer.writelines({"x"});
    EXPECT_EQ(logged.lines().size(), 1U);
    for (int i = 0; i < 10; ++i) pair.client.writer.write("x");
    EXPECT_EQ(logged.lines().size(), 1U);
    pair.client.writer.write_eof();
    pair.client.writer.close();
    pair.client.writer.abort();
    pair.client.writer.set_write_buffer_limits(0);
    EXPECT_EQ(pair.client.writer.get_write_buffer_size(), 0U);
  }());
}

TEST_P(WriterEnd, ADroppedWriterClosesAfterSending) {  // ST-22
  run([](std::size_t size) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(size);
    {
      StreamWriter dropped = std::move(pair.client.writer);
      dropped.write(sent);
    }

    std::string got = co_await pair.server.reader.read();

    EXPECT_TRUE(got == sent);
  }(much()));
}

TEST_P(WriterEnd, AWriterThatIsAssignedToClosesItsConnection) {  // ST-22
  run([]() -> Coroutine<> {
    Pair one = co_await connected_pair();
    Pair two = co_await connected_pair();

    one.client.writer = std::move(two.client.writer);
    std::string end = co_await one.server.reader.read();
    one.client.writer.write("two\n");
    std::string line = co_await two.server.reader.readline();

    EXPECT_EQ(end, "");
    EXPECT_EQ(line, "two\n");
  }());
}

TEST_P(WriterEnd, ADroppedWriterIsWarnedOfInDebugMode) {  // ST-22
  const Logged logged;
  net.loop().set_debug(true);
  net.loop().slow_callback_duration = 1h;
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.server.writer.close();
    {
      const StreamWriter dropped = std::move(pair.client.writer);
    }
    co_return;
  }());
  net.loop().set_debug(false);

  EXPECT_THAT(
      logged.lines(),
      ::testing::Contains(::testing::StartsWith("unclosed StreamWriter of a connection to 127."))
          .Times(1));
}

TEST_P(WriterEnd, BothEndsMayCloseAtOnce) {
  run([]() -> Coroutine<> {
    for (int i = 0; i < 20; ++i) {
      Pair pair = co_await connected_pair();
      if (i % 2 == 0) pair.client.writer.write("x");
      if (i % 3 == 0) pair.server.writer.write("y");
      pair.client.writer.close();
      pair.server.writer.close();
      co_await aster::wait_for(error_of(pair.client.writer.wait_closed()), 10s);
      co_await aster::wait_for(error_of(pair.server.writer.wait_closed()), 10s);
    }
  }());
}

TEST_P(WriterEnd, AReadAndAWriteMayBothWaitWhenAbortComes) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write(std::string(30'000'000, 'x'));
    auto read = create_task(error_of(pair.client.reader.readexactly(1)));
    auto drain = create_task(error_of(pair.client.writer.drain()));
    co_await turns(3);

    pair.client.writer.abort();
    co_await aster::wait_for(pair.client.writer.wait_closed(), 10s);
    std::string read_error = co_await read;
    std::string drain_error = co_await drain;

    EXPECT_THAT(read_error, ::testing::HasSubstr("IncompleteReadError"));
    EXPECT_THAT(drain_error, ::testing::HasSubstr("Connection lost"));
  }());
}

TEST_P(WriterEnd, TheConnectionOutlivesNeitherHandleNorWaitersAreLost) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto waiting = create_task(error_of(pair.client.writer.wait_closed()));
    auto reading = create_task(error_of(pair.client.reader.read()));
    co_await turns(2);
    {
      Connection dropped = std::move(pair.client);
      dropped.writer.close();
    }

    std::string closed = co_await waiting;
    std::string read = co_await reading;

    EXPECT_EQ(closed, "");
    EXPECT_EQ(read, "");
  }());
}

}  // namespace
}  // namespace aster::net_tests
