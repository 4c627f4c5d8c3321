// SPDX-License-Identifier: MIT
#include <aster/coro/generator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <new>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace aster {
namespace {

using std::logic_error;
using std::string;
using testing::ElementsAre;

struct Flag {
  bool& flag;
  explicit Flag(bool& to) : flag(to) {}
  Flag(const Flag&) = delete;
  Flag& operator=(const Flag&) = delete;
  ~Flag() { flag = true; }
};

Generator<int> count_to(int n) {
  for (int i = 1; i <= n; ++i) co_yield i;
}

TEST(Generator, RunsNothingBeforeItIsAsked) {
  bool started = false;
  auto body = [&]() -> Generator<int> {
    started = true;
    co_yield 1;
  };
  auto g = body();
  EXPECT_FALSE(started);
  EXPECT_EQ(g.next(), 1);
  EXPECT_TRUE(started);
}

TEST(Generator, GivesItsValuesThenStopIteration) {
  // The classic explanation: 1, 2, StopIteration (EX-12).
  auto g = count_to(2);
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.next(), 2);
  EXPECT_THROW(g.next(), StopIteration);
  EXPECT_FALSE(g);
  EXPECT_THROW(g.next(), StopIteration);
}

TEST(Generator, StopIterationCarriesWhatWasReturned) {
  auto body = []() -> Generator<int, void, string> {
    co_yield 1;
    co_return "abc";
  };
  auto g = body();
  g.next();
  try {
    g.next();
    FAIL();
  } catch (const StopIteration& stop) {  // EX-12
    ASSERT_TRUE(stop.has_value());
    EXPECT_EQ(stop.value<string>(), "abc");
    EXPECT_THROW(static_cast<void>(stop.value<int>()), TypeError);
    const StopIteration copy = stop;
    EXPECT_EQ(copy.value<string>(), "abc");
  }
  try {
    g.next();
    FAIL();
  } catch (const StopIteration& stop) {
    EXPECT_FALSE(stop.has_value());
    EXPECT_THROW(static_cast<void>(stop.value<string>()), TypeError);
  }
}

TEST(Generator, SendsPrintsAndYieldsTheNext) {
  string printed;
  auto body = [&]() -> Generator<int, string> {
    const string val = co_yield 1;
    printed = val;
    co_yield 2;
  };
  auto g = body();
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.send("abc"), 2);
  EXPECT_EQ(printed, "abc");
}

TEST(Generator, NextSendsADefaultConstructedValue) {
  auto body = []() -> Generator<int, int> {
    int sum = 7;
    for (;;) sum += co_yield sum;
  };
  auto g = body();
  EXPECT_EQ(g.next(), 7);
  EXPECT_EQ(g.next(), 7);
  EXPECT_EQ(g.send(3), 10);
}

TEST(Generator, RefusesAValueBeforeItsFirstYield) {
  auto body = []() -> Generator<int, int> { co_yield co_yield 1; };
  auto g = body();
  EXPECT_THROW(g.send(5), TypeError);
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.send(5), 5);
}

TEST(Generator, ThrowSurfacesAtTheYield) {
  auto body = []() -> Generator<string> {
    string caught;
    try {
      co_yield "a";
    } catch (const logic_error& error) {
      caught = error.what();
    }
    co_yield caught;
  };
  auto g = body();
  g.next();
  EXPECT_EQ(g.throw_(logic_error("x")), "x");
  EXPECT_THROW(g.throw_(std::make_exception_ptr(logic_error("y"))), logic_error);
  EXPECT_FALSE(g);
  EXPECT_THROW(g.throw_(logic_error("late")), logic_error);
}

TEST(Generator, AnErrorOfTheBodyLeavesNextAndEndsIt) {
  bool destroyed = false;
  auto body = [&]() -> Generator<int> {
    const Flag flag(destroyed);
    co_yield 1;
    throw logic_error("x");
  };
  auto g = body();
  g.next();
  EXPECT_THROW(g.next(), logic_error);
  EXPECT_TRUE(destroyed);
  EXPECT_THROW(g.next(), StopIteration);
}

TEST(Generator, CloseThrowsGeneratorExitAndGivesWhatIsReturned) {
  auto body = [](bool returns) -> Generator<int, void, int> {
    try {
      co_yield 1;
    } catch (const GeneratorExit&) {  // EX-13
      if (!returns) throw;
    }
    co_return 5;
  };
  auto g = body(true);
  g.next();
  EXPECT_EQ(g.close(), 5);
  EXPECT_EQ(g.close(), std::nullopt);
  g = body(false);
  g.next();
  EXPECT_EQ(g.close(), std::nullopt);
  g = body(true);
  EXPECT_EQ(g.close(), std::nullopt);
  EXPECT_FALSE(g);
}

