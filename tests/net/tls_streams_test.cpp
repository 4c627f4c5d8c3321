// SPDX-License-Identifier: MIT
// Streams over TLS, on every system.
#include "net/tls_fixture.hpp"

namespace aster::net_tests {
namespace {

class TlsStreams : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, TlsStreams, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(TlsStreams, BytesGoBothWays) {
  const auto test = []() -> Coroutine<> {
    const Contexts contexts;
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    pair.client.writer.write("hello\n");
    const std::string line = co_await pair.server.reader.readline();
    EXPECT_EQ(line, "hello\n");
    pair.server.writer.writelines({"wor", "ld", "\n"});
    const std::string answer = co_await pair.client.reader.readline();
    EXPECT_EQ(answer, "world\n");
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first, "");
    EXPECT_EQ(errors.second, "");
  };
  run(test());
}

TEST_P(TlsStreams, MegabytesArriveWhole) {
  const auto test = []() -> Coroutine<> {
    const Contexts contexts;
    Pair pair = co_await tls_pair(contexts.client, contexts.server);
    const std::string sent = pattern(300000);
    auto sending = create_task([&]() -> Coroutine<> {
      for (std::size_t at = 0; at < sent.size(); at += 70000) {
        pair.client.writer.write(std::string_view(sent).substr(at, 70000));
        co_await pair.client.writer.drain();
      }
      pair.client.writer.close();
    });
    const std::string received = co_await pair.server.reader.read();
    EXPECT_TRUE(received == sent);
    co_await sending;
    const auto errors = co_await close_pair(pair);
    EXPECT_EQ(errors.first, "");
    EXPECT_EQ(errors.second, "");
  };
  run(test());
}

}  // namespace
}  // namespace aster::net_tests
