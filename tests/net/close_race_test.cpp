// SPDX-License-Identifier: MIT
//
// Data arrives and the connection is closed in one turn, in both orders, while a read
// waits below everything that awaits for others.
#include <gtest/gtest.h>

#include <string>

#include "net_fixture.hpp"
#include "support/wrapped.hpp"

namespace aster::net_tests {
namespace {

class CloseRace : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, CloseRace, ::testing::ValuesIn(all_systems()), name_of);

TEST_P(CloseRace, ReadinessAndCloseInOneTurnEndTheRead) {  // TR-2
  run([]() -> Coroutine<> {
    EventLoop& loop = get_running_loop();
    for (const std::string& kinds : support::all_wraps(2)) {
      for (const bool close_is_first : {true, false}) {
        Pair pair = co_await connected_pair();
        auto inner = [&pair]() -> Coroutine<std::string> {
          co_return co_await pair.server.reader.read(10);
        };
        Task<std::string> read = create_task(support::wrapped(kinds, inner));
        co_await turns(6);
        EXPECT_FALSE(read.done()) << kinds;

        // Callbacks run before what a turn's I/O completes, timers after it.
        pair.client.writer.write("data");
        auto close = [&pair] { pair.server.writer.close(); };
        if (close_is_first) {
          loop.call_soon(close);
        } else {
          loop.call_later(Duration::zero(), close);
        }
        std::string got = co_await aster::wait_for(read, std::chrono::seconds(10));

        EXPECT_TRUE(std::string("data").starts_with(got)) << kinds << got;
        EXPECT_EQ(read.cancelling(), 0);
        co_await pair.server.writer.wait_closed();
        std::string after = co_await pair.server.reader.read(10);
        EXPECT_TRUE(std::string("data").starts_with(got + after)) << kinds << got << after;
      }
    }
  }());
}

}  // namespace
}  // namespace aster::net_tests
