// SPDX-License-Identifier: MIT
// Writing and its flow control, on every system.
#include "net/net_fixture.hpp"

#include <aster/testing/faults.hpp>

#include <array>
#include <csignal>
#include <numeric>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace aster::net_tests {
namespace {

class Writer : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, Writer, ::testing::ValuesIn(all_systems()), name_of);

class WriterReal : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, WriterReal, ::testing::ValuesIn(real_systems()), name_of);

/// Writes until the buffer is above its high-water mark.
void fill(StreamWriter& writer, std::size_t high) {
  const std::string block(std::size_t{64} << 10U, 'x');
  for (int i = 0; i < 1000 && writer.get_write_buffer_size() <= high; ++i) writer.write(block);
}

Coroutine<std::size_t> read_to_the_end(StreamReader reader) {
  std::size_t total = 0;
  for (;;) {
    std::string piece = co_await reader.read(100000);
    if (piece.empty()) co_return total;
    total += piece.size();
  }
}

TEST_P(Writer, PiecesArriveInOrderAsOneStream) {  // ST-15, ORD-28
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("ab");
    pair.client.writer.write("");
    pair.client.writer.writelines({"cd", "", "ef"});
    pair.client.writer.writelines({});
    pair.client.writer.writelines({"", ""});
    pair.client.writer.write("gh");
    pair.client.writer.close();

    std::string got = co_await pair.server.reader.read();
    std::string closed = co_await error_of(pair.client.writer.wait_closed());

    EXPECT_EQ(got, "abcdefgh");
    EXPECT_EQ(closed, "");
  }());
}

TEST_P(Writer, WritingWhileASendIsPendingKeepsTheOrder) {  // C25
  const std::size_t size = net.is_simulated() ? 300'000 : 6'000'000;
  run([](std::size_t total) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(total);
    std::size_t at = 0;
    std::size_t step = 1;
    std::string got;
    while (at < sent.size()) {  // Pieces of many sizes, reads in between.
      const std::string_view piece = std::string_view(sent).substr(at, step);
      if (step % 2 == 0) {
        pair.client.writer.write(piece);
      } else {
        pair.client.writer.writelines(
            {piece.substr(0, piece.size() / 3), piece.substr(piece.size() / 3)});
      }
      at += piece.size();
      step = step * 3 % 300007 + 1;
      if (step % 3 == 0 && got.size() < at) {
        std::string some = co_await pair.server.reader.read(50000);
        got += some;
      }
    }
    pair.client.writer.write_eof();
    std::string rest = co_await pair.server.reader.read();
    got += rest;

    EXPECT_TRUE(got == sent);
  }(size));
}

TEST_P(Writer, ManyPiecesInOneCallAllArrive) {  // TR-12: more than IOV_MAX.
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const std::string sent = pattern(5000);
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < sent.size(); ++i) pieces.push_back({&sent[i], 1});
    pair.client.writer.writelines(pieces);
    pair.client.writer.write_eof();

    std::string got = co_await pair.server.reader.read();

    EXPECT_EQ(got, sent);
  }());
}

TEST_P(Writer, APeerThatNeverReadsIsHeldBack) {  // ST-16, TR-15, C25
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    constexpr std::size_t high = 10000;
    pair.client.writer.set_write_buffer_limits(high);
    const std::string block(3000, 'x');
    std::size_t most = 0;
    auto writing = create_task(
        [](StreamWriter& writer, const std::string& piece, std::size_t& largest) -> Coroutine<> {
          for (;;) {
            writer.write(piece);
            largest = std::max(largest, writer.get_write_buffer_size());
            co_await writer.drain();
          }
        }(pair.client.writer, block, most));
    co_await sleep(200ms);

    EXPECT_FALSE(writing.done());
    EXPECT_GT(most, high);
    EXPECT_LE(most, high + block.size());
    writing.cancel();
    co_await error_of(writing);
    pair.client.writer.abort();
  }());
}

