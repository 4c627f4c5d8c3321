// SPDX-License-Identifier: MIT
// The engine alone, two of them face to face: every split of what is received, and no
// memory for any one request.
#include "net/tls_engine.hpp"

#include "net/tls_fixture.hpp"
#include "support/allocations.hpp"

namespace aster::net_tests {
namespace {

using detail::TlsEngine;
using detail::TlsSetup;

/// One end, whose records wait here.
class End final : TlsEngine::Output {
 public:
  explicit End(const TlsSetup& setup)
      : engine(std::make_shared<TlsEngine>(setup, static_cast<TlsEngine::Output&>(*this))) {}
  End(const End&) = delete;
  End& operator=(const End&) = delete;
  ~End() { engine->detach(); }

  /// Takes bytes, as far as the state allows.
  void take(std::string_view bytes) {
    engine->give(bytes);
    if (!is_established) {
      is_established = engine->handshake() == TlsEngine::Progress::done;
    }
    if (!is_established) return;
    char room[20000];
    while (const std::size_t count = engine->read(room)) received.append(room, count);
  }

  std::shared_ptr<TlsEngine> engine;
  std::string sent;
  std::string received;
  bool is_established = false;

 private:
  bool send_sealed(std::string_view record) noexcept override {
    try {
      sent += record;
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  [[nodiscard]] TimePoint tls_now() const noexcept override { return TimePoint(1h); }
};

TlsSetup setup_of(const SSLContext& context, bool server_side) {
  TlsSetup setup;
  setup.context = detail::TlsContext::of(context);
  setup.server_side = server_side;
  if (!server_side) {
    setup.server_hostname = "localhost";
    setup.has_name = true;
  }
  return setup;
}

/// Carries what one has sent to the other, in pieces of `size` bytes.
bool carry(End& from, End& to, std::size_t size) {
  const std::string bytes = std::exchange(from.sent, {});
  for (std::size_t at = 0; at < bytes.size(); at += size) {
    to.take(std::string_view(bytes).substr(at, size));
  }
  return !bytes.empty();
}

/// A whole session; whether it went well.
bool talk(const Contexts& contexts, std::size_t piece, const std::string& word) {
  End client(setup_of(contexts.client, false));
  End server(setup_of(contexts.server, true));
  const auto settle = [&] {
    for (int i = 0; i < 20; ++i) {
      const bool there = carry(client, server, piece);
      const bool back = carry(server, client, piece);
      if (!there && !back) break;
    }
  };
  client.take({});
  settle();
  if (!client.is_established || !server.is_established) return false;
  if (!client.engine->seal(word) || !server.engine->seal(word)) return false;
  settle();
  client.engine->send_close();
  server.engine->send_close();
  settle();
  const auto is_prefix = [&](const End& end) { return word.starts_with(end.received); };
  EXPECT_TRUE(is_prefix(client) && is_prefix(server));
  return client.received == word && server.received == word && client.engine->has_ended() &&
         server.engine->has_ended();
}

class TlsEngines : public ::testing::TestWithParam<TLSVersion> {};
INSTANTIATE_TEST_SUITE_P(Versions, TlsEngines,
                         ::testing::Values(TLSVersion::TLSv1_2, TLSVersion::TLSv1_3), version_name);

TEST_P(TlsEngines, TakeRecordsInPiecesOfAnySize) {
  const Contexts contexts(GetParam());
  for (const std::size_t piece : {1U, 2U, 3U, 5U, 6U, 7U, 100U, 1000U, 100000U}) {
    EXPECT_TRUE(talk(contexts, piece, pattern(TlsEngine::record_size))) << piece;
  }
}

class TlsEnginesSlow : public TlsEngines {};
INSTANTIATE_TEST_SUITE_P(Versions, TlsEnginesSlow,
                         ::testing::Values(TLSVersion::TLSv1_2, TLSVersion::TLSv1_3), version_name);

TEST_P(TlsEnginesSlow, FailInOrderWithoutMemory) {
  ASTER_NEEDS_COUNTED_ALLOCATIONS();
  const Contexts contexts(GetParam());
  const std::string word = pattern(3000);
  EXPECT_TRUE(talk(contexts, 100000, word));
  std::size_t refused = 0;
  std::size_t failed = 0;
  for (std::uint64_t granted = 0; granted < 100000; granted += 2) {
    support::refuse_one_after(granted);
    bool went_well = false;
    try {
      went_well = talk(contexts, 100000, word);
    } catch (const std::bad_alloc&) {
      went_well = false;
    } catch (const SSLError&) {  // What OpenSSL makes of it.
      went_well = false;
    }
    if (support::stop_refusing()) break;
    ++refused;
    failed += went_well ? 0 : 1;
  }
  EXPECT_GT(refused, 100u);
  EXPECT_GT(failed, 50u);
  EXPECT_TRUE(talk(contexts, 100000, word));  // The contexts are none the worse.
}

}  // namespace
}  // namespace aster::net_tests
