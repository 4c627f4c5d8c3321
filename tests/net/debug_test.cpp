// SPDX-License-Identifier: MIT
//
// What debug mode tells of connections.
#include "net/net_fixture.hpp"

#include <string>

#include "support/reports.hpp"

namespace aster::net_tests {
namespace {

using support::Logged;

class NetDebug : public NetTest {
 protected:
  Logged logged;
};
INSTANTIATE_TEST_SUITE_P(Systems, NetDebug, ::testing::ValuesIn(all_systems()), name_of);

Coroutine<> meet() {
  Pair pair = co_await connected_pair();
  pair.client.writer.close();
  pair.server.writer.close();
  co_await pair.client.writer.wait_closed();
  co_await pair.server.writer.wait_closed();
}

TEST_P(NetDebug, TheLifeOfAConnectionIsLogged) {  // DBG-8
  net.loop().set_debug(true);
  run(meet());
  net.loop().set_debug(false);

  EXPECT_TRUE(logged.contains("serving on 127.0.0.1:")) << logged.text();
  EXPECT_TRUE(logged.contains("connection to 127.0.0.1:")) << logged.text();
  EXPECT_TRUE(logged.contains(" made, from 127.0.0.1:")) << logged.text();
  EXPECT_TRUE(logged.contains(" lost")) << logged.text();
}

TEST_P(NetDebug, NothingIsLoggedWithoutDebugMode) {  // DBG-10
  net.loop().set_debug(false);
  run(meet());

  EXPECT_EQ(logged.text(), "");
}

TEST_P(NetDebug, AConnectionOpenWhenTheLoopClosesIsWarnedOf) {  // DBG-9, TR-23
  std::optional<Pair> kept;
  net.loop().set_debug(true);
  run([](std::optional<Pair>& place) -> Coroutine<> {
    Pair pair = co_await connected_pair();
    place.emplace(std::move(pair));
  }(kept));
  net.close();

  EXPECT_TRUE(logged.contains("unclosed transport of a connection to 127.0.0.1:")) << logged.text();
  EXPECT_TRUE(logged.contains("made at: ")) << logged.text();
}

TEST_P(NetDebug, ADroppedWriterIsNamedWithThePlaceThatMadeIt) {  // DBG-9, ST-22
  net.loop().set_debug(true);
  run([]() -> Coroutine<> {
    Listening listening;
    co_await listening.start();
    const Connection client = co_await open_connection("127.0.0.1", listening.port());
    Connection accepted = co_await listening.accept();
    accepted.writer.close();
    listening.server().close();
  }());
  net.loop().set_debug(false);
  const std::string place = "debug_test.cpp:" + std::to_string(__LINE__ - 6);

  EXPECT_TRUE(logged.contains("unclosed StreamWriter of a connection to 127.0.0.1:"));
  EXPECT_TRUE(logged.contains(place)) << logged.text();
}

}  // namespace
}  // namespace aster::net_tests