TEST_P(Writer, ManyTasksMayDrainAtOnce) {  // ST-16, cpython#74116
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    fill(pair.client.writer, 65536);
    std::vector<Task<std::string>> drains;
    for (int i = 0; i < 50; ++i)
      drains.push_back(create_task(error_of(pair.client.writer.drain())));
    co_await turns(5);
    for (const auto& drain : drains) EXPECT_FALSE(drain.done());
    drains[20].cancel();
    co_await turns(2);
    EXPECT_TRUE(drains[20].done());  // CAN-17
    EXPECT_FALSE(drains[21].done());

    const std::size_t expected = pair.client.writer.get_write_buffer_size();
    auto reading = create_task(read_to_the_end(pair.server.reader));
    for (std::size_t i = 0; i < drains.size(); ++i) {
      if (i == 20) continue;
      std::string error = co_await drains[i];
      EXPECT_EQ(error, "");
    }

    EXPECT_LE(pair.client.writer.get_write_buffer_size(), 16384U);  // TR-16: at the low mark.
    pair.client.writer.close();
    const std::size_t got = co_await reading;
    EXPECT_GE(got, expected);
  }());
}

TEST_P(Writer, DrainsAreWokenAtTheLowMarkThoughMoreIsBuffered) {  // TR-16
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write(std::string(30'000'000, 'x'));
    const std::size_t low = pair.client.writer.get_write_buffer_size() - 10'000;
    pair.client.writer.set_write_buffer_limits(low, low);
    auto draining = create_task(error_of(pair.client.writer.drain()));
    for (int i = 0; i < 100000 && !draining.done(); ++i) {
      co_await pair.server.reader.read(100000);
    }

    EXPECT_TRUE(draining.done());
    EXPECT_LE(pair.client.writer.get_write_buffer_size(), low);
    EXPECT_GT(pair.client.writer.get_write_buffer_size(), 0U);
    pair.client.writer.abort();
    co_await error_of(draining);
  }());
}

TEST_P(Writer, DrainBelowTheMarkDoesNotWait) {  // ST-16
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.write("x");
    auto draining = pair.client.writer.drain();
    auto awaiter = draining.operator co_await();

    EXPECT_TRUE(awaiter.await_ready());
    co_return;
  }());
}

TEST_P(Writer, AHighMarkOfZeroWaitsForEverything) {  // TR-18
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.set_write_buffer_limits(0);
    fill(pair.client.writer, 0);
    auto reading = create_task(read_to_the_end(pair.server.reader));

    co_await pair.client.writer.drain();

    EXPECT_EQ(pair.client.writer.get_write_buffer_size(), 0U);
    pair.client.writer.close();
    co_await reading;
  }());
}

TEST_P(Writer, LimitsMustBeInOrder) {  // TR-14
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    StreamWriter& writer = pair.client.writer;
    EXPECT_THROW(writer.set_write_buffer_limits(10, 11), ValueError);
    EXPECT_NO_THROW(writer.set_write_buffer_limits(10, 10));
    EXPECT_NO_THROW(writer.set_write_buffer_limits({}, 100));
    EXPECT_NO_THROW(writer.set_write_buffer_limits());
    co_return;
  }());
}

TEST_P(Writer, DrainAfterTheLossThrows) {  // ST-16, ST-23
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.abort();
    co_await pair.client.writer.wait_closed();

    std::string error = co_await error_of(pair.client.writer.drain());

    EXPECT_THAT(error, ::testing::HasSubstr("Connection lost: Connection reset by peer"));
  }());
}

TEST_P(Writer, DrainWhileClosingWaitsForTheEnd) {  // ST-16
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    pair.client.writer.close();

    std::string error = co_await error_of(pair.client.writer.drain());

    EXPECT_THAT(error, ::testing::HasSubstr("Connection lost"));
    EXPECT_EQ(pair.client.writer.socket().fileno(), -1);
  }());
}

TEST_P(Writer, DrainWhileClosingWaitsForTheBuffer) {  // ST-16
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    fill(pair.client.writer, 65536);
    pair.client.writer.close();
    auto draining = create_task(error_of(pair.client.writer.drain()));
    co_await turns(5);
    EXPECT_FALSE(draining.done());

    auto reading = create_task(read_to_the_end(pair.server.reader));
    std::string error = co_await draining;
    co_await reading;

    EXPECT_EQ(error, "");
  }());
}

TEST_P(Writer, DrainThatWaitsLearnsOfTheLoss) {  // ST-23
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    // So much that some is left when the reset comes back.
    pair.client.writer.write(std::string(30'000'000, 'x'));
    auto draining = create_task(error_of(pair.client.writer.drain()));
    co_await turns(3);

    pair.server.writer.abort();  // With unread bytes: a reset.
    std::string error = co_await draining;
    std::string closed = co_await error_of(pair.client.writer.wait_closed());

    EXPECT_THAT(error, ::testing::HasSubstr("send 127.0.0.1:"));
    EXPECT_EQ(closed, error);
  }());
}

