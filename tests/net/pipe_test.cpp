// SPDX-License-Identifier: MIT
// Pipes, for streams and protocols.
#include "net/protocol_fixture.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>

namespace aster::net_tests {
namespace {

class Pipes : public NetTest {
 protected:
  struct Ends {
    native_socket read_end;
    native_socket write_end;
  };
  /// Blocking ones, as programs inherit them; or simulated.
  Ends open_pipe() {
    if (net.is_simulated()) {
      const testing::SimPipe made = net.sim().open_pipe();
      return {made.read_end, made.write_end};
    }
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    return {ends[0], ends[1]};
  }
  void close_end(native_socket fd) { static_cast<void>(net.loop().backend().close_socket(fd)); }
};
INSTANTIATE_TEST_SUITE_P(Systems, Pipes, ::testing::ValuesIn(all_systems()), name_of);

class SimPipes : public Pipes {};
INSTANTIATE_TEST_SUITE_P(Systems, SimPipes, ::testing::ValuesIn(simulated_systems()), name_of);

// CON-26, CON-27, TR-26, TR-27.
TEST_P(Pipes, CarryBytesBetweenProtocols) {
  const auto work = [](Ends ends, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto reading = loop.connect_read_pipe([&log] { return std::make_unique<Recorder>(log, "r:"); },
                                          ends.read_end);
    auto reader = co_await std::move(reading);
    auto writing = loop.connect_write_pipe([&log] { return std::make_unique<Recorder>(log, "w:"); },
                                           ends.write_end);
    auto writer = co_await std::move(writing);
    static_assert(std::is_same_v<decltype(reader.transport()), ReadTransport&>);
    static_assert(std::is_same_v<decltype(writer.transport()), WriteTransport&>);
    EXPECT_EQ(reader.transport().pipe(), ends.read_end);
    EXPECT_EQ(reader.transport().peername(), std::nullopt);
    EXPECT_THROW(reader.protocol().transport->write("x"), RuntimeError);
    const std::string sent = pattern(300000);
    writer.transport().write(sent);
    writer.transport().write_eof();
    EXPECT_TRUE(writer.transport().is_closing());  // Closing is all it can do.
    auto waiting = until([&] { return reader.protocol().is_lost && writer.protocol().is_lost; });
    co_await std::move(waiting);
    EXPECT_EQ(reader.protocol().received, sent);
    EXPECT_EQ(reader.transport().pipe(), std::nullopt);
  };
  Log log;
  run(work(open_pipe(), log));
  EXPECT_EQ(std::count(log.begin(), log.end(), "r:eof"), 1);
  EXPECT_EQ(std::count(log.begin(), log.end(), "r:lost"), 1);
  EXPECT_EQ(std::count(log.begin(), log.end(), "w:lost"), 1);
}

// TR-26: what eof_received answers does not matter.
TEST_P(Pipes, TheEndOfAReadPipeClosesItInAnyCase) {
  const auto work = [](Ends ends, Log& log) -> Coroutine<> {
    auto made = std::make_shared<Recorder>(log);
    made->keeps_open = true;
    auto reading = get_running_loop().connect_read_pipe([made] { return made; }, ends.read_end);
    auto link = co_await std::move(reading);
    static_cast<void>(get_running_loop().backend().close_socket(ends.write_end));
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
  };
  Log log;
  run(work(open_pipe(), log));
  EXPECT_EQ(join(log), "made eof lost");
}

// TR-27: the reader goes.
TEST_P(Pipes, AWriterNoticesThatItsReaderHasGone) {
  const auto work = [](Ends ends, Log& log, bool has_more) -> Coroutine<> {
    auto made = std::make_shared<Recorder>(log);
    auto writing = get_running_loop().connect_write_pipe([made] { return made; }, ends.write_end);
    auto link = co_await std::move(writing);
    if (has_more) link.transport().write(pattern(1 << 20));
    log.clear();
    static_cast<void>(get_running_loop().backend().close_socket(ends.read_end));
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
    EXPECT_EQ(made->lost_error.find("Broken pipe") != std::string::npos, has_more)
        << made->lost_error;
  };
  for (const bool has_more : {false, true}) {
    Log log;
    run(work(open_pipe(), log, has_more));
    EXPECT_EQ(log.back(), has_more ? "lost!" : "lost");
  }
}

TEST_P(Pipes, AWriterWhoseReaderHasGoneBeforeIsMadeAndLost) {
  const auto work = [](Ends ends, Log& log) -> Coroutine<> {
    static_cast<void>(get_running_loop().backend().close_socket(ends.read_end));
    auto made = std::make_shared<Recorder>(log);
    auto writing = get_running_loop().connect_write_pipe([made] { return made; }, ends.write_end);
    auto link = co_await std::move(writing);
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
  };
  Log log;
  run(work(open_pipe(), log));
  EXPECT_EQ(join(log), "made lost");
}

// TR-26: EIO, as of a terminal that hangs up, is quiet; other errors are told.
TEST_P(SimPipes, ErrorsOfReadingAreToldButForEio) {
  net.expected_reports = {"Fatal read error on pipe transport: " +
                          describe(detail::system_error_ptr(ENOBUFS, "read pipe 1000000"))};
  const auto work = [](Net& on, Ends ends, Log& log, int error) -> Coroutine<> {
    auto made = std::make_shared<Recorder>(log);
    auto reading = get_running_loop().connect_read_pipe([made] { return made; }, ends.read_end);
    auto link = co_await std::move(reading);
    on.sim().fail_next(SimCall::recv, error);
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
    EXPECT_THAT(made->lost_error, ::testing::HasSubstr("read pipe"));
    static_cast<void>(get_running_loop().backend().close_socket(ends.write_end));
  };
  Log log;
  run(work(net, open_pipe(), log, ENOBUFS));
  run(work(net, open_pipe(), log, EIO));
  EXPECT_EQ(join(log), "made lost! made lost!");
}

// The signal must not reach the program, whatever its disposition.
TEST_P(Pipes, NoSignalIsRaised) {
  static volatile std::sig_atomic_t raised = 0;
  raised = 0;
  struct sigaction former{};
  struct sigaction noting{};
  noting.sa_handler = [](int) { raised = raised + 1; };
  ASSERT_EQ(::sigaction(SIGPIPE, &noting, &former), 0);
  const auto work = [](Ends ends) -> Coroutine<> {
    StreamWriter writer = co_await open_write_pipe(ends.write_end);
    static_cast<void>(get_running_loop().backend().close_socket(ends.read_end));
    writer.write("x");
    const std::string error = co_await error_of(writer.wait_closed());
    EXPECT_THAT(error, ::testing::HasSubstr("Broken pipe"));
  };
  run(work(open_pipe()));
  ASSERT_EQ(::sigaction(SIGPIPE, &former, nullptr), 0);
  EXPECT_EQ(raised, 0);
}

TEST_P(Pipes, CarryStreams) {
  const auto work = [](Ends ends) -> Coroutine<> {
    ReadPipe in = co_await open_read_pipe(ends.read_end);
    StreamWriter out = co_await open_write_pipe(ends.write_end);
    EXPECT_TRUE(out.can_write_eof());
    const std::string sent = pattern(200000) + "\nend";
    auto send = [](StreamWriter writer, std::string bytes) -> Coroutine<> {
      writer.write(bytes);
      auto draining = writer.drain();
      co_await std::move(draining);
      writer.close();
      auto closed = writer.wait_closed();
      co_await std::move(closed);
    };
    auto sending = create_task(send(std::move(out), sent));
    const std::string got = co_await in.reader.read();
    EXPECT_EQ(got, sent);
    EXPECT_TRUE(in.reader.at_eof());
    co_await sending;
    auto closing = until([&in] { return in.transport->is_closing(); });
    co_await std::move(closing);
  };
  run(work(open_pipe()));
}

// ST-21, ST-10, ST-12: the way of asyncio's documentation.
TEST_P(Pipes, AReaderIsFilledByAProtocol) {
  const auto work = [](Ends ends) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    StreamReader reader(1000);
    auto make = [reader] { return std::make_unique<StreamReaderProtocol>(reader); };
    auto reading = loop.connect_read_pipe(make, ends.read_end);
    auto link = co_await std::move(reading);
    EXPECT_THROW(reader.set_transport(link.transport()), RuntimeError);
    StreamWriter out = co_await open_write_pipe(ends.write_end);
    const std::string sent = pattern(300000);
    out.write(sent);
    auto pausing = until([&] { return !link.transport().is_reading(); });
    co_await std::move(pausing);
    const std::string first = co_await reader.readexactly(10);
    EXPECT_EQ(first, sent.substr(0, 10));
    const std::string most = co_await reader.readexactly(sent.size() - 20);
    EXPECT_EQ(most, sent.substr(10, sent.size() - 20));
    out.close();
    const std::string rest = co_await reader.read();
    EXPECT_EQ(rest, sent.substr(sent.size() - 10));
    auto closing = until([&] { return link.transport().get_protocol() == nullptr; });
    co_await std::move(closing);
  };
  run(work(open_pipe()));
}

TEST_P(Pipes, AReaderIsClosedByItsTransport) {
  const auto work = [](Ends ends) -> Coroutine<> {
    ReadPipe in = co_await open_read_pipe(ends.read_end);
    auto reading = create_task([reader = in.reader]() -> Coroutine<std::string> {
      StreamReader mine = reader;
      co_return co_await mine.read(10);
    });
    auto some = turns(3);
    co_await std::move(some);
    in.transport->close();
    const std::string got = co_await reading;
    EXPECT_EQ(got, "");
    static_cast<void>(get_running_loop().backend().close_socket(ends.write_end));
  };
  run(work(open_pipe()));
}

class RealPipes : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, RealPipes, ::testing::ValuesIn(real_systems()), name_of);

