// SPDX-License-Identifier: MIT
// Names by c-ares, asked of a name server that runs on the same loop.
#include "io/resolve_cares.hpp"
#include "io/sock_fixture.hpp"

#include <netdb.h>
#include <netinet/in.h>

namespace aster::sock_tests {
namespace {

class Cares : public SockTest {
 protected:
  Cares() {
    server_.bind(loopback());
    serving_ = loop().create_task([this]() -> Coroutine<> { return serve(); });
    use("127.0.0.1:" + std::to_string(server_.getsockname().port()));
  }
  ~Cares() override {
    serving_.cancel();
    static_cast<void>(run(outcome(std::move(serving_))));
    service().set_async_resolver(nullptr);
    server_.close();
  }

  detail::ResolverService& service() { return loop().service<detail::ResolverService>(); }
  void use(const std::string& servers) {
    service().set_async_resolver(detail::make_cares_resolver(loop(), servers));
  }

  // Answers "good.example" with addresses, "silent.example" and questions for the name of
  // an address never, others with NXDOMAIN.
  Coroutine<> serve() {
    for (;;) {
      ReceivedFrom query = co_await loop().sock_recvfrom(server_, 512);
      ++queries;
      std::string reply = answer(query.data);
      if (!reply.empty()) co_await loop().sock_sendto(server_, reply, query.address);
    }
  }
  static std::string answer(const std::string& query) {
    std::string name;
    std::size_t at = 12;
    while (at < query.size() && query[at] != '\0') {
      const auto size = static_cast<std::size_t>(query[at]);
      name += (name.empty() ? "" : ".") + query.substr(at + 1, size);
      at += size + 1;
    }
    if (name.starts_with("silent") || name.ends_with("in-addr.arpa")) return {};
    const std::string question = query.substr(12, at + 5 - 12);
    const bool asks_ipv4 = query.at(at + 2) == 1;
    const bool known = name == "good.example";
    const bool answers = known && asks_ipv4;
    std::string reply = query.substr(0, 2) + "\x81" + (known ? '\x80' : '\x83');
    reply += std::string("\0\1\0", 3) + (answers ? '\2' : '\0') + std::string("\0\0\0\0", 4);
    reply += question;
    for (const char last : answers ? std::string("\7\x8") : std::string()) {
      reply += std::string("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4", 12) + "\x7f" + std::string("\0\0", 2);
      reply += last;
    }
    return reply;
  }

  int queries = 0;

 private:
  Socket server_{AF_INET, SOCK_DGRAM};
  Task<> serving_;
};
INSTANTIATE_TEST_SUITE_P(Systems, Cares, ::testing::ValuesIn(real_systems()), name_of);

TEST_P(Cares, FindsAddresses) {  // EXE-9
  GetaddrinfoOptions options;
  options.family = AF_INET;
  options.type = SOCK_STREAM;

  const std::vector<AddressInfo> found = run(loop().getaddrinfo("good.example", 443, options));

  ASSERT_EQ(found.size(), 2U);
  std::vector<std::string> texts{found[0].address.str(), found[1].address.str()};
  EXPECT_THAT(texts, ::testing::UnorderedElementsAre("127.0.0.7:443", "127.0.0.8:443"));
  EXPECT_EQ(found[0].type, SOCK_STREAM);
  EXPECT_EQ(found[0].protocol, IPPROTO_TCP);
  EXPECT_GE(queries, 1);
}

TEST_P(Cares, BothFamiliesAndKindsUnlessToldOtherwise) {  // EXE-9
  const std::vector<AddressInfo> found = run(loop().getaddrinfo("good.example", 80));
  EXPECT_EQ(found.size(), 4U);
}

TEST_P(Cares, AnUnknownNameIsAGaiError) {  // EXE-9
  try {
    run(loop().getaddrinfo("bad.example", 80));
    ADD_FAILURE();
  } catch (const std::system_error& failure) {
    EXPECT_EQ(failure.code(), std::error_code(EAI_NONAME, gai_category()));
    EXPECT_THAT(failure.what(), HasSubstr("getaddrinfo bad.example:80"));
  }
}

TEST_P(Cares, ACancelledLookUpEndsAtOnceAndOthersGoOn) {  // EXE-9
  auto slow = loop().create_task([this]() -> Coroutine<> {
    auto looking_up = loop().getaddrinfo("silent.example", 80);
    static_cast<void>(co_await std::move(looking_up));
  });
  net.turns(2);
  slow.cancel();

  EXPECT_THAT(run(error_of(std::move(slow))), HasSubstr("CancelledError"));
  EXPECT_EQ(run(loop().getaddrinfo("good.example", 80)).size(), 4U);
}

TEST_P(Cares, LookUpsThatAreOpenFailWhenTheResolverIsReplaced) {
  auto addresses = loop().getaddrinfo("silent.example", 80);
  auto name = loop().getnameinfo(Address{"192.0.2.1", 80});
  auto cancelled = loop().getaddrinfo("silent.example", 81);
  net.turns(3);
  cancelled.cancel();

  use("127.0.0.1:1");

  const auto failure_of = [&](auto future) {
    try {
      static_cast<void>(run(std::move(future)));
    } catch (const std::system_error& failure) {
      EXPECT_EQ(failure.code(), std::error_code(EAI_FAIL, gai_category()));
      return std::string(failure.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(failure_of(std::move(addresses)),
              HasSubstr("getaddrinfo silent.example:80: the resolver was replaced"));
  EXPECT_THAT(failure_of(std::move(name)),
              HasSubstr("getnameinfo 192.0.2.1:80: the resolver was replaced"));
  EXPECT_TRUE(cancelled.cancelled());
}

TEST(CaresClose, LookUpsThatAreOpenWhenTheLoopClosesAreLeftSilently) {
  Socket silent{AF_INET, SOCK_DGRAM};
  silent.bind(loopback());
  EventLoop loop;
  std::vector<std::string> reports;
  loop.set_exception_handler(
      [&](EventLoop&, const ExceptionContext& context) { reports.push_back(context.message); });
  loop.service<detail::ResolverService>().set_async_resolver(detail::make_cares_resolver(
      loop, "127.0.0.1:" + std::to_string(silent.getsockname().port())));
  auto open = loop.getaddrinfo("silent.example", 80);

  loop.close();

  EXPECT_FALSE(open.done());
  EXPECT_THAT(reports, ::testing::IsEmpty());
}

TEST_P(Cares, NumericHostsNeedNoQuery) {  // EXE-11
  EXPECT_EQ(run(loop().getaddrinfo("127.0.0.1", 80)).front().address, loopback(80));
  EXPECT_EQ(queries, 0);
}

TEST_P(Cares, FindsNames) {  // EXE-10
  const NameInfo found = run(loop().getnameinfo(loopback(80), NI_NUMERICHOST));
  EXPECT_EQ(found.host, "127.0.0.1");
  EXPECT_EQ(found.service, "http");
}

TEST_P(Cares, BadServersAreAnError) { EXPECT_THROW(use("no server"), std::system_error); }

}  // namespace
}  // namespace aster::sock_tests