TEST_P(Writer, TheWriterKnowsBothAddresses) {
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    StreamWriter& writer = pair.client.writer;

    EXPECT_EQ(*writer.peername(), *pair.server.writer.sockname());
    EXPECT_EQ(*writer.sockname(), *pair.server.writer.peername());
    EXPECT_EQ(writer.socket().getsockname(), *writer.sockname());
    EXPECT_TRUE(writer.can_write_eof());                                 // ST-18
    EXPECT_EQ(writer.socket().getsockopt(IPPROTO_TCP, TCP_NODELAY), 1);  // CON-11
    EXPECT_EQ(pair.server.writer.socket().getsockopt(IPPROTO_TCP, TCP_NODELAY), 1);
    writer.abort();
    co_await writer.wait_closed();
    EXPECT_EQ(writer.socket().fileno(), -1);
    EXPECT_EQ(*writer.peername(), *pair.server.writer.sockname());
  }());
}

TEST_P(Writer, AddReaderKeepsOffItsDescriptor) {  // FD-5
  run([]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const native_socket fd = pair.client.writer.socket().fileno();

    EXPECT_THROW(get_running_loop().add_reader(fd, [] {}), RuntimeError);
    co_return;
  }());
}

Coroutine<> transfer(Pair& pair, std::size_t size, std::size_t piece_size) {
  const std::string to_server = pattern(size, 1);
  const std::string to_client = pattern(size, 2);
  auto send = [](StreamWriter& writer, const std::string& bytes, std::size_t piece) -> Coroutine<> {
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      writer.write(std::string_view(bytes).substr(at, piece));
      co_await writer.drain();
      EXPECT_LE(writer.get_write_buffer_size(), 65536 + piece);
    }
    writer.write_eof();
  };
  auto receive = [](StreamReader reader, const std::string& expected) -> Coroutine<bool> {
    std::string got = co_await reader.read();
    co_return got == expected;
  };
  auto a = create_task(send(pair.client.writer, to_server, piece_size));
  auto b = create_task(send(pair.server.writer, to_client, piece_size));
  auto c = create_task(receive(pair.server.reader, to_server));
  auto d = create_task(receive(pair.client.reader, to_client));
  co_await a;
  co_await b;
  const bool first = co_await c;
  const bool second = co_await d;
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
}

class WriterSlow : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, WriterSlow, ::testing::ValuesIn(real_systems()), name_of);

TEST_P(WriterSlow, SixteenMebibytesGoBothWaysAtOnce) {  // C25
  Pair pair = run(connected_pair());
  run(transfer(pair, std::size_t{16} << 20U, 100000));
}

TEST_P(Writer, LargeTransfersGoBothWaysAtOnceInPieces) {  // C25
  Pair pair = run(connected_pair());
  run(transfer(pair, 50'000, 9999));
}

TEST(WriterSim, MebibytesGoBothWaysInChunksOfManySizes) {  // C25
  for (const std::size_t chunk : {1U, 2U, 3U, 5U, 100U, 8191U, 65535U, 0U}) {
    SimOptions options;
    options.seed = chunk;
    options.max_chunk = chunk;
    options.late_cancel = chunk % 2 == 1;
    Net net(System{"sim", true, options, {}});
    Pair pair = net.run(connected_pair());
    const std::size_t most = std::size_t{4} << 20U;
    net.run(transfer(pair, chunk == 0 ? most : std::min(most, 5000 * chunk), 65537));
  }
}

TEST_P(WriterReal, ShortAndInterruptedCallsLoseNothing) {  // C15, C25
  testing::Faults faults;
  Pair pair = run(connected_pair());
  faults.shorten(testing::SysCall::send, {.max = 3, .times = 3000});
  faults.shorten(testing::SysCall::sendmsg, {.max = 2, .times = 100});
  faults.shorten(testing::SysCall::recv, {.max = 7, .times = 3000});
  for (std::uint64_t nth = 5; nth < 3000; nth += 97) {
    faults.fail(testing::SysCall::send, {.nth = nth, .error = nth % 2 == 0 ? EAGAIN : EINTR});
    faults.fail(testing::SysCall::recv, {.nth = nth, .error = EINTR});
  }

  run(transfer(pair, 200000, 5000));

  EXPECT_GT(faults.injected_count(), 1000U);
}

}  // namespace
}  // namespace aster::net_tests
