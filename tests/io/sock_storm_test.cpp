// SPDX-License-Identifier: MIT
// Many clients of an echo server whose every wait is cancelled at random moments and
// begun again: no connection and no byte is lost, on any system. The seed is the
// case's number.
#include "io/sock_fixture.hpp"

#include <aster/base/random.hpp>

#include <memory>

namespace aster::sock_tests {
namespace {

struct Storm {
  std::uint64_t seed;
  net_tests::System system;

  friend std::ostream& operator<<(std::ostream& out, const Storm& storm) {
    return out << storm.system.name << " with seed " << storm.seed;
  }
};

std::vector<Storm> storms() {
  std::vector<Storm> all;
  for (const net_tests::System& system : all_systems()) {
    for (std::uint64_t seed = 1; seed <= (system.simulated ? 8U : 2U); ++seed) {
      all.push_back({seed, system});
      all.back().system.options.seed = seed;
    }
  }
  return all;
}

class SockStorm : public ::testing::TestWithParam<Storm> {
 protected:
  SockStorm() : net(GetParam().system), random(GetParam().seed) {
    net.loop().set_strict_order(true);
  }

  Socket tcp() {
    if (net.is_simulated()) return Socket(net.loop().backend(), AF_INET, SOCK_STREAM);
    return Socket(AF_INET, SOCK_STREAM);
  }

  // Some turns or some time.
  Coroutine<> pause() {
    if (random.chance(1, 4)) {
      co_await sleep(std::chrono::microseconds(random.below(3000)));
    } else {
      for (auto left = random.below(6); left > 0; --left) co_await yield_now();
    }
  }

  // One receive, begun as often as it takes.
  Coroutine<std::string> receive(Socket& socket) {
    for (;;) {
      auto receiving = create_task(net.loop().sock_recv(socket, 1 + random.below(50)));
      co_await pause();
      if (random.chance(1, 2)) receiving.cancel();
      auto ended = co_await outcome(std::move(receiving));
      if (ended.has_value()) co_return std::move(ended).value();
      EXPECT_TRUE(ended.cancelled()) << describe(ended.exception());
      ++cancelled;
    }
  }

  Coroutine<> echo(Socket socket) {
    for (;;) {
      std::string data = co_await receive(socket);
      if (data.empty()) break;
      co_await net.loop().sock_sendall(socket, data);
    }
    ++served;
  }

  Coroutine<> serve(Socket& listener, int count) {
    while (count > 0) {
      auto accepting = create_task(net.loop().sock_accept(listener));
      co_await pause();
      if (random.chance(1, 2)) accepting.cancel();
      auto ended = co_await outcome(std::move(accepting));
      if (!ended.has_value()) {
        ++cancelled;
        continue;
      }
      Accepted accepted = std::move(ended).value();
      --count;
      create_task(echo(std::move(accepted.socket)));
    }
  }

  Coroutine<> client(Address target, unsigned number) {
    Socket socket = tcp();
    co_await pause();
    co_await net.loop().sock_connect(socket, target);
    const std::string text = pattern(random.below(1000), number);
    auto sending = create_task(net.loop().sock_sendall(socket, text));
    std::string back;
    while (back.size() < text.size()) {
      std::string some = co_await receive(socket);
      if (some.empty()) break;
      back += some;
    }
    co_await std::move(sending);
    EXPECT_TRUE(back == text) << number << ": " << back.size() << " of " << text.size();
    socket.shutdown(SHUT_WR);
    std::string end = co_await receive(socket);
    EXPECT_EQ(end, "");
  }

  Net net;
  SeededRandom random;
  int cancelled = 0;
  int served = 0;
};
INSTANTIATE_TEST_SUITE_P(Systems, SockStorm, ::testing::ValuesIn(storms()),
                         [](const ::testing::TestParamInfo<Storm>& storm) {
                           return storm.param.system.name + "_" + std::to_string(storm.param.seed);
                         });

TEST_P(SockStorm, LosesNoConnectionAndNoByte) {  // SOCK-10, CAN-15
  constexpr int client_count = 12;
  net.run([this]() -> Coroutine<> {
    Socket listener = tcp();
    listener.bind(loopback());
    listener.listen(128);
    auto serving = create_task(serve(listener, client_count));
    std::vector<Task<>> clients;
    for (unsigned i = 0; i < client_count; ++i) {
      clients.push_back(create_task(client(listener.getsockname(), i)));
    }
    for (Task<>& one : clients) co_await one;
    co_await std::move(serving);
    for (int i = 0; i < 1000 && served < client_count; ++i) co_await sleep(1ms);
  }());

  EXPECT_EQ(served, client_count);
  EXPECT_GT(cancelled, 30);
}

}  // namespace
}  // namespace aster::sock_tests