TEST(Generator, GeneratorExitIsNoStandardException) {
  auto body = []() -> Generator<int> {
    try {
      co_yield 1;
    } catch (const std::exception&) {
      ADD_FAILURE();
    }
  };
  auto g = body();
  g.next();
  g.close();  // EX-13
  EXPECT_FALSE(g);
}

TEST(Generator, IgnoringCloseIsAnError) {
  auto body = []() -> Generator<int> {
    try {
      co_yield 1;
    } catch (const GeneratorExit&) {
    }
    co_yield 2;
  };
  auto g = body();
  g.next();
  EXPECT_THROW(g.close(), RuntimeError);
  EXPECT_TRUE(g);
  EXPECT_THROW(g.next(), StopIteration);
}

TEST(Generator, DroppingDestroysWithoutGeneratorExit) {
  bool destroyed = false;
  bool thrown = false;
  auto body = [&]() -> Generator<int> {
    const Flag flag(destroyed);
    try {
      co_yield 1;
    } catch (...) {
      thrown = true;
    }
  };
  {
    auto g = body();
    g.next();
  }
  EXPECT_TRUE(destroyed);
  EXPECT_FALSE(thrown);
}

TEST(Generator, WorksInRangeFor) {
  std::vector<int> seen;
  for (const int i : count_to(3)) seen.push_back(i);
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
  for (const int i : count_to(0)) seen.push_back(i);
  EXPECT_EQ(seen.size(), 3U);
}

TEST(Generator, IsAnInputRange) {
  static_assert(std::ranges::input_range<Generator<int>>);
  std::vector<int> seen;
  auto g = count_to(10);
  for (const int i : g | std::views::filter([](int n) { return n % 2 == 0; })) seen.push_back(i);
  EXPECT_THAT(seen, ElementsAre(2, 4, 6, 8, 10));
}

TEST(Generator, RangeForGoesOnWhereItWas) {
  auto g = count_to(4);
  for (const int i : g) {
    if (i == 2) break;
  }
  EXPECT_EQ(g.next(), 3);
}

TEST(Generator, AnErrorLeavesRangeFor) {
  auto body = []() -> Generator<int> {
    co_yield 1;
    throw logic_error("x");
  };
  int seen = 0;
  EXPECT_THROW(for (int i : body()) seen += i;, logic_error);
  EXPECT_EQ(seen, 1);
}

TEST(Generator, TryNextGivesNothingAtTheEnd) {
  auto g = count_to(1);
  EXPECT_EQ(g.try_next(), 1);
  EXPECT_EQ(g.try_next(), std::nullopt);
  EXPECT_EQ(g.try_next(), std::nullopt);
}

TEST(Generator, TrySendGivesNothingAtTheEnd) {
  auto body = []() -> Generator<int, int> { co_yield co_yield 1; };
  auto g = body();
  EXPECT_THROW(g.try_send(5), TypeError);
  g.next();
  EXPECT_EQ(g.try_send(5), 5);
  EXPECT_EQ(g.try_send(6), std::nullopt);
  EXPECT_EQ(g.try_send(7), std::nullopt);
}

TEST(Generator, YieldsMoveOnlyValuesAndReferences) {
  auto pointers = []() -> Generator<std::unique_ptr<int>> {
    co_yield std::make_unique<int>(1);
    auto named = std::make_unique<int>(2);
    co_yield std::move(named);
  };
  auto g = pointers();
  EXPECT_EQ(*g.next(), 1);
  EXPECT_EQ(**g.try_next(), 2);

  std::vector<string> words{"a", "b"};
  auto references = [&]() -> Generator<string&> {
    for (string& word : words) co_yield word;
  };
  for (string& word : references()) word += "!";
  auto r = references();
  EXPECT_EQ(&r.next(), words.data());
  EXPECT_EQ(&r.try_next()->get(), &words[1]);
  EXPECT_EQ(words[1], "b!");
}

TEST(Generator, ALocalThatIsYieldedStaysWhole) {
  auto body = []() -> Generator<string> {
    string text = "a text that is too long for the small string optimisation";
    co_yield text;
    co_yield text;
  };
  auto g = body();
  const string first = g.next();
  EXPECT_EQ(g.next(), first);
}

TEST(Generator, ConvertsWhatItYields) {
  auto body = []() -> Generator<std::size_t> {
    co_yield 1;
    co_yield 'a';
  };
  EXPECT_EQ(body().next(), 1U);
  auto pairs = []() -> Generator<std::pair<int, string>> { co_yield {1, "x"}; };
  EXPECT_EQ(pairs().next().second, "x");
}

TEST(Generator, CallingItselfIsAnError) {
  Generator<int>* self = nullptr;
  string caught;
  auto body = [&]() -> Generator<int> {
    try {
      self->next();
    } catch (const ValueError& error) {
      caught = error.what();
    }
    EXPECT_THROW(self->close(), ValueError);
    EXPECT_THROW(self->throw_(logic_error("x")), ValueError);
    co_yield 1;
  };
  auto g = body();
  self = &g;
  g.next();
  EXPECT_EQ(caught, "generator already executing");
}