// CON-26: a regular file stays the caller's.
TEST_P(RealPipes, RegularFilesAreRefused) {
  const auto work = [](int fd, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    const auto factory = [&log] { return std::make_unique<Recorder>(log); };
    auto reading = loop.connect_read_pipe(factory, fd);
    const std::string read = co_await error_of(std::move(reading));
    EXPECT_THAT(read, ::testing::HasSubstr("ValueError: connect_read_pipe: descriptor"));
    auto writing = loop.connect_write_pipe(factory, fd);
    const std::string written = co_await error_of(std::move(writing));
    EXPECT_THAT(written, ::testing::HasSubstr("ValueError: connect_write_pipe: descriptor"));
  };
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  Log log;
  run(work(::fileno(file), log));
  EXPECT_EQ(::fcntl(::fileno(file), F_GETFD) >= 0, true);
  std::fclose(file);
  EXPECT_TRUE(log.empty());
}

// Character devices.
TEST_P(RealPipes, DevicesAreReadAndWritten) {
  const auto work = [](Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto made = std::make_shared<Recorder>(log);
    auto writing =
        loop.connect_write_pipe([made] { return made; }, ::open("/dev/null", O_WRONLY | O_CLOEXEC));
    auto out = co_await std::move(writing);
    out.transport().write(pattern(1 << 20));
    out.transport().close();
    auto ended = std::make_shared<Recorder>(log);
    auto reading = loop.connect_read_pipe([ended] { return ended; },
                                          ::open("/dev/null", O_RDONLY | O_CLOEXEC));
    auto in = co_await std::move(reading);
    auto waiting = until([&] { return made->is_lost && ended->is_lost; });
    co_await std::move(waiting);
    EXPECT_TRUE(ended->has_ended);
  };
  Log log;
  run(work(log));
}

// FD-5 for pipes.
TEST_P(RealPipes, BelongToTheirTransport) {
  const auto work = [](Log& log) -> Coroutine<> {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EventLoop& loop = get_running_loop();
    auto made = std::make_shared<Recorder>(log);
    auto reading = loop.connect_read_pipe([made] { return made; }, ends[0]);
    auto link = co_await std::move(reading);
    EXPECT_THROW(loop.add_reader(ends[0], [] {}), RuntimeError);
    ::close(ends[1]);
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
  };
  Log log;
  run(work(log));
}

}  // namespace
}  // namespace aster::net_tests
