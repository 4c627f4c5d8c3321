// SPDX-License-Identifier: MIT
// A TLS session through a relay that splits, changes and cuts what it passes on: what an
// end receives is the beginning of what the other has sent, a whole message is never taken
// for one that was cut, and without damage all arrives.
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/certificates.hpp"

namespace {

using namespace std::chrono_literals;
using aster::Coroutine;
using aster::StreamReader;
using aster::StreamWriter;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::size_t next(std::size_t bound) {
    std::size_t value = 0;
    for (std::size_t room = 1; room < bound && at_ < size_; room *= 256) {
      value = value * 256 + data_[at_++];
    }
    return value % bound;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

void require(bool holds) {
  if (!holds) std::abort();
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

/// What happens to one direction's bytes.
struct Way {
  struct Change {
    std::size_t at;
    char bits;
  };
  std::size_t piece = 1;
  std::vector<Change> changes;
  std::optional<std::size_t> cut_at;  // Then the connection ends.
  std::size_t passed = 0;
  bool is_damaged = false;
};

struct Story {
  std::string request;
  std::string response;
  Way forth;
  Way back;
  std::string received_request;
  std::string received_response;
  bool request_is_whole = false;
  bool response_is_whole = false;
};

const aster::support::Authority& root() {
  static const aster::support::Authority made;
  return made;
}

const aster::SSLContext& server_context() {
  static const aster::SSLContext context = [] {
    const aster::support::Certified cert = root().issue();
    aster::SSLContext made{aster::SSLPurpose::client_auth};
    made.load_cert_chain_pem(cert.chain, cert.key);
    return made;
  }();
  return context;
}

const aster::SSLContext& client_context() {
  static const aster::SSLContext context = [] {
    aster::SSLContext made;
    made.load_verify_pem(root().cert());
    return made;
  }();
  return context;
}

// `to` and `way` outlive it.
Coroutine<> pass_on(StreamReader from, StreamWriter& to, Way& way) {
  try {
    for (;;) {
      std::string bytes = co_await from.read(way.piece);
      if (bytes.empty()) break;
      for (const Way::Change& change : way.changes) {
        if (change.at < way.passed || change.at >= way.passed + bytes.size()) continue;
        bytes[change.at - way.passed] =
            static_cast<char>(bytes[change.at - way.passed] ^ change.bits);
        way.is_damaged = true;
      }
      if (way.cut_at && *way.cut_at < way.passed + bytes.size()) {
        bytes.resize(*way.cut_at - way.passed);
        way.is_damaged = true;
      }
      way.passed += bytes.size();
      to.write(bytes);
      if (way.is_damaged && way.cut_at && *way.cut_at == way.passed) break;
      co_await to.drain();
    }
    to.close();
    co_await to.wait_closed();
  } catch (const std::exception&) {  // An end has gone.
    to.abort();
  }
}

Coroutine<> relay(int port, Story& story, StreamReader reader, StreamWriter writer) {
  auto opening = aster::open_connection("127.0.0.1", port);
  auto far = co_await std::move(opening);
  auto forth = aster::create_task(pass_on(reader, far.writer, story.forth));
  co_await pass_on(far.reader, writer, story.back);
  co_await std::move(forth);
}

Coroutine<> serve(Story& story, StreamReader reader, StreamWriter writer) {
  try {
    for (;;) {
      const std::string piece = co_await reader.read(1000);
      if (piece.empty()) break;
      story.received_request += piece;
      if (story.received_request.size() >= story.request.size()) break;
    }
    story.request_is_whole = true;
    writer.write(story.response);
    writer.close();
    co_await writer.wait_closed();
  } catch (const std::exception&) {
    writer.abort();
  }
}

Coroutine<> ask(int port, Story& story) {
  aster::ConnectOptions options;
  options.ssl = &client_context();
  options.server_hostname = "localhost";
  auto opening = aster::open_connection("127.0.0.1", port, options);
  auto link = co_await std::move(opening);
  link.writer.write(story.request);
  for (;;) {
    const std::string piece = co_await link.reader.read(1000);
    if (piece.empty()) break;
    story.received_response += piece;
  }
  story.response_is_whole = true;
  link.writer.close();
  co_await link.writer.wait_closed();
}

Coroutine<> play(Story& story) {
  aster::ServerOptions options;
  options.ssl = &server_context();
  auto starting = aster::start_server(
      [&story](StreamReader reader, StreamWriter writer) {
        return serve(story, reader, std::move(writer));
      },
      "127.0.0.1", 0, options);
  aster::Server server = co_await std::move(starting);
  const int port = server.sockets().front().getsockname().port();
  auto between = aster::start_server(
      [&story, port](StreamReader reader, StreamWriter writer) {
        return relay(port, story, reader, std::move(writer));
      },
      "127.0.0.1", 0);
  aster::Server middle = co_await std::move(between);
  const int asked = middle.sockets().front().getsockname().port();
  try {
    // A length that was changed has an end wait for more.
    auto asking = aster::wait_for(ask(asked, story), 1000s);
    co_await std::move(asking);
  } catch (const std::exception&) {
  }
  for (aster::Server* each : {&middle, &server}) {
    each->close();
    each->abort_clients();
    co_await each->wait_closed();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Story story;
  story.request = pattern(1 + input.next(20'000));
  story.response = pattern(input.next(40'000));
  for (Way* way : {&story.forth, &story.back}) {
    way->piece = 1 + input.next(4000);
    way->changes.resize(input.next(4));
    for (Way::Change& change : way->changes) {
      change.at = input.next(4000);
      change.bits = static_cast<char>(1 + input.next(255));
    }
    if (input.next(4) == 1) way->cut_at = input.next(6000);
  }

  aster::testing::SimLoop loop;
  loop.run_until_complete(play(story));
  loop.run_until_idle();  // The relay learns of the end.

  require(story.request.starts_with(story.received_request));
  require(story.response.starts_with(story.received_response));
  const bool is_damaged = story.forth.is_damaged || story.back.is_damaged;
  if (!is_damaged) require(story.request_is_whole && story.response_is_whole);
  if (story.request_is_whole) require(story.received_request == story.request);
  if (story.response_is_whole) require(story.received_response == story.response);
  return 0;
}
