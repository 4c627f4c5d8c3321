// SPDX-License-Identifier: MIT
// A whole session, handshake to goodbye, cut after every byte: with an end and with a
// reset, in both directions. Nothing is ever taken for whole that is not, nothing hangs,
// and everything is given back.
#include "net/tls_fixture.hpp"

#include <algorithm>

namespace aster::net_tests {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::size_t request_size = 100;
constexpr std::size_t response_size = 1500;

/// What both ends made of a session: errors, "" for none, and what they received.
struct Story {
  std::string client_shake;
  std::string client_error;
  std::string client_end;
  std::string response;
  std::string server_shake;
  std::string server_error;
  std::string server_end;
  std::string request;
  [[nodiscard]] bool is_clean() const {
    return (client_shake + client_error + client_end + server_shake + server_error + server_end)
        .empty();
  }
};

template <class A>
Coroutine<std::string> value_of(A awaitable, std::string& error) {
  auto result = co_await outcome(std::move(awaitable));
  if (result.has_value()) co_return std::move(result).value();
  error = describe(result.exception());
  co_return "";
}

Coroutine<> play_client(Connection& link, const SSLContext& context, Story& story) {
  story.client_shake =
      co_await error_of(link.writer.start_tls(context, {.server_hostname = "localhost"}));
  if (!story.client_shake.empty()) co_return;
  link.writer.write(pattern(request_size));
  story.response = co_await value_of(link.reader.read(), story.client_error);
  link.writer.close();
  story.client_end = co_await error_of(detail::as_coroutine(link.writer.wait_closed()));
}

Coroutine<> play_server(Connection& link, const SSLContext& context, Story& story) {
  story.server_shake = co_await error_of(link.writer.start_tls(context));
  if (!story.server_shake.empty()) co_return;
  story.request = co_await value_of(link.reader.readexactly(request_size), story.server_error);
  link.writer.write(pattern(response_size));
  link.writer.close();
  story.server_end = co_await error_of(detail::as_coroutine(link.writer.wait_closed()));
}

/// What a cut connection may end with.
auto is_cut() {
  return AnyOf(StartsWith("aster::SSLEOFError"), HasSubstr("Connection reset by peer"),
               HasSubstr("Broken pipe"));
}

void expect_honest(const Story& story) {
  for (const std::string* error : {&story.client_shake, &story.client_error, &story.client_end,
                                   &story.server_shake, &story.server_error, &story.server_end}) {
    EXPECT_THAT(*error, AnyOf(std::string(), is_cut()));
  }
  if (story.client_shake.empty() && story.client_error.empty()) {
    EXPECT_EQ(story.response, pattern(response_size)) << "a cut was taken for the end";
  }
  if (story.server_shake.empty() && story.server_error.empty()) {
    EXPECT_EQ(story.request, pattern(request_size));
  }
  if (!story.client_error.empty()) {
    EXPECT_THAT(story.client_end, is_cut());  // It is told twice.
  }
}

struct Case {
  std::string name;
  TLSVersion version;
  SimBackend::Cut cut;
  bool of_client;  // What the client has sent is cut.

  friend std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
    for (const SimBackend::Cut cut : {SimBackend::Cut::fin, SimBackend::Cut::reset}) {
      for (const bool of_client : {true, false}) {
        std::string name = version == TLSVersion::TLSv1_2 ? "tls12" : "tls13";
        name += cut == SimBackend::Cut::fin ? "_end" : "_reset";
        name += of_client ? "_of_client" : "_of_server";
        cases.push_back({name, version, cut, of_client});
      }
    }
  }
  return cases;
}

Story play(const Case& one, const Contexts& contexts, std::size_t count) {
  Net net;
  Story story;
  const auto test = [&]() -> Coroutine<> {
    Pair pair = co_await connected_pair();
    const Connection& cut = one.of_client ? pair.client : pair.server;
    net.sim().cut_after(cut.writer.socket().fileno(), count, one.cut);
    const TimePoint begin = get_running_loop().time();
    auto serving = create_task(play_server(pair.server, contexts.server, story));
    co_await play_client(pair.client, contexts.client, story);
    co_await std::move(serving);
    EXPECT_EQ(get_running_loop().time(), begin) << "somebody has waited";
    pair.client.writer.abort();
    pair.server.writer.abort();
  };
  net.run(test());
  return story;
}

/// Cuts after `first`, `first + step` … bytes, until a whole goodbye more than is sent.
void cut_everywhere(const Case& one, std::size_t step) {
  const Contexts contexts(one.version);
  std::size_t clean = 0;  // In a row.
  std::size_t broken = 0;
  for (std::size_t count = 0; clean < 50 + step; count += step) {
    const Story story = play(one, contexts, count);
    SCOPED_TRACE(one.name + " after " + std::to_string(count));
    expect_honest(story);
    clean = story.is_clean() && story.response.size() == response_size ? clean + step : 0;
    broken += clean == 0 ? step : 0;
    if (::testing::Test::HasFailure()) return;
  }
  // The handshake's bytes, and the data's.
  EXPECT_GT(broken, one.of_client ? 300u : response_size + 500u);
}

class TlsCuts : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Sessions, TlsCuts, ::testing::ValuesIn(all_cases()),
                         ::testing::PrintToStringParamName());
TEST_P(TlsCuts, AreNeverTakenForTheEnd) { cut_everywhere(GetParam(), 11); }

class TlsCutsSlow : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Sessions, TlsCutsSlow, ::testing::ValuesIn(all_cases()),
                         ::testing::PrintToStringParamName());
TEST_P(TlsCutsSlow, AreNeverTakenForTheEndAfterAnyByte) { cut_everywhere(GetParam(), 1); }

/// A few of them with a kernel's sockets, where the cut is a peer that goes.
class TlsCutsReal : public NetTest {};
INSTANTIATE_TEST_SUITE_P(Systems, TlsCutsReal, ::testing::ValuesIn(real_systems()), name_of);

/// Passes `count` bytes from one to the other, then ends both.
Coroutine<> pass(Connection& from, Connection& to, std::size_t count) {
  while (count > 0) {
    auto reading = outcome(from.reader.read(count));
    auto piece = co_await std::move(reading);
    if (!piece.has_value() || piece.value().empty()) break;
    count -= piece.value().size();
    to.writer.write(piece.value());
    static_cast<void>(co_await outcome(to.writer.drain()));
  }
  to.writer.close();
  from.writer.close();
}

TEST_P(TlsCutsReal, AreNeverTakenForTheEnd) {
  for (const TLSVersion version : {TLSVersion::TLSv1_2, TLSVersion::TLSv1_3}) {
    const Contexts contexts(version);
    for (std::size_t count = 0; count < 4000; count += 97) {
      Story story;
      const auto test = [&]() -> Coroutine<> {
        Pair left = co_await connected_pair();
        Pair right = co_await connected_pair();
        auto serving = create_task(play_server(right.server, contexts.server, story));
        auto there = create_task(pass(left.server, right.client, 100000));
        auto back = create_task(pass(right.client, left.server, count));
        co_await play_client(left.client, contexts.client, story);
        left.client.writer.abort();
        co_await std::move(there);
        co_await std::move(back);
        co_await std::move(serving);
        right.server.writer.abort();
      };
      run(test());
      SCOPED_TRACE(count);
      expect_honest(story);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace aster::net_tests
