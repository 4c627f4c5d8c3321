// SPDX-License-Identifier: MIT
// Reads of connections, on every system.
#include "net/net_fixture.hpp"

#include <array>
#include <csignal>

#include <sys/socket.h>

namespace aster::net_tests {
namespace {

class ReaderLink : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, ReaderLink, ::testing::ValuesIn(all_systems()), name_of);

class ReaderSim : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, ReaderSim, ::testing::ValuesIn(simulated_systems()), name_of);

TEST_P(ReaderLink, LinesArriveWholeHoweverTheyTravel) {  // ST-6
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("one\ntw");
    co_await turns(3);
    pair.client.writer.write("o\nthree");
    pair.client.writer.close();

    std::vector<std::string> lines;
    for (;;) {
      std::string line = co_await pair.server.reader.readline();
      if (line.empty()) break;
      lines.push_back(std::move(line));
    }

    EXPECT_EQ(lines, (std::vector<std::string>{"one\n", "two\n", "three"}));
    EXPECT_TRUE(pair.server.reader.at_eof());
  }());
}

TEST_P(ReaderLink, EveryKindOfReadWorksOnAConnection) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("line\n" + std::string(3000, 'x') + "--rest-of-it");
    pair.client.writer.write_eof();
    StreamReader& reader = pair.server.reader;
    std::array<char, 4> target{};

    std::string line = co_await reader.readline();
    std::string exact = co_await reader.readexactly(1000);
    std::string until = co_await reader.readuntil("--");
    const std::size_t into = co_await reader.read_into(target);
    std::string rest = co_await reader.read();
    std::string end = co_await reader.read(10);

    EXPECT_EQ(line, "line\n");
    EXPECT_EQ(exact, std::string(1000, 'x'));
    EXPECT_EQ(until, std::string(2000, 'x') + "--");
    EXPECT_EQ(std::string(target.data(), into) + rest, "rest-of-it");
    EXPECT_EQ(end, "");
  }());
}

TEST_P(ReaderLink, ReadexactlyBeyondTheLimitDoesNotStall) {  // ST-9, pyasyncio#99
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair(16);
    const std::string sent = pattern(100000);
    pair.client.writer.write(sent);

    std::string got = co_await pair.server.reader.readexactly(sent.size());

    EXPECT_EQ(got, sent);
  }());
}

TEST_P(ReaderLink, AnOverrunHoldsBackThePeerAndKeepsTheBytes) {  // ST-8, ST-10
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair(100);
    const std::string sent(5000, 'x');
    pair.client.writer.write(sent);
    pair.client.writer.write_eof();

    std::string error = co_await error_of(pair.server.reader.readuntil("--"));
    std::string got = co_await pair.server.reader.read();

    EXPECT_THAT(error, ::testing::HasSubstr("chunk exceed the limit"));
    EXPECT_EQ(got, sent);
  }());
}

TEST_P(ReaderLink, TwoReadsAtOnceAreAnErrorOfTheSecond) {  // ST-13
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto first = create_task(error_of(pair.server.reader.readline()));
    co_await turns(2);

    std::string second = co_await error_of(pair.server.reader.readline());
    pair.client.writer.write("x\n");
    std::string error = co_await first;

    EXPECT_THAT(second, ::testing::HasSubstr("already waiting"));
    EXPECT_EQ(error, "");
  }());
}

TEST_P(ReaderLink, ACancelledReadConsumesNothing) {  // CAN-16
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    StreamReader reader = pair.server.reader;
    for (int kind = 0; kind < 5; ++kind) {
      for (int delay = 0; delay < 6; ++delay) {
        std::string target(20, '\0');
        auto read_into = [](StreamReader from, std::string& into) -> Coroutine<std::string> {
          const std::size_t got = co_await from.read_into(into);
          co_return into.substr(0, got);
        };
        auto read = kind == 0   ? create_task(detail::as_coroutine(reader.read(100)))
                    : kind == 1 ? create_task(detail::as_coroutine(reader.readline()))
                    : kind == 2 ? create_task(detail::as_coroutine(reader.readexactly(10)))
                    : kind == 3 ? create_task(detail::as_coroutine(reader.readuntil("9\n")))
                                : create_task(read_into(reader, target));
        co_await turns(delay % 2);
        pair.client.writer.write("12345678");
        pair.client.writer.write("9\n");
        co_await turns(delay);
        const bool was_done = read.done();
        read.cancel();
        auto result = co_await outcome(read);
        std::string got = result.has_value() ? result.value() : "";
        EXPECT_TRUE(was_done || got.empty());
        if (got.size() < 10) {
          std::string rest = co_await aster::wait_for(reader.readexactly(10 - got.size()), 10s);
          got += rest;
        }
        EXPECT_EQ(got, "123456789\n") << "kind " << kind << ", delay " << delay;
      }
    }
  }());
}

