// SPDX-License-Identifier: MIT
#include <aster/loop/sleep.hpp>
#include <aster/net/streams.hpp>
#include <aster/task/gather.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using namespace aster;

TEST(Server, AHandlerThatIsCancelledBeforeItBeginsClosesItsConnection) {
  aster::testing::SimLoop loop;
  int started = 0;
  bool all_closed = false;
  auto serve = [&]() -> Coroutine<> {
    auto read = [&](StreamReader reader, StreamWriter) -> Coroutine<> {
      ++started;
      const std::string all = co_await reader.read();
    };
    Server server = co_await start_server(read, "127.0.0.1", 80);
    auto client = create_task(open_connection("127.0.0.1", 80), {.name = "client"});
    // Cancels the handler's task in the turn in which it is made.
    for (bool found = false; !found;) {
      co_await yield_now();
      for (AnyTask task : all_tasks()) {
        if (task == current_task() || task.get_name() == "client") continue;
        found = true;
        task.cancel();
      }
    }
    Connection connection = co_await std::move(client);
    server.close();
    co_await server.wait_closed();
    all_closed = true;
  };
  auto serving = loop.create_task(serve);

  loop.run_until_idle();

  EXPECT_EQ(started, 0);
  EXPECT_TRUE(all_closed);
}

}  // namespace
