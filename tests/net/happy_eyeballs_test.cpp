// SPDX-License-Identifier: MIT
// Several addresses for one name: their order, staggered attempts, one winner.
#include "io/connect_race.hpp"
#include "net/net_fixture.hpp"

#include <aster/base/random.hpp>
#include <aster/testing/faults.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>

#include <sys/socket.h>

namespace aster::net_tests {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// In order, as texts without ports.
std::vector<std::string> hosts(const std::vector<Address>& addresses) {
  std::vector<std::string> texts;
  for (const Address& address : addresses) texts.push_back(address.host());
  return texts;
}

TEST(Interleaved, TakesTurnsBetweenTheFamilies) {  // CON-5
  const std::vector<Address> six_first{{"::1", 0}, {"::2", 0},     {"::3", 0},
                                       {"::4", 0}, {"1.1.1.1", 0}, {"2.2.2.2", 0}};

  EXPECT_THAT(hosts(detail::interleaved(six_first, 1)),
              ElementsAre("::1", "1.1.1.1", "::2", "2.2.2.2", "::3", "::4"));
  EXPECT_THAT(hosts(detail::interleaved(six_first, 2)),
              ElementsAre("::1", "::2", "1.1.1.1", "::3", "2.2.2.2", "::4"));
  EXPECT_THAT(hosts(detail::interleaved(six_first, 3)),
              ElementsAre("::1", "::2", "::3", "1.1.1.1", "::4", "2.2.2.2"));
}

TEST(Interleaved, FewAddressesAreAllKept) {  // CON-5
  const std::vector<Address> one{{"::1", 0}};
  EXPECT_THAT(hosts(detail::interleaved({}, 1)), ElementsAre());
  EXPECT_THAT(hosts(detail::interleaved(one, 5)), ElementsAre("::1"));
  const std::vector<Address> two{{"1.1.1.1", 0}, {"::1", 0}};
  EXPECT_THAT(hosts(detail::interleaved(two, 9)), ElementsAre("1.1.1.1", "::1"));
}

class HappyEyeballs : public NetTest {
 protected:
  HappyEyeballs() { net.sim().add_black_hole(Address("10.9.0.0", 0)); }

  void add_host(std::string_view name, std::vector<Address> addresses) {
    net.loop().service<detail::ResolverService>().add_host(name, std::move(addresses));
  }
  static ConnectOptions options(Delay delay = 250ms) {
    ConnectOptions options;
    options.happy_eyeballs_delay = delay;
    return options;
  }
  // Serves on `host`; each connection says where it arrived.
  Server serve(std::string host, int port = 0) {
    auto handler = [this](StreamReader, StreamWriter writer) {
      ++connections;
      writer.write(writer.sockname()->host() + "\n");
    };
    return run(start_server(handler, host, port));
  }
  static Coroutine<std::string> first_line(Connection link) {
    std::string line = co_await link.reader.readline();
    co_return line;
  }
  // Where an attempt arrives.
  std::string arrives_at(std::string_view name, int port, ConnectOptions how) {
    return run(first_line(run(open_connection(name, port, how))));
  }
  Duration taken(TimePoint since) { return net.loop().time() - since; }
  static int port_of(const Server& server) { return server.sockets().front().getsockname().port(); }