TEST_P(ReaderLink, ACancelAfterTheBytesCameButBeforeTheStepConsumesNothing) {  // CAN-16
  net.loop().set_strict_order(true);
  for (const bool into : {false, true}) {
    Pair pair = run(connected_pair());
    std::string target(10, '\0');
    auto read = net.loop().create_task([](Pair& p, std::string& t, bool is_into) -> Coroutine<> {
      if (is_into) {
        co_await p.server.reader.read_into(t);
      } else {
        co_await p.server.reader.readexactly(1);
      }
    }(pair, target, into));
    net.turns(2);

    pair.client.writer.write("abcd");
    if (net.is_simulated()) net.sim().advance(10ms);
    net.loop().call_soon([&] { read.cancel(); });  // Before what the poll will queue.
    net.turns(1);
    const std::string error = run(error_of(read));
    const std::string rest = run(aster::wait_for(pair.server.reader.readexactly(4), 10s));

    EXPECT_THAT(error, ::testing::HasSubstr("CancelledError"));
    EXPECT_EQ(rest, "abcd");
  }
}

TEST_P(ReaderLink, WaitForAReadManyTimesLosesNothing) {  // CAN-16, C4
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    constexpr int count = 200;
    auto writing = create_task([](StreamWriter& writer) -> Coroutine<> {
      for (int i = 0; i < count; ++i) {
        writer.write("line " + std::to_string(i) + "\n");
        if (i % 3 == 0) co_await sleep(300us);
      }
    }(pair.client.writer));

    int next = 0;
    for (int tries = 0; next < count && tries < 20000; ++tries) {
      auto line =
          co_await outcome(aster::wait_for(pair.server.reader.readline(), 100us * (tries % 5)));
      if (!line.has_value()) continue;
      EXPECT_EQ(line.value(), "line " + std::to_string(next) + "\n");
      ++next;
    }
    co_await writing;

    EXPECT_EQ(next, count);
  }());
}

TEST_P(ReaderLink, AResetIsThrownByTheWaitingAndEveryLaterRead) {  // ST-23
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto read = create_task(error_of(pair.server.reader.readline()));
    co_await turns(3);
    const linger now{1, 0};
    pair.client.writer.socket().setsockopt(
        SOL_SOCKET, SO_LINGER, std::string_view(reinterpret_cast<const char*>(&now), sizeof now));
    pair.client.writer.abort();

    std::string first = co_await read;
    std::string second = co_await error_of(pair.server.reader.read(1));
    std::string closed = co_await error_of(pair.server.writer.wait_closed());

    EXPECT_THAT(first, ::testing::HasSubstr("recv 127.0.0.1:"));
    EXPECT_THAT(first, ::testing::HasSubstr("Connection reset by peer"));
    EXPECT_EQ(second, first);
    EXPECT_EQ(closed, first);
    EXPECT_NE(pair.server.reader.exception(), nullptr);
  }());
}

TEST_P(ReaderLink, ClosingOnesOwnEndEndsAWaitingRead) {  // TR-2
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto read = create_task(detail::as_coroutine(pair.server.reader.read()));
    co_await turns(3);

    pair.server.writer.close();
    std::string got = co_await aster::wait_for(read, 10s);

    EXPECT_EQ(got, "");
    EXPECT_TRUE(pair.server.reader.at_eof());
    std::string after = co_await pair.server.reader.read(5);
    EXPECT_EQ(after, "");
  }());
}

