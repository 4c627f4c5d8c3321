// SPDX-License-Identifier: MIT
// Random reads of a reader that is fed random pieces, against a model that keeps
// everything in one string. ASTER_TEST_SEED=n repeats one seed.
#include "net/net_fixture.hpp"

#include <aster/base/random.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace aster::net_tests {
namespace {

/// What StreamReader should do, without waiting: nothing when a read would wait.
class Model {
 public:
  explicit Model(std::size_t limit) : limit_(limit) {}

  void feed(std::string_view data) { buffer_ += data; }
  void feed_eof() { eof_ = true; }

  std::optional<std::string> read(std::size_t size) {
    if (size > 0 && buffer_.empty() && !eof_) return {};
    return take(std::min(size, buffer_.size()));
  }
  std::optional<std::string> read_all() {
    if (!eof_) return {};
    return take(buffer_.size());
  }
  std::optional<std::string> readexactly(std::size_t size) {
    if (buffer_.size() >= size) return take(size);
    if (!eof_) return {};
    return "incomplete " + take(buffer_.size());
  }
  std::optional<std::string> readuntil(const std::vector<std::string_view>& separators) {
    std::size_t begin = 0;
    std::size_t end = std::string::npos;
    std::size_t longest = 0;
    for (const std::string_view separator : separators) {
      longest = std::max(longest, separator.size());
      const std::size_t at = buffer_.find(separator);
      if (at == std::string::npos || at + separator.size() > end) continue;
      // Of separators that end at one place the shortest counts.
      if (at + separator.size() == end && at <= begin) continue;
      begin = at;
      end = at + separator.size();
    }
    if (end != std::string::npos) {
      if (begin > limit_) return "overrun " + std::to_string(begin);
      return take(end);
    }
    if (buffer_.size() + 1 > longest + limit_) {
      return "overrun " + std::to_string(buffer_.size() + 1 - longest);
    }
    if (!eof_) return {};
    return "incomplete " + take(buffer_.size());
  }
  std::optional<std::string> readline() {
    const std::size_t at = buffer_.find('\n');
    if (at != std::string::npos) {
      if (at <= limit_) return take(at + 1);
      take(at + 1);
      return "long line";
    }
    if (buffer_.size() > limit_) {
      buffer_.clear();
      return "long line";
    }
    if (!eof_) return {};
    return take(buffer_.size());
  }

 private:
  std::string take(std::size_t count) {
    std::string taken = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return taken;
  }
  std::size_t limit_;
  bool eof_ = false;
  std::string buffer_;
};

template <class A>
Coroutine<std::string> text_of(A read) {
  auto result = co_await outcome(std::move(read));
  if (result.has_value()) co_return result.value();
  try {
    std::rethrow_exception(result.exception());
  } catch (const IncompleteReadError& error) {
    co_return "incomplete " + error.partial();
  } catch (const LimitOverrunError& error) {
    co_return "overrun " + std::to_string(error.consumed());
  } catch (const ValueError&) {
    co_return "long line";
  } catch (const CancelledError&) {
    co_return "cancelled";
  }
}

Coroutine<std::string> text_read_into(StreamReader reader, std::size_t size) {
  std::string target(size, '\0');
  const std::size_t got = co_await reader.read_into(target);
  target.resize(got);
  co_return target;
}

class Game {
 public:
  Game(EventLoop& loop, std::uint64_t seed)
      : loop_(loop),
        random_(seed),
        limit_(1 + random_.below(20)),
        model_(limit_),
        reader_(limit_) {}

  void play() {
    for (int step = 0; step < 300; ++step) {
      read_some();
      if (::testing::Test::HasFailure()) return;
    }
  }

 private:
  void feed_some() {
    if (ended_) return;
    std::string piece;
    for (std::size_t left = 1 + random_.below(6); left > 0; --left) {
      piece += std::string_view("ab-\n\r")[random_.below(5)];
    }
    model_.feed(piece);
    reader_.feed_data(piece);
    if (random_.chance(1, 400)) {
      ended_ = true;
      model_.feed_eof();
      reader_.feed_eof();
    }
  }

  void read_some() {
    const std::uint64_t kind = random_.below(7);
    const std::size_t size = random_.below(25);
    std::vector<std::string_view> separators;
    for (std::size_t count = 1 + random_.below(3); count > 0; --count) {
      constexpr std::array<std::string_view, 6> all{"-", "--", "\n", "\r\n", "a-b", "b\n--"};
      separators.push_back(all.at(random_.below(all.size())));
    }
    const bool at_end = ended_;
    const auto expected = [&]() -> std::optional<std::string> {
      switch (kind) {
        case 0:
          return model_.read(size);
        case 1:
          return model_.readexactly(size);
        case 2:
          return model_.readline();
        case 3:
          return model_.readuntil(separators);
        case 4:
          return model_.readuntil({separators.front()});
        case 5:
          return at_end ? model_.read_all() : model_.read(size);
        default:
          return model_.read(size);
      }
    };
    auto task = loop_.create_task([&]() -> Coroutine<std::string> {
      switch (kind) {
        case 0:
          return text_of(reader_.read(size));
        case 1:
          return text_of(reader_.readexactly(size));
        case 2:
          return text_of(reader_.readline());
        case 3:
          return text_of(reader_.readuntil(separators));
        case 4:
          return text_of(reader_.readuntil(separators.front()));
        case 5:
          return at_end ? text_of(reader_.read()) : text_of(reader_.read(size));
        default:
          return text_read_into(reader_, size);
      }
    }());
    loop_.run_once(Duration::zero());

    std::optional<std::string> wanted = expected();
    while (!wanted) {
      EXPECT_FALSE(task.done()) << "kind " << kind << ", size " << size;
      if (task.done()) return;
      if (random_.chance(1, 10)) {  // Consumes nothing.
        if (random_.chance(1, 2)) feed_some();
        task.cancel();
        for (int i = 0; i < 3; ++i) loop_.run_once(Duration::zero());
        EXPECT_TRUE(task.done());
        return;
      }
      feed_some();
      loop_.run_once(Duration::zero());
      wanted = expected();
    }
    for (int i = 0; i < 3; ++i) loop_.run_once(Duration::zero());
    EXPECT_TRUE(task.done()) << "kind " << kind << ", size " << size;
    if (task.done()) {
      EXPECT_EQ(task.result(), *wanted) << "kind " << kind << ", size " << size;
    }
  }

  EventLoop& loop_;
  SeededRandom random_;
  std::size_t limit_;
  bool ended_ = false;
  Model model_;
  StreamReader reader_;
};

TEST(ReaderRandom, AgreesWithANaiveModel) {
  const char* chosen = std::getenv("ASTER_TEST_SEED");
  const std::uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const std::uint64_t last = chosen != nullptr ? first : first + 199;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("ASTER_TEST_SEED=" + std::to_string(seed));
    Net net;
    Game(net.loop(), seed).play();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace aster::net_tests
