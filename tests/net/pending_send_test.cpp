// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/net/streams.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <string>

namespace {

using namespace aster;
using namespace std::chrono_literals;

// Sends `pieces` without waiting for any to go, and reads them at the other end
// once all have been written.
Coroutine<std::string> send_to_a_late_reader(std::string pieces, std::size_t piece_size) {
  std::string arrived;
  auto read = [&arrived](StreamReader reader, StreamWriter writer) -> Coroutine<> {
    co_await sleep(1s);
    arrived = co_await reader.read();
    writer.close();
  };
  Server server = co_await start_server(read, "127.0.0.1", 80);
  Connection client = co_await open_connection("127.0.0.1", 80);
  for (std::size_t at = 0; at < pieces.size(); at += piece_size) {
    client.writer.write(std::string(pieces.substr(at, piece_size)));
    co_await sleep(0s);
  }
  client.writer.close();
  co_await client.writer.wait_closed();
  server.close();
  co_await server.wait_closed();
  co_return arrived;
}

TEST(StreamWriter, WritesDuringAPendingSendLeaveItsBytesAlone) {
  aster::testing::SimLoop loop;
  std::string text;
  while (text.size() < 1'000'000) text += std::to_string(text.size()) + ' ';

  const std::string arrived = loop.run_until_complete(send_to_a_late_reader(text, 30'000));

  EXPECT_TRUE(arrived == text);
}

TEST(StreamWriter, DrainEndsAtTheLowWaterMarkAndNotOnlyWhenAllIsSent) {
  aster::testing::SimLoop loop({.capacity = 10'000});
  std::size_t left = 0;
  auto test = [&]() -> Coroutine<> {
    auto read = [](StreamReader reader, StreamWriter) -> Coroutine<> {
      for (;;) {
        const std::string data = co_await reader.read(1000);
        if (data.empty()) break;
        co_await sleep(1ms);
      }
    };
    Server server = co_await start_server(read, "127.0.0.1", 80);
    Connection client = co_await open_connection("127.0.0.1", 80);
    client.writer.set_write_buffer_limits(50'000, 40'000);
    client.writer.write(std::string(100'000, 'x'));
    co_await client.writer.drain();
    left = client.writer.get_write_buffer_size();
    server.close();
    client.writer.close();
    co_await server.wait_closed();
  };

  loop.run_until_complete(test());

  EXPECT_GT(left, 0U);
  EXPECT_LE(left, 40'000U);
}

}  // namespace
