// SPDX-License-Identifier: MIT
#include <aster/net/streams.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace aster;

TEST(Server, CancellingServeForeverClosesClientsThatAreIdle) {
  aster::testing::SimLoop loop;
  auto serve = []() -> Coroutine<> {
    auto read = [](StreamReader reader, StreamWriter) -> Coroutine<> {
      const std::string all = co_await reader.read();
    };
    Server server = co_await start_server(read, "127.0.0.1", 80);
    co_await server.serve_forever();
  };
  auto be_idle = []() -> Coroutine<std::string> {
    Connection client = co_await open_connection("127.0.0.1", 80);
    std::string all = co_await client.reader.read();
    co_return all;
  };
  auto serving = loop.create_task(serve);
  auto idle = loop.create_task(be_idle);
  loop.run_until_idle();

  serving.cancel();
  loop.run_until_idle();

  EXPECT_TRUE(serving.cancelled());
  EXPECT_TRUE(idle.done());
}

}  // namespace
