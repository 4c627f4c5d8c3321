// SPDX-License-Identifier: MIT
// Programs that others have written, against our endpoints; those that are not
// installed are skipped.
#include "net/datagram_fixture.hpp"
#include "net/echo_protocol.hpp"
#include "net/programs_fixture.hpp"

namespace aster::net_tests {
namespace {

using ::testing::HasSubstr;

class ProgramsSlow : public Programs {};
INSTANTIATE_TEST_SUITE_P(Systems, ProgramsSlow, ::testing::ValuesIn(real_systems()), name_of);

/// Sends datagrams back to where they came from.
Coroutine<RecorderEndpoint> echo_endpoint(Address local) {
  RecorderEndpoint made = co_await endpoint(local);
  DatagramRecorder& protocol = made.protocol();
  protocol.on_datagram = [&protocol](std::string_view data, const Address& from) {
    protocol.transport->sendto(data, from);
  };
  co_return made;
}

TEST_P(ProgramsSlow, NcTalksToOurTcpServer) {
  if (!has("nc")) GTEST_SKIP() << "nc is not installed";
  const auto test = [this]() -> Coroutine<> {
    Server server = co_await net.loop().create_server(make_echo, "127.0.0.1", 0);
    const int port = server.sockets().front().getsockname().port();
    const std::string output =
        co_await shell("echo hello | timeout 20 nc -N 127.0.0.1 " + std::to_string(port));
    EXPECT_EQ(output, "hello\n");
    server.close();
    co_await server.wait_closed();
  };
  run(test());
}

TEST_P(ProgramsSlow, NcTalksToOurUnixServer) {
  if (!has("nc")) GTEST_SKIP() << "nc is not installed";
  const auto test = [this]() -> Coroutine<> {
    const std::string name = path("server");
    Server server = co_await net.loop().create_unix_server(make_echo, name);
    const std::string output = co_await shell("echo hello | timeout 20 nc -N -U " + name);
    EXPECT_EQ(output, "hello\n");
    server.close();
    co_await server.wait_closed();
  };
  run(test());
}

TEST_P(ProgramsSlow, NcTalksToOurDatagramEndpoint) {
  if (!has("nc")) GTEST_SKIP() << "nc is not installed";
  const auto test = []() -> Coroutine<> {
    RecorderEndpoint server = co_await echo_endpoint(Address("127.0.0.1", 0));
    const std::string port = std::to_string(server.transport().sockname()->port());
    const std::string output =
        co_await shell("echo hello | timeout 20 nc -u -w 1 127.0.0.1 " + port);
    EXPECT_EQ(output, "hello\n");
    co_await close_and_wait(server);
  };
  run(test());
}

TEST_P(ProgramsSlow, SocatTalksToEveryKindOfServer) {
  if (!has("socat")) GTEST_SKIP() << "socat is not installed";
  const auto test = [this]() -> Coroutine<> {
    Server four = co_await net.loop().create_server(make_echo, "127.0.0.1", 0);
    Server six = co_await net.loop().create_server(make_echo, "::1", 0);
    const std::string stream = path("stream");
    Server local = co_await net.loop().create_unix_server(make_echo, stream);
    RecorderEndpoint udp = co_await echo_endpoint(Address("127.0.0.1", 0));
    RecorderEndpoint udp6 = co_await echo_endpoint(Address("::1", 0));
    RecorderEndpoint datagrams = co_await echo_endpoint(Address::unix_path(path("datagrams")));
    const auto port = [](const Address& address) { return std::to_string(address.port()); };
    const std::vector<std::string> peers{
        "TCP4:127.0.0.1:" + port(four.sockets().front().getsockname()),
        "TCP6:[::1]:" + port(six.sockets().front().getsockname()),
        "UNIX-CONNECT:" + stream,
        "UDP4:127.0.0.1:" + port(*udp.transport().sockname()),
        "UDP6:[::1]:" + port(*udp6.transport().sockname()),
        "UNIX-SENDTO:" + path("datagrams") + ",bind=" + path("client"),
    };
    for (const std::string& peer : peers) {
      const std::string output = co_await shell("echo hello | timeout 20 socat -t 0.5 - " + peer);
      EXPECT_EQ(output, "hello\n") << peer;
    }
    for (Server* server : {&four, &six, &local}) {
      server->close();
      co_await server->wait_closed();
    }
    co_await close_and_wait(udp);
    co_await close_and_wait(udp6);
    co_await close_and_wait(datagrams);
  };
  run(test());
}

TEST_P(ProgramsSlow, OurClientsTalkToSocatsServers) {
  if (!has("socat")) GTEST_SKIP() << "socat is not installed";
  const auto test = [this]() -> Coroutine<> {
    const std::string name = path("socat");
    auto serving = create_task(shell("timeout 20 socat UNIX-LISTEN:" + name + " EXEC:cat"));
    auto datagrams =
        create_task(shell("timeout 20 socat UNIX-RECVFROM:" + path("peer") + " EXEC:'head -c 5'"));
    for (int i = 0; i < 2000; ++i) {
      const bool is_there = std::filesystem::exists(name) && std::filesystem::exists(path("peer"));
      if (is_there) break;
      co_await sleep(5ms);
    }
    Connection link = co_await open_unix_connection(name);
    link.writer.write("hello\n");
    const std::string line = co_await link.reader.readline();
    EXPECT_EQ(line, "hello\n");
    link.writer.close();

    RecorderEndpoint client =
        co_await endpoint(Address::unix_path(path("client")), Address::unix_path(path("peer")));
    client.transport().sendto("hello");
    co_await client.protocol().words(2);
    EXPECT_EQ(client.protocol().log.back(), "got:hello");
    co_await close_and_wait(client);
    co_await serving;
    co_await datagrams;
  };
  run(test());
}

Coroutine<> answer_http(StreamReader reader, StreamWriter writer) {
  const std::string head = co_await reader.readuntil("\r\n\r\n");
  const std::string body = head.substr(0, head.find(" HTTP"));
  writer.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
  co_await writer.drain();
  writer.close();
}

TEST_P(ProgramsSlow, CurlIsServedByOurStreams) {
  if (!has("curl")) GTEST_SKIP() << "curl is not installed";
  const auto test = [this]() -> Coroutine<> {
    const std::string name = path("http");
    Server server = co_await start_server(answer_http, "127.0.0.1", 0);
    Server local = co_await start_unix_server(answer_http, name);
    const std::string port = std::to_string(server.sockets().front().getsockname().port());
    const std::string by_tcp =
        co_await shell("curl -sS --max-time 20 http://127.0.0.1:" + port + "/a");
    EXPECT_EQ(by_tcp, "GET /a");
    const std::string by_path =
        co_await shell("curl -sS --max-time 20 --unix-socket " + name + " http://localhost/b");
    EXPECT_EQ(by_path, "GET /b");
    for (Server* one : {&server, &local}) {
      one->close();
      co_await one->wait_closed();
    }
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
