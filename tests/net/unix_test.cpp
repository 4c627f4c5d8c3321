// SPDX-License-Identifier: MIT
// Unix sockets, for streams and protocols; what is about files, on real systems only.
#include "net/protocol_fixture.hpp"

#include <aster/testing/faults.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace aster::net_tests {
namespace {

/// A folder of the test's own, with a name for a socket in it.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/aster_unix_XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    ::unlink(path().c_str());
    ::rmdir(folder_.c_str());
  }
  [[nodiscard]] std::string path() const { return folder_ + "/socket"; }

 private:
  std::string folder_;
};

bool exists(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

void echo_lines(StreamReader, StreamWriter) {}

class UnixSockets : public NetTest {
 protected:
  Folder folder;
};
INSTANTIATE_TEST_SUITE_P(Systems, UnixSockets, ::testing::ValuesIn(all_systems()), name_of);

Coroutine<> echo_once(StreamReader reader, StreamWriter writer) {
  const std::string line = co_await reader.readline();
  writer.write(line);
  auto draining = writer.drain();
  co_await std::move(draining);
}

// ST-3: streams.
TEST_P(UnixSockets, CarryStreams) {
  const auto work = [](std::string path) -> Coroutine<> {
    auto serving = start_unix_server(&echo_once, path);
    Server server = co_await std::move(serving);
    Connection link = co_await open_unix_connection(path);
    link.writer.write("over a path\n");
    const std::string line = co_await link.reader.readline();
    EXPECT_EQ(line, "over a path\n");
    EXPECT_EQ(link.writer.peername()->path(), path);
    link.writer.close();
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  run(work(folder.path()));
  EXPECT_FALSE(exists(folder.path()));
}

// CON-12, CON-22: protocols.
TEST_P(UnixSockets, CarryProtocols) {
  const auto work = [](std::string path, Log& log) -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    auto made = std::make_shared<Recorder>(log, "s:");
    auto serving = loop.create_unix_server([made] { return made; }, path);
    Server server = co_await std::move(serving);
    auto connecting =
        loop.create_unix_connection([&log] { return std::make_unique<Recorder>(log, "c:"); }, path);
    auto link = co_await std::move(connecting);
    const std::string sent = pattern(100000);
    link.transport().write(sent);
    link.transport().close();
    auto waiting = until([&] { return made->is_lost; });
    co_await std::move(waiting);
    EXPECT_EQ(made->received, sent);
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  Log log;
  run(work(folder.path(), log));
  EXPECT_EQ(std::count(log.begin(), log.end(), "s:eof"), 1);
}

TEST_P(UnixSockets, ManyClientsAtOnceWaitForRoomInTheBacklog) {
  const auto one = [](std::string path) -> Coroutine<> {
    Connection link = co_await open_unix_connection(path);
    link.writer.write("x\n");
    const std::string line = co_await link.reader.readline();
    EXPECT_EQ(line, "x\n");
    link.writer.close();
  };
  const auto work = [](std::string path, auto client) -> Coroutine<> {
    auto serving = start_unix_server(&echo_once, path, {.backlog = 1});
    Server server = co_await std::move(serving);
    std::vector<Coroutine<>> clients;
    for (int i = 0; i < 50; ++i) clients.push_back(client(path));
    auto all = gather(std::move(clients));
    co_await std::move(all);
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  run(work(folder.path(), one));
}

TEST_P(UnixSockets, WrongPathsAreErrors) {
  const auto work = [](std::string path) -> Coroutine<> {
    const std::string nobody = co_await error_of(open_unix_connection(path));
    EXPECT_THAT(nobody, ::testing::HasSubstr("connect " + path + ": No such file"));
    EXPECT_THROW(static_cast<void>(open_unix_connection("")), ValueError);
    EXPECT_THROW(static_cast<void>(open_unix_connection(std::string(200, 'x'))), ValueError);
    const std::string server = co_await error_of(start_unix_server(&echo_lines, ""));
    EXPECT_THAT(server, ::testing::HasSubstr("ValueError"));
  };
  run(work(folder.path()));
}

// CON-22: in use.
TEST_P(UnixSockets, TwoServersDoNotShareAPath) {
  const auto work = [](std::string path) -> Coroutine<> {
    auto serving = start_unix_server(&echo_once, path);
    Server server = co_await std::move(serving);
    const std::string error = co_await error_of(start_unix_server(&echo_once, path));
    EXPECT_THAT(error, ::testing::HasSubstr("bind " + path + ": Address already in use"));
    Connection link = co_await open_unix_connection(path);  // The first one lives.
    link.writer.write("x\n");
    const std::string line = co_await link.reader.readline();
    EXPECT_EQ(line, "x\n");
    link.writer.close();
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  run(work(folder.path()));
}

class UnixFiles : public NetTest {
 protected:
  Folder folder;
};
INSTANTIATE_TEST_SUITE_P(Systems, UnixFiles, ::testing::ValuesIn(real_systems()), name_of);

Coroutine<Server> server_at(std::string path, UnixServerOptions options = {}) {
  auto serving = start_unix_server(&echo_once, path, options);
  co_return co_await std::move(serving);
}

/// What a server that died leaves behind.
void leave_stale_socket(const std::string& path) {
  Socket dead(AF_UNIX, SOCK_STREAM);
  dead.bind(Address::unix_path(path));
  dead.listen();
}

// CON-22: a stale file goes; other files stay.
TEST_P(UnixFiles, AStaleFileIsRemovedAndNothingElse) {
  leave_stale_socket(folder.path());
  ASSERT_TRUE(exists(folder.path()));
  Server server = run(server_at(folder.path()));
  server.close();
  EXPECT_FALSE(exists(folder.path()));

  std::ofstream(folder.path()) << "precious";
  const std::string error = run(error_of(server_at(folder.path())));
  EXPECT_THAT(error, ::testing::HasSubstr("Address already in use"));
  EXPECT_TRUE(exists(folder.path()));
}

TEST_P(UnixFiles, ADatagramSocketThatLivesKeepsItsPath) {
  Socket living(AF_UNIX, SOCK_DGRAM);
  living.bind(Address::unix_path(folder.path()));
  const std::string error = run(error_of(server_at(folder.path())));
  EXPECT_THAT(error, ::testing::HasSubstr("Address already in use"));
  EXPECT_TRUE(exists(folder.path()));
}

// CON-22: only what it made, when it is still there.
TEST_P(UnixFiles, ClosingLeavesTheFileOfAnother) {
  Server first = run(server_at(folder.path()));
  ASSERT_EQ(::unlink(folder.path().c_str()), 0);
  Server second = run(server_at(folder.path()));

  first.close();

  EXPECT_TRUE(exists(folder.path()));
  second.close();
  EXPECT_FALSE(exists(folder.path()));
}

TEST_P(UnixFiles, TheFileStaysWhenSoWished) {
  Server server = run(server_at(folder.path(), {.cleanup_socket = false}));
  server.close();
  EXPECT_TRUE(exists(folder.path()));
}

// CON-22: mode.
TEST_P(UnixFiles, TheModeIsSet) {
  Server server = run(server_at(folder.path(), {.mode = 0620}));
  struct stat status{};
  ASSERT_EQ(::stat(folder.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0620U);
  server.close();
}

TEST_P(UnixFiles, AModeThatCannotBeSetLeavesNothing) {
  if (!testing::Faults::is_available()) GTEST_SKIP();
  testing::Faults faults;
  faults.fail(testing::SysCall::chmod, {.error = EPERM});
  const std::string error = run(error_of(server_at(folder.path(), {.mode = 0600})));
  EXPECT_THAT(error, ::testing::HasSubstr("chmod " + folder.path() + ": Operation not permitted"));
  EXPECT_FALSE(exists(folder.path()));
}

TEST_P(UnixFiles, AForkedChildLeavesTheFile) {
  Server server = run(server_at(folder.path()));
  const pid_t child = ::fork();
  if (child == 0) {
    server.close();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(exists(folder.path()));
  server.close();
}

TEST_P(UnixFiles, AbstractNamesHaveNoFile) {
  using namespace std::string_literals;
  const auto work = [](std::string name) -> Coroutine<> {
    auto serving = server_at(name);
    Server server = co_await std::move(serving);
    Connection link = co_await open_unix_connection(name);
    link.writer.write("x\n");
    const std::string line = co_await link.reader.readline();
    EXPECT_EQ(line, "x\n");
    link.writer.close();
    server.close();
    auto closing = server.wait_closed();
    co_await std::move(closing);
  };
  run(work("\0aster test "s + std::to_string(::getpid())));
}

}  // namespace
}  // namespace aster::net_tests