TEST_P(ReaderLink, FeedingByHandWakesAReadThatIsReceiving) {  // ST-12
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto target = std::make_unique<std::array<char, 8>>();
    auto read = create_task(detail::as_coroutine(pair.server.reader.read_into(*target)));
    co_await turns(2);

    pair.server.reader.feed_data("hand");
    const std::size_t got = co_await read;
    EXPECT_EQ(std::string_view(target->data(), got), "hand");

    target.reset();  // What arrives now must not go there.
    pair.client.writer.write("late");
    co_await sleep(20ms);
    std::string late = co_await pair.server.reader.readexactly(4);
    EXPECT_EQ(late, "late");
  }());
}

TEST_P(ReaderLink, SetExceptionByHandFreesTheTarget) {  // ST-12
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    auto target = std::make_unique<std::array<char, 8>>();
    auto read = create_task(error_of(pair.server.reader.read_into(*target)));
    co_await turns(2);

    pair.server.reader.set_exception(std::make_exception_ptr(ValueError("enough")));
    std::string error = co_await read;
    target.reset();
    pair.client.writer.write("late");
    co_await sleep(20ms);

    EXPECT_EQ(error, "aster::ValueError: enough");
  }());
}

TEST_P(ReaderLink, AbortWhileAReadIsCancelledStillEnds) {
  run([]() -> Coroutine<> {
    for (int i = 0; i < 20; ++i) {  // Both outcomes of a late cancel.
      for (const bool into : {false, true}) {
        Pair pair = co_await connected_pair();
        std::array<char, 8> target{};
        auto read = into ? create_task(error_of(pair.server.reader.read_into(target)))
                         : create_task(error_of(pair.server.reader.read(8)));
        co_await turns(2);

        pair.server.writer.abort();
        co_await turns(i % 3);
        read.cancel();
        co_await aster::wait_for(pair.server.writer.wait_closed(), 10s);
        co_await error_of(read);
      }
    }
  }());
}

TEST_P(ReaderLink, AStreamThatNobodyReadsHoldsItsPeerBack) {  // ST-10, C25
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string block(std::size_t{64} << 10U, 'x');
    std::size_t written = 0;
    auto drained = co_await outcome(aster::wait_for(
        [](StreamWriter& writer, const std::string& piece, std::size_t& total) -> Coroutine<> {
          for (int i = 0; i < 2000; ++i) {
            writer.write(piece);
            total += piece.size();
            co_await writer.drain();
          }
        }(pair.client.writer, block, written),
        100ms));

    EXPECT_FALSE(drained.has_value());
    EXPECT_LE(pair.client.writer.get_write_buffer_size(), 65536 + block.size());
    pair.client.writer.abort();
  }());
}

TEST_P(ReaderSim, ACutConnectionDeliversWhatArrivedAndThenItsEnd) {  // ST-24
  run([](SimBackend& sim) -> Coroutine<> {
    for (const auto cut : {SimBackend::Cut::fin, SimBackend::Cut::reset}) {
      Pair pair = co_await connected_pair();
      sim.cut_after(pair.client.writer.socket().fileno(), 5, cut);
      pair.client.writer.write("hello world");

      std::string got = co_await pair.server.reader.readexactly(5);
      std::string end = co_await error_of(pair.server.reader.readexactly(1));

      EXPECT_EQ(got, "hello");
      EXPECT_THAT(end,
                  ::testing::HasSubstr(cut == SimBackend::Cut::fin ? "IncompleteReadError"
                                                                   : "Connection reset by peer"));
    }
  }(net.sim()));
}

TEST_P(ReaderSim, AFailedReceiveEndsTheConnection) {  // TR-20
  run([](SimBackend& sim) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    sim.fail_next(SimCall::recv, ETIMEDOUT);

    std::string error = co_await error_of(pair.server.reader.read(1));
    std::string closed = co_await error_of(pair.server.writer.wait_closed());

    EXPECT_THAT(error, ::testing::HasSubstr("Connection timed out"));
    EXPECT_EQ(closed, error);
  }(net.sim()));
}

}  // namespace
}  // namespace aster::net_tests
