// SPDX-License-Identifier: MIT
// One pair of contexts, and loops in several threads that use them at once.
#include "net/tls_fixture.hpp"

#include <aster/loop/runner.hpp>

#include <atomic>
#include <thread>
#include <vector>

namespace aster::net_tests {
namespace {

TEST(TlsThreads, AContextServesLoopsOfSeveralThreads) {
  constexpr int thread_count = 4;
  constexpr int visits = 12;
  Contexts contexts;
  std::atomic<int> asked{0};
  contexts.server.set_sni_callback([&](std::string_view name) -> const SSLContext* {
    EXPECT_EQ(name, "localhost");
    ++asked;
    return nullptr;
  });
  std::atomic<int> served{0};
  std::atomic<int> resumed{0};
  const auto visit = [&]() -> Coroutine<> {
    SSLSession session;
    for (int i = 0; i < visits; ++i) {
      ConnectOptions options;
      options.server_hostname = "localhost";
      options.ssl_session = &session;
      Pair pair = co_await tls_pair(contexts.client, contexts.server, options);
      pair.server.writer.write("hello");
      const std::string text = co_await pair.client.reader.readexactly(5);
      served += text == "hello" ? 1 : 0;
      resumed += pair.client.writer.ssl_object().session_reused() ? 1 : 0;
      session = pair.client.writer.ssl_object().session();
      if (i == visits / 2) contexts.server.rotate_ticket_keys();
      const auto errors = co_await close_pair(pair);
      EXPECT_EQ(errors.first + errors.second, "");
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) {
    threads.emplace_back([&visit] { run(visit()); });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(served, thread_count * visits);
  EXPECT_EQ(asked, thread_count * visits);
  // Keys that another thread has replaced twice meanwhile are not known any more.
  EXPECT_GT(resumed, thread_count);
}

}  // namespace
}  // namespace aster::net_tests
