// SPDX-License-Identifier: MIT
// loop.sendfile over transports (CON-24).
#include "net/protocol_fixture.hpp"

#include <aster/testing/faults.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace aster::net_tests {
namespace {

class SendfileOnTransports : public NetTest {
 protected:
  SendfileOnTransports() : file_(std::tmpfile()) {
    EXPECT_EQ(::write(fd(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  }
  ~SendfileOnTransports() override { std::fclose(file_); }
  [[nodiscard]] int fd() const { return ::fileno(file_); }
  const std::string content = pattern(1000000);

 private:
  std::FILE* file_;
};

// Without threads on a simulated system; see the fallback below.
INSTANTIATE_TEST_SUITE_P(Systems, SendfileOnTransports, ::testing::ValuesIn(real_systems()),
                         name_of);

Coroutine<> all_received(const ProtocolPair& pair, std::size_t size) {
  auto waiting = until([s = pair.server, size] { return s->received.size() >= size; });
  co_await std::move(waiting);
}

Coroutine<> end(ProtocolPair pair) {
  pair.client_transport->abort();
  auto lost = until([&] { return pair.client->is_lost && pair.server->is_lost; });
  co_await std::move(lost);
}

TEST_P(SendfileOnTransports, ComesBehindWhatWasWrittenAndBeforeWhatFollows) {
  const auto work = [](int file, std::string bytes, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    const std::string before = pattern(8 << 20, 7);
    pair.server->transport->pause_reading();
    pair.client->transport->write(before);
    auto sending = create_task(loop.sendfile(*pair.client->transport, file, 10, 500000));
    auto some = turns(2);
    co_await std::move(some);
    EXPECT_THROW(pair.client->transport->write("x"), RuntimeError);
    EXPECT_THROW(pair.client->transport->write_eof(), RuntimeError);
    const std::string second = co_await error_of(loop.sendfile(*pair.client->transport, file));
    EXPECT_THAT(second, ::testing::HasSubstr("sendfile is in progress"));
    pair.server->transport->resume_reading();
    const std::size_t sent = co_await sending;
    EXPECT_EQ(sent, 500000U);
    EXPECT_EQ(::lseek(file, 0, SEEK_CUR), 500010);
    pair.client->transport->write("after");
    auto received = all_received(pair, before.size() + sent + 5);
    co_await std::move(received);
    EXPECT_EQ(pair.server->received, before + bytes.substr(10, 500000) + "after");
    auto ending = end(pair);
    co_await std::move(ending);
  };
  Log log;
  run(work(fd(), content, log));
}

TEST_P(SendfileOnTransports, FallsBackToReadingInAThread) {
  if (!testing::Faults::is_available()) GTEST_SKIP();
  const auto work = [](int file, std::string bytes, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    testing::Faults faults;
    faults.fail(testing::SysCall::sendfile, {.times = testing::always, .error = EINVAL});
    SendfileOptions options;
    options.fallback = false;
    auto refused = loop.sendfile(*pair.client->transport, file, 0, {}, options);
    const std::string error = co_await error_of(std::move(refused));
    EXPECT_THAT(error, ::testing::HasSubstr("SendfileNotAvailableError"));
    auto sending = loop.sendfile(*pair.client->transport, file);
    const std::size_t sent = co_await std::move(sending);
    EXPECT_EQ(sent, bytes.size());
    auto received = all_received(pair, sent);
    co_await std::move(received);
    EXPECT_EQ(pair.server->received, bytes);
    // K-6: 16 KiB each; the last finds the end.
    EXPECT_EQ(faults.calls(testing::SysCall::pread), (bytes.size() + 16383) / 16384 + 1);
    auto ending = end(pair);
    co_await std::move(ending);
    co_await loop.shutdown_default_executor();
  };
  Log log;
  run(work(fd(), content, log));
}

TEST_P(SendfileOnTransports, WorksOnStreamsAndPipes) {
  const auto work = [](int file, std::string bytes) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    Pair pair = co_await connected_pair();
    auto sending = create_task(loop.sendfile(pair.client.writer.transport(), file));
    const std::string got = co_await pair.server.reader.readexactly(bytes.size());
    EXPECT_EQ(got, bytes);
    const std::size_t sent = co_await sending;
    EXPECT_EQ(sent, bytes.size());
    pair.client.writer.close();
    pair.server.writer.close();

    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    ReadPipe in = co_await open_read_pipe(ends[0]);
    StreamWriter out = co_await open_write_pipe(ends[1]);
    auto piping = create_task(loop.sendfile(out.transport(), file, 5, 100000));
    const std::string piped = co_await in.reader.readexactly(100000);
    EXPECT_EQ(piped, bytes.substr(5, 100000));
    co_await piping;
    const std::string refused = co_await error_of(loop.sendfile(out.transport(), file, -1));
    EXPECT_THAT(refused, ::testing::HasSubstr("ValueError: sendfile: offset"));
    out.close();
    const std::string rest = co_await in.reader.read();
    EXPECT_EQ(rest, "");
    co_await loop.shutdown_default_executor();
  };
  run(work(fd(), content));
}

TEST_P(SendfileOnTransports, ErrorsAreTyped) {
  const auto work = [](int file, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    ProtocolPair pair = co_await protocol_pair(log);
    Transport& transport = *pair.client_transport;
    const std::string offset = co_await error_of(loop.sendfile(transport, file, -1));
    EXPECT_THAT(offset, ::testing::HasSubstr("ValueError: sendfile: offset"));
    const std::string count = co_await error_of(loop.sendfile(transport, file, 0, 0));
    EXPECT_THAT(count, ::testing::HasSubstr("ValueError: sendfile: count"));
    const std::string nothing = co_await error_of(loop.sendfile(transport, -1));
    EXPECT_THAT(nothing, ::testing::HasSubstr("Bad file descriptor"));
    transport.write("still works");
    auto ending = end(pair);
    co_await std::move(ending);
    const std::string closed = co_await error_of(loop.sendfile(transport, file));
    EXPECT_THAT(closed, ::testing::HasSubstr("RuntimeError: sendfile: Transport is closing"));
  };
  Log log;
  run(work(fd(), log));
}

TEST_P(SendfileOnTransports, ALossMeanwhileIsThrown) {
  const auto work = [](int file, Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->transport->pause_reading();
    pair.client->transport->write(pattern(16 << 20));
    auto sending = create_task(get_running_loop().sendfile(*pair.client->transport, file));
    auto some = turns(3);
    co_await std::move(some);
    pair.server->transport->abort();
    auto result = co_await outcome(sending);
    EXPECT_FALSE(result.has_value());
    auto ending = end(pair);
    co_await std::move(ending);
  };
  Log log;
  run(work(fd(), log));
}

TEST_P(SendfileOnTransports, CancelledItLetsOthersWriteAgain) {
  const auto work = [](int file, Log& log) -> Coroutine<> {
    ProtocolPair pair = co_await protocol_pair(log);
    pair.server->transport->pause_reading();
    const std::string before = pattern(8 << 20, 3);
    pair.client->transport->write(before);
    auto sending = create_task(get_running_loop().sendfile(*pair.client->transport, file));
    auto some = turns(3);
    co_await std::move(some);
    sending.cancel();
    auto result = co_await outcome(sending);
    EXPECT_TRUE(result.cancelled());
    pair.client->transport->write("after");
    pair.client->transport->close();
    pair.server->transport->resume_reading();
    auto ending = until([&] { return pair.client->is_lost && pair.server->is_lost; });
    co_await std::move(ending);
    EXPECT_EQ(pair.server->received, before + "after");
  };
  Log log;
  run(work(fd(), log));
}

}  // namespace
}  // namespace aster::net_tests