TEST(Generator, StopIterationOfTheBodyBecomesARuntimeError) {
  auto body = []() -> Generator<int> {
    throw StopIteration();
    co_yield 1;
  };
  EXPECT_THROW(body().next(), RuntimeError);  // EX-12
}

TEST(Generator, MovesWithItsState) {
  auto g = count_to(3);
  g.next();
  Generator<int> h = std::move(g);
  EXPECT_EQ(h.next(), 2);
  EXPECT_THROW(g.next(), StopIteration);  // NOLINT(bugprone-use-after-move)
  h = count_to(1);
  EXPECT_EQ(h.next(), 1);
}

TEST(YieldFrom, TheClassicPairOfInnerAndOuter) {
  std::vector<string> events;
  auto inner = [&]() -> Generator<int, string, string> {
    const string val = co_yield 1;
    events.push_back("inner " + val);
    co_yield 2;
    co_return "3";
  };
  auto outer = [&]() -> Generator<int, string> {
    const string val = co_yield yield_from(inner());
    events.push_back("outer " + val);
    co_yield 4;
  };
  auto g = outer();
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.send("abc"), 2);
  EXPECT_EQ(g.next(), 4);
  EXPECT_THROW(g.next(), StopIteration);
  EXPECT_THAT(events, ElementsAre("inner abc", "outer 3"));
}

TEST(YieldFrom, TakesOneThatHasBegunOrEnded) {
  auto outer = [](Generator<int> inner) -> Generator<int> {
    co_yield yield_from(std::move(inner));
    co_yield 9;
  };
  auto begun = count_to(3);
  begun.next();
  EXPECT_EQ(outer(std::move(begun)).next(), 2);
  auto ended = count_to(0);
  ended.try_next();
  EXPECT_EQ(outer(std::move(ended)).next(), 9);

  auto wants_value = [](Generator<int, void, int> inner) -> Generator<int> {
    co_yield co_yield yield_from(std::move(inner));
  };
  EXPECT_THROW(wants_value(Generator<int, void, int>()).next(), RuntimeError);
}

TEST(YieldFrom, TakesAChainThatHasBegun) {
  std::vector<int> destroyed;
  struct Note {
    std::vector<int>& list;
    int id;
    Note(std::vector<int>& to, int number) : list(to), id(number) {}
    Note(const Note&) = delete;
    Note& operator=(const Note&) = delete;
    ~Note() { list.push_back(id); }
  };
  auto level = [&](int n, const auto& self) -> Generator<int, void, int> {
    const Note note(destroyed, n);
    if (n == 0) {
      co_yield 10;
      co_yield 11;
      co_return 12;
    }
    const int returned = co_yield yield_from(self(n - 1, self));
    co_return returned + 1;
  };
  auto chain = level(3, level);
  EXPECT_EQ(chain.next(), 10);
  auto outer = [](Generator<int, void, int> inner) -> Generator<int> {
    const int returned = co_yield yield_from(std::move(inner));
    co_yield returned;
  };
  {
    auto g = outer(std::move(chain));
    EXPECT_EQ(g.next(), 11);
    EXPECT_EQ(g.next(), 15);
    EXPECT_THAT(destroyed, ElementsAre(0, 1, 2, 3));
  }
  destroyed.clear();
  {
    auto again = level(3, level);
    again.next();
    auto g = outer(std::move(again));
    g.next();
  }
  EXPECT_THAT(destroyed, ElementsAre(0, 1, 2, 3)) << "innermost first";
}

TEST(YieldFrom, MovesTheReturnedValueOut) {
  auto inner = []() -> Generator<int, void, std::unique_ptr<int>> {
    co_yield 1;
    co_return std::make_unique<int>(2);
  };
  auto outer = [&]() -> Generator<int> {
    auto two = co_yield yield_from(inner());
    co_yield *two;
  };
  auto g = outer();
  g.next();
  EXPECT_EQ(g.next(), 2);
}

TEST(YieldFrom, AnErrorOfTheInnerOneCanBeCaughtAroundIt) {
  bool destroyed = false;
  auto inner = [&]() -> Generator<int> {
    const Flag flag(destroyed);
    co_yield 1;
    throw logic_error("x");
  };
  auto outer = [&]() -> Generator<int> {
    bool caught = false;
    try {
      co_yield yield_from(inner());
    } catch (const logic_error&) {
      caught = destroyed;
    }
    if (caught) co_yield 2;
  };
  auto g = outer();
  g.next();
  EXPECT_EQ(g.next(), 2);
}

}  // namespace
}  // namespace aster
