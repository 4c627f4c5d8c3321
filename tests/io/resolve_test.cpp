// SPDX-License-Identifier: MIT
#include <aster/aster.hpp>
#include <aster/executor/executor.hpp>
#include <aster/io/resolve.hpp>
#include <aster/testing/sim_loop.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <netdb.h>
#include <sys/socket.h>

namespace aster {
namespace {

using namespace std::chrono_literals;
using detail::AddressQuery;
using detail::ResolverService;
using Found = std::vector<AddressInfo>;

Found one_answer() {
  Found found;
  found.emplace_back(AF_INET, SOCK_STREAM, IPPROTO_TCP, "", Address("192.0.2.1", 80));
  return found;
}

std::string message_of(EventLoop& loop, Future<Found> future) {
  try {
    (void)loop.run_until_complete(std::move(future));
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().category(), gai_category());
    return e.what();
  }
  return "no error";
}

TEST(Getaddrinfo, AnswersNumericHostsAtOnce) {  // EXE-11
  EventLoop loop;
  loop.service<ResolverService>().set_lookup(
      [](const AddressQuery&) -> Found { throw std::logic_error("asked a thread"); });

  auto v4 = loop.getaddrinfo("127.0.0.1", 80, {.type = SOCK_STREAM});
  auto v6 = loop.getaddrinfo("::1", "8080", {.type = SOCK_DGRAM});

  ASSERT_TRUE(v4.done() && v6.done());
  ASSERT_EQ(v4.result().size(), 1U);
  EXPECT_EQ(v4.peek()[0].address.str(), "127.0.0.1:80");
  EXPECT_EQ(v4.peek()[0].family, AF_INET);
  EXPECT_EQ(v4.peek()[0].type, SOCK_STREAM);
  EXPECT_EQ(v4.peek()[0].protocol, IPPROTO_TCP);
  EXPECT_EQ(v6.result().at(0).address.str(), "[::1]:8080");
  EXPECT_GT(loop.getaddrinfo("127.0.0.1", 0).result().size(), 1U);  // Each kind of socket.
}

TEST(Getaddrinfo, AsksTheSystemOnAThreadOfItsOwn) {  // EXE-9
  EventLoop loop;
  Future<Found> f = loop.getaddrinfo("localhost", 80, {.type = SOCK_STREAM});
  const Found found = loop.run_until_complete(f);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].address.port(), 80);
  // Not the default executor: that is still unused.
  loop.run_until_complete(loop.shutdown_default_executor());
  EXPECT_FALSE(loop.run_until_complete(loop.getaddrinfo("localhost", 1)).empty());
}

TEST(Getaddrinfo, IsAFreeFunctionInACoroutine) {  // EXE-9
  EventLoop loop;
  auto amain = []() -> Coroutine<int> {
    auto found = co_await getaddrinfo("127.0.0.1", 81, {.type = SOCK_STREAM});
    co_return found.at(0).address.port();
  };
  EXPECT_EQ(loop.run_until_complete(amain()), 81);
  EXPECT_THROW((void)getaddrinfo("127.0.0.1", 81), RuntimeError);
}

TEST(Getaddrinfo, ImpossibleArgumentsAreValueErrors) {
  EventLoop loop;
  EXPECT_THROW((void)loop.getaddrinfo("", 80), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo(std::string(254, 'a'), 80), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo(std::string_view("a\0b", 3), 80), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo("a", std::string_view("h\0", 2)), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo("a", -1), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo("a", 70000), ValueError);
  EXPECT_THROW((void)loop.getaddrinfo("a", "99999999999999999999"), ValueError);
  try {
    (void)loop.getaddrinfo(std::string_view("a\0b", 3), 80);
  } catch (const ValueError& e) {
    EXPECT_STREQ(e.what(), "getaddrinfo: host name with a NUL \"a?b\"");
  }
}

TEST(Getaddrinfo, FailuresNameTheCallAndTheHost) {
  EventLoop loop;
  loop.service<ResolverService>().use_hosts_only();
  EXPECT_EQ(message_of(loop, loop.getaddrinfo("example.org", 80)),
            std::string("getaddrinfo example.org:80: ") + ::gai_strerror(EAI_NONAME));
  EXPECT_EQ(message_of(loop, loop.getaddrinfo("::1", 80, {.family = AF_INET})).substr(0, 22),
            "getaddrinfo [::1]:80: ");
}