  int connections = 0;
};
INSTANTIATE_TEST_SUITE_P(Systems, HappyEyeballs, ::testing::ValuesIn(simulated_systems()), name_of);

TEST_P(HappyEyeballs, AnAddressThatDoesNotAnswerIsOvertakenAfterTheDelay) {  // CON-4
  net.sim().add_black_hole(Address("10.0.0.9", 0));
  Server server = serve("127.0.0.1");
  add_host("two", {Address("10.0.0.9", 0), Address("127.0.0.1", 0)});
  const TimePoint start = net.loop().time();

  EXPECT_EQ(arrives_at("two", port_of(server), options()), "127.0.0.1\n");

  EXPECT_GE(taken(start), 250ms);
  EXPECT_LE(taken(start), 300ms);
  EXPECT_EQ(connections, 1);
}

TEST_P(HappyEyeballs, AnAddressThatRefusesIsFollowedAtOnce) {  // CON-4
  Server server = serve("127.0.0.1");
  add_host("two", {Address("127.0.0.9", 0), Address("127.0.0.1", 0)});
  const TimePoint start = net.loop().time();

  EXPECT_EQ(arrives_at("two", port_of(server), options(10s)), "127.0.0.1\n");

  EXPECT_LT(taken(start), 100ms);
}

TEST_P(HappyEyeballs, WithoutItEachAttemptIsWaitedFor) {  // CON-3
  net.sim().add_black_hole(Address("10.0.0.9", 0));
  Server server = serve("127.0.0.1");
  add_host("two", {Address("10.0.0.9", 0), Address("127.0.0.1", 0)});

  EXPECT_THAT(run(error_of(aster::wait_for(open_connection("two", port_of(server)), 60s))),
              HasSubstr("TimeoutError"));
}

TEST_P(HappyEyeballs, TheFamiliesTakeTurnsUnlessToldOtherwise) {  // CON-4, CON-5
  net.sim().add_black_hole(Address("10.0.0.7", 0));
  net.sim().add_black_hole(Address("10.0.0.8", 0));
  Server server = serve("::1");
  add_host("three", {Address("10.0.0.7", 0), Address("10.0.0.8", 0), Address("::1", 0)});
  TimePoint start = net.loop().time();
  EXPECT_EQ(arrives_at("three", port_of(server), options(1s)), "::1\n");
  EXPECT_LT(taken(start), 1900ms);  // The second to be tried.

  ConnectOptions in_order = options(1s);
  in_order.interleave = 3;
  start = net.loop().time();
  EXPECT_EQ(arrives_at("three", port_of(server), in_order), "::1\n");
  EXPECT_GE(taken(start), 2s);  // The third.
}

TEST_P(HappyEyeballs, OnlyOneOfSeveralGoodAddressesWins) {  // CON-4
  Server server = serve("127.0.0.1");
  Server other = serve("127.0.0.2", port_of(server));
  Server third = serve("127.0.0.3", port_of(server));
  add_host("three", {Address("127.0.0.1", 0), Address("127.0.0.2", 0), Address("127.0.0.3", 0)});
  const std::size_t before = net.sim().open_descriptors().size();

  {
    Connection link = run(open_connection("three", port_of(server), options(0s)));
    run(sleep(1s));
    // Ours and the accepted one: the losers are closed on both sides.
    EXPECT_EQ(run(first_line(std::move(link))).substr(0, 8), "127.0.0.");
  }
  run(sleep(1s));

  EXPECT_EQ(net.sim().open_descriptors().size(), before);
}

TEST_P(HappyEyeballs, AllErrorsAreKeptInTheOrderOfTheAddresses) {  // CON-6
  net.sim().add_black_hole(Address("10.0.0.9", 0));
  add_host("two", {Address("127.0.0.9", 0), Address("::1", 0)});
  ConnectOptions how = options();
  how.all_errors = true;
  std::vector<std::string> texts;

  try {
    run(open_connection("two", 81, how));
  } catch (const ExceptionGroup& group) {
    for (const std::exception_ptr& error : group.exceptions()) texts.push_back(describe(error));
  }

  ASSERT_EQ(texts.size(), 2U);
  EXPECT_THAT(texts[0], HasSubstr("connect 127.0.0.9:81: Connection refused"));
  EXPECT_THAT(texts[1], HasSubstr("connect [::1]:81: Connection refused"));
}

TEST_P(HappyEyeballs, ErrorsOfEveryStepAreKept) {  // CON-6, CON-7
  add_host("three", {Address("127.0.0.7", 0), Address("127.0.0.8", 0), Address("127.0.0.9", 0)});
  net.sim().fail_next(SimCall::open_socket, EMFILE);
  net.sim().fail_next(SimCall::bind, EADDRINUSE);
  ConnectOptions how = options();
  how.local_port = 5555;

  EXPECT_THAT(run(error_of(open_connection("three", 81, how))),
              HasSubstr("Multiple exceptions: socket for 127.0.0.7:81: Too many open files, "
                        "bind 0.0.0.0:5555: Address already in use, "
                        "connect 127.0.0.9:81: Connection refused"));
}

TEST_P(HappyEyeballs, ALocalPortHoldsForBothFamilies) {  // CON-7
  Server server = serve("::1");
  add_host("one", {Address("::1", 0)});
  ConnectOptions how = options();
  how.local_port = 5556;

  Connection link = run(open_connection("one", port_of(server), how));

  EXPECT_EQ(link.writer.sockname()->port(), 5556);
  run(first_line(std::move(link)));
}

TEST_P(HappyEyeballs, EverySilentAddressCostsOneDelay) {  // CON-4
  net.sim().add_black_hole(Address("10.0.0.7", 0));
  net.sim().add_black_hole(Address("10.0.0.8", 0));
  Server server = serve("127.0.0.1");
  add_host("three", {Address("10.0.0.7", 0), Address("10.0.0.8", 0), Address("127.0.0.1", 0)});
  const TimePoint start = net.loop().time();

  EXPECT_EQ(arrives_at("three", port_of(server), options(1s)), "127.0.0.1\n");

  EXPECT_GE(taken(start), 2s);
  EXPECT_LE(taken(start), 2100ms);
}

TEST_P(HappyEyeballs, CancellingItAtAnyMomentClosesEverySocket) {  // CON-10, CAN-20
  net.sim().add_black_hole(Address("10.0.0.7", 0));
  net.sim().add_black_hole(Address("10.0.0.8", 0));
  Server server = serve("127.0.0.1");
  add_host("three", {Address("10.0.0.7", 0), Address("10.0.0.8", 0), Address("127.0.0.1", 0)});
  const std::size_t before = net.sim().open_descriptors().size();
  for (int step = 0; step < 40; ++step) {
    auto connecting =
        net.loop().create_task(open_connection("three", port_of(server), options(100ms)));
    net.turns(2);
    net.sim_loop().advance(step * 10ms);
    net.turns(step % 3);
    const bool was_done = connecting.done();
    connecting.cancel();
    {
      auto ended = run(outcome(std::move(connecting)));
      EXPECT_EQ(ended.has_value(), was_done);
    }
    run(sleep(1s));
    EXPECT_EQ(net.sim().open_descriptors().size(), before) << step;
  }
}

TEST_P(HappyEyeballs, WrongOptionsAreValueErrors) {
  ConnectOptions how = options(std::numeric_limits<double>::quiet_NaN() * 1s);
  EXPECT_THROW(static_cast<void>(open_connection("127.0.0.1", 80, how)), ValueError);
  how = options();
  how.interleave = -1;
  EXPECT_THROW(static_cast<void>(open_connection("127.0.0.1", 80, how)), ValueError);
}

// Whatever mixture of good, refusing and silent addresses: it ends, with a good one when
// there is one, and nothing stays open.
TEST_P(HappyEyeballs, AnyMixtureOfAddressesEndsRight) {  // CON-3, CON-4, CON-6
  Server server = serve("127.0.0.1");
  const std::size_t before = net.sim().open_descriptors().size();
  SeededRandom random(GetParam().options.seed);
  for (int round = 0; round < 60; ++round) {
    std::vector<Address> addresses;
    bool has_good = false;
    bool has_silent = false;
    const auto count = 1 + random.below(6);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto kind = random.below(3);
      if (kind == 0) {
        addresses.emplace_back("127.0.0.1", 0);
        has_good = true;
      } else if (kind == 1) {
        addresses.emplace_back("127.0.0." + std::to_string(2 + random.below(200)), 0);
      } else {
        addresses.emplace_back("10.7.0." + std::to_string(random.below(250)), 0);
        net.sim().add_black_hole(addresses.back());
        has_silent = true;
      }
    }
    add_host("mixed", addresses);
    const Duration delay = std::chrono::milliseconds(random.below(300));

    {
      auto ended = run(
          outcome(aster::wait_for(open_connection("mixed", port_of(server), options(delay)), 30s)));
      EXPECT_EQ(ended.has_value(), has_good);
      if (!has_good && has_silent) {
        EXPECT_THAT(describe(ended.exception()), HasSubstr("TimeoutError"));
      }
    }
    run(sleep(1s));
    EXPECT_EQ(net.sim().open_descriptors().size(), before) << round;
  }
}

