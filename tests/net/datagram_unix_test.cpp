// SPDX-License-Identifier: MIT
// Datagrams over unix sockets.
#include "net/datagram_fixture.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

class DatagramUnixTest : public NetTest {
 protected:
  DatagramUnixTest() {
    std::string made = ::testing::TempDir() + "aster_datagrams_XXXXXX";
    EXPECT_NE(::mkdtemp(made.data()), nullptr);
    directory = made;
  }
  ~DatagramUnixTest() override { std::filesystem::remove_all(directory); }
  [[nodiscard]] Address path(const char* name) const {
    return Address::unix_path((directory / name).string());
  }
  std::filesystem::path directory;
};

INSTANTIATE_TEST_SUITE_P(Systems, DatagramUnixTest, ::testing::ValuesIn(all_systems()), name_of);

/// What becomes of the files: the simulated system has none.
class DatagramUnixFiles : public DatagramUnixTest {};
INSTANTIATE_TEST_SUITE_P(Systems, DatagramUnixFiles, ::testing::ValuesIn(real_systems()), name_of);

// CON-13
TEST_P(DatagramUnixTest, GoThereAndBack) {
  const auto test = [this]() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(path("server"));
    RecorderEndpoint client = co_await endpoint(path("client"), path("server"));
    client.transport().sendto("hello");
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:hello");
    EXPECT_EQ(server.protocol().last_from, path("client"));
    server.transport().sendto("back", server.protocol().last_from);
    co_await client.protocol().words(2);
    EXPECT_EQ(client.protocol().log.back(), "got:back");
    co_await close_and_wait(client);
    co_await close_and_wait(server);
  };
  run(test());
}

TEST_P(DatagramUnixTest, AnUnnamedSenderHasNoAddress) {
  const auto test = [this]() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(path("server"));
    RecorderEndpoint client = co_await endpoint({}, path("server"));
    client.transport().sendto(pattern(100'000));  // Larger than any UDP datagram.
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:" + pattern(100'000));
    EXPECT_EQ(server.protocol().last_from.path(), "");
    co_await close_and_wait(client);
    co_await close_and_wait(server);
  };
  run(test());
}

TEST_P(DatagramUnixTest, AbstractNamesWork) {
  const auto test = []() -> Coroutine<> {
    const std::string name = std::string(1, '\0') + "aster datagrams " + std::to_string(::getpid());
    const Address abstract = Address::unix_path(name);
    RecorderEndpoint server = co_await endpoint(abstract);
    RecorderEndpoint client = co_await endpoint({}, abstract);
    client.transport().sendto("hello");
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:hello");
    co_await close_and_wait(client);
    co_await close_and_wait(server);
  };
  run(test());
}

// CON-14
TEST_P(DatagramUnixFiles, TheFileOfADeadSocketIsReplaced) {
  const auto test = [this]() -> Coroutine<> {
    for (int i = 0; i < 2; ++i) {
      RecorderEndpoint server = co_await endpoint(path("server"));
      co_await close_and_wait(server);
    }
    EXPECT_TRUE(std::filesystem::is_socket(directory / "server"));
  };
  run(test());
}

// CON-14: never that of a live one, nor a file of another kind.
TEST_P(DatagramUnixFiles, ALiveSocketAndOtherFilesAreLeftAlone) {
  const auto test = [this]() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(path("server"));
    EXPECT_THAT(co_await error_of(endpoint(path("server"))), HasSubstr("Address already in use"));
    RecorderEndpoint client = co_await endpoint({}, path("server"));
    client.transport().sendto("still here");
    co_await server.protocol().words(2);
    EXPECT_EQ(server.protocol().log.back(), "got:still here");
    co_await close_and_wait(client);
    co_await close_and_wait(server);

    std::ofstream(directory / "file") << "text";
    EXPECT_THAT(co_await error_of(endpoint(path("file"))), HasSubstr("Address already in use"));
    EXPECT_TRUE(std::filesystem::is_regular_file(directory / "file"));
    EXPECT_THAT(co_await error_of(endpoint(path("nowhere/server"))),
                HasSubstr("No such file or directory"));
  };
  run(test());
}

// PR-4: a peer that has gone is an error of each send.
TEST_P(DatagramUnixTest, APeerThatIsGoneIsAnError) {
  const auto test = [this]() -> Coroutine<> {
    RecorderEndpoint server = co_await endpoint(path("server"));
    RecorderEndpoint client = co_await endpoint({}, path("server"));
    co_await close_and_wait(server);
    client.transport().sendto("x");
    co_await client.protocol().words(2);
    EXPECT_THAT(client.protocol().errors.front(), HasSubstr("Connection refused"));
    co_await close_and_wait(client);
  };
  run(test());
}

// TR-24, TR-2: a receiver that does not read fills the sender; nothing is lost.
TEST_P(DatagramUnixTest, AFullReceiverHoldsTheSenderBack) {
  const auto test = [this]() -> Coroutine<> {
    Socket slow = net.is_simulated() ? Socket(net.loop().backend(), AF_UNIX, SOCK_DGRAM)
                                     : Socket(AF_UNIX, SOCK_DGRAM);
    slow.bind(path("slow"));
    RecorderEndpoint client = co_await endpoint({}, path("slow"));
    DatagramRecorder& protocol = client.protocol();
    protocol.transport->set_write_buffer_limits(1000);
    const int count = net.is_simulated() ? 4000 : 300;  // More than the receiver has room for.
    for (int i = 0; i < count; ++i) protocol.transport->sendto(pattern(50, unsigned(i)));
    EXPECT_GT(protocol.transport->get_write_buffer_size(), 1000u);
    protocol.transport->close();
    for (int i = 0; i < count; ++i) {
      auto receiving = net.loop().sock_recvfrom(slow, 100);
      const ReceivedFrom got = co_await std::move(receiving);
      EXPECT_EQ(got.data, pattern(50, unsigned(i)));
    }
    co_await protocol.ended();
    // What leaves in the last turn leaves no time to go on.
    std::erase(protocol.log, "resume");
    EXPECT_EQ(protocol.log, (std::vector<std::string>{"made", "pause", "lost"}));
  };
  run(test());
}

// CON-13
TEST_P(DatagramUnixTest, ReusePortIsForIpOnly) {
  const auto test = [this]() -> Coroutine<> {
    DatagramOptions options;
    options.reuse_port = true;
    EXPECT_THAT(co_await error_of(endpoint(path("server"), {}, options)),
                HasSubstr("reuse_port is for IPv4 and IPv6 only"));
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