TEST(Getaddrinfo, ACancelledLookUpIsAbandoned) {  // CAN-14
  EventLoop loop;
  auto entered = std::make_shared<std::latch>(1);
  auto may_end = std::make_shared<std::latch>(1);
  loop.service<ResolverService>().set_lookup([entered, may_end](const AddressQuery&) {
    entered->count_down();
    may_end->wait();
    return one_answer();
  });
  auto f = loop.getaddrinfo("slow.example", 80);
  entered->wait();

  EXPECT_TRUE(f.cancel());

  EXPECT_THROW(loop.run_until_complete(f), CancelledError);
  may_end->count_down();
}

TEST(Getaddrinfo, ASlowDefaultExecutorDoesNotStarveIt) {  // C24
  EventLoop loop;
  std::latch may_end{1};
  std::vector<Future<>> busy;
  for (int i = 0; i < 40; ++i) {
    busy.push_back(loop.run_in_executor(nullptr, [&] { may_end.wait(); }));
  }

  EXPECT_FALSE(loop.run_until_complete(loop.getaddrinfo("localhost", 80)).empty());

  may_end.count_down();
  loop.run_until_complete(loop.shutdown_default_executor());
}

TEST(Getaddrinfo, ClosingReportsLookUpsThatDoNotEnd) {  // C24
  auto entered = std::make_shared<std::latch>(1);
  auto may_end = std::make_shared<std::latch>(1);
  std::vector<std::string> messages;
  EventLoop loop;
  loop.set_exception_handler(
      [&](EventLoop&, const ExceptionContext& context) { messages.push_back(context.message); });
  loop.service<ResolverService>().set_lookup([entered, may_end](const AddressQuery&) {
    entered->count_down();
    may_end->wait();
    return one_answer();
  });
  auto f = loop.getaddrinfo("never.example", 80);
  entered->wait();

  loop.close();  // Does not wait.

  EXPECT_EQ(messages, std::vector<std::string>{"close: name look-ups that do not end are left "
                                               "running: getaddrinfo never.example:80"});
  EXPECT_FALSE(f.done());
  EXPECT_THROW((void)loop.getaddrinfo("a", 1), RuntimeError);
  may_end->count_down();
}

TEST(Getaddrinfo, AtMostFourRunAtOnce) {
  EventLoop loop;
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::latch four{4};
  loop.service<ResolverService>().set_lookup([&](const AddressQuery& query) {
    const int now = ++running;
    int seen = most;
    while (seen < now && !most.compare_exchange_weak(seen, now)) {
    }
    if (query.host == "first") four.arrive_and_wait();
    --running;
    return one_answer();
  });
  std::vector<Future<Found>> futures;
  for (int i = 0; i < 4; ++i) futures.push_back(loop.getaddrinfo("first", 80));
  for (int i = 0; i < 20; ++i) futures.push_back(loop.getaddrinfo("later", 80));
  for (auto& f : futures) EXPECT_EQ(loop.run_until_complete(f).size(), 1U);
  EXPECT_EQ(most, 4);
}

TEST(Getaddrinfo, ATableOfHostsNeedsNoThreads) {
  testing::SimLoop loop;
  loop.service<ResolverService>().add_host("DB.example",
                                           {Address("10.0.0.1", 0), Address("fd00::1", 9)});

  auto all = loop.getaddrinfo("db.EXAMPLE", 5432, {.type = SOCK_STREAM});
  auto v6 = loop.getaddrinfo("db.example", "5432", {.family = AF_INET6, .type = SOCK_DGRAM});

  ASSERT_TRUE(all.done());
  ASSERT_EQ(all.peek().size(), 2U);
  EXPECT_EQ(all.peek()[0].address.str(), "10.0.0.1:5432");
  EXPECT_EQ(all.peek()[1].address.str(), "[fd00::1]:5432");
  EXPECT_EQ(v6.peek().at(0).protocol, IPPROTO_UDP);
  EXPECT_TRUE(loop.getaddrinfo("other.example", 1).exception() != nullptr);
}

TEST(Getnameinfo, GivesHostAndService) {  // EXE-10
  EventLoop loop;
  auto numeric = loop.getnameinfo(Address("127.0.0.1", 80), NI_NUMERICHOST | NI_NUMERICSERV);
  ASSERT_TRUE(numeric.done());
  EXPECT_EQ(numeric.peek().host, "127.0.0.1");
  EXPECT_EQ(numeric.peek().service, "80");

  auto named = loop.getnameinfo(Address("127.0.0.1", 80), NI_NUMERICHOST);
  EXPECT_FALSE(loop.run_until_complete(named).service.empty());
  EXPECT_THROW((void)loop.getnameinfo(Address::unix_path("/x")), ValueError);
}

}  // namespace
}  // namespace aster