// On the system: that the same code works on real sockets.
class HappyEyeballsSystem : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, HappyEyeballsSystem, ::testing::ValuesIn(real_systems()),
                         name_of);

TEST_P(HappyEyeballsSystem, TheFirstThatAnswersWins) {  // CON-4
  auto handler = [](StreamReader, StreamWriter writer) { writer.write("hello\n"); };
  Server server = run(start_server(handler, "127.0.0.1", 0));
  const int port = server.sockets().front().getsockname().port();
  net.loop().service<detail::ResolverService>().add_host(
      "three", {Address("127.0.0.9", 0), Address("::1", 0), Address("127.0.0.1", 0)});
  for (const Delay delay : {Delay(0ms), Delay(250ms), Delay::infinite()}) {
    ConnectOptions options;
    options.happy_eyeballs_delay = delay;

    Connection link = run(open_connection("three", port, options));
    EXPECT_EQ(run(link.reader.readline()), "hello\n");
  }
  server.close();
}

TEST_P(HappyEyeballsSystem, AnAttemptThatDoesNotEndIsOvertaken) {  // CON-4
  using testing::SysCall;
  auto handler = [](StreamReader, StreamWriter writer) { writer.write("hello\n"); };
  Server server = run(start_server(handler, "127.0.0.1", 0));
  const int port = server.sockets().front().getsockname().port();
  net.loop().service<detail::ResolverService>().add_host(
      "two", {Address("127.0.0.9", 0), Address("127.0.0.1", 0)});
  testing::Faults faults;
  faults.fail(SysCall::connect, {.error = EINPROGRESS});  // Then "writable", with an error.
  faults.fail(SysCall::getsockopt, {.error = ETIMEDOUT});
  ConnectOptions options;
  options.happy_eyeballs_delay = 10s;

  Connection link = run(open_connection("two", port, options));

  EXPECT_EQ(run(link.reader.readline()), "hello\n");
  server.close();
}

}  // namespace
}  // namespace aster::net_tests
