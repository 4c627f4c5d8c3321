// SPDX-License-Identifier: MIT
// A StreamReader fed in pieces against a model that has all bytes at once: whatever
// the pieces, `readuntil`, `readexactly`, `read` and `readline` give the same.
#include <aster/aster.hpp>
#include <aster/testing/sim_loop.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using aster::Coroutine;

/// Decisions taken from the fuzzer's bytes.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  std::size_t next(std::size_t bound) {
    if (at_ >= size_) return 0;
    return data_[at_++] % bound;
  }
  [[nodiscard]] bool empty() const { return at_ >= size_; }
  std::string rest() {
    std::string text(reinterpret_cast<const char*>(data_ + at_), size_ - at_);
    at_ = size_;
    return text;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

struct Call {
  std::size_t kind;
  std::size_t count;
  std::vector<std::string> separators;
};

void require(bool holds) {
  if (!holds) std::abort();
}

/// What `readuntil` must give: the separator that ends first decides.
std::optional<std::size_t> end_of_first(std::string_view bytes, const Call& call) {
  std::optional<std::size_t> best;
  for (const std::string& separator : call.separators) {
    const std::size_t at = bytes.find(separator);
    if (at == std::string_view::npos) continue;
    if (!best || at + separator.size() < *best) best = at + separator.size();
  }
  return best;
}

Coroutine<> check(aster::StreamReader reader, std::string all, std::vector<Call> calls) {
  std::string_view left = all;
  for (const Call& call : calls) {
    if (call.kind == 0) {
      const std::string got = co_await reader.read(call.count);
      require(left.starts_with(got));
      require(got.size() <= call.count && (!got.empty() || call.count == 0 || left.empty()));
      left.remove_prefix(got.size());
    } else if (call.kind == 1) {
      std::string got;
      try {
        got = co_await reader.readexactly(call.count);
        require(got == left.substr(0, call.count) && got.size() == call.count);
      } catch (const aster::IncompleteReadError& error) {
        got = error.partial();
        require(got == left && left.size() < call.count);
      }
      left.remove_prefix(got.size());
    } else {
      const std::vector<std::string_view> separators(call.separators.begin(),
                                                     call.separators.end());
      const std::optional<std::size_t> end = end_of_first(left, call);
      std::string got;
      try {
        got = co_await reader.readuntil(separators);
        require(end && got == left.substr(0, *end));
      } catch (const aster::IncompleteReadError& error) {
        got = error.partial();
        require(!end && got == left);
      }
      left.remove_prefix(got.size());
    }
  }
  const std::string rest = co_await reader.read();
  require(rest == left && reader.at_eof());
}

Coroutine<> feed(aster::StreamReader reader, std::string all, std::vector<std::size_t> pieces) {
  std::string_view left = all;
  for (const std::size_t piece : pieces) {
    reader.feed_data(left.substr(0, piece));
    left.remove_prefix(std::min(piece, left.size()));
    co_await aster::yield_now();
  }
  reader.feed_data(left);
  reader.feed_eof();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  Input input(data, size);
  std::vector<Call> calls(input.next(8));
  for (Call& call : calls) {
    call.kind = input.next(3);
    call.count = input.next(20);
    for (std::size_t i = 0, n = 1 + input.next(3); i < n; ++i) {
      std::string separator;
      for (std::size_t k = 0, length = 1 + input.next(3); k < length; ++k) {
        separator += static_cast<char>('a' + input.next(3));
      }
      call.separators.push_back(separator);
    }
  }
  std::vector<std::size_t> pieces(input.next(32));
  for (std::size_t& piece : pieces) piece = 1 + input.next(6);
  std::string all = input.rest();
  for (char& byte : all) byte = static_cast<char>('a' + static_cast<unsigned char>(byte) % 4);

  aster::testing::SimLoop loop;
  aster::StreamReader reader;
  auto reading = loop.create_task({}, check, reader, all, calls);
  auto feeding = loop.create_task({}, feed, reader, all, pieces);
  loop.run_until_idle();
  require(reading.done() && feeding.done());
  reading.result();
  return 0;
}
