// SPDX-License-Identifier: MIT
// StreamReader alone, filled by hand.
#include "net/net_fixture.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace aster::net_tests {
namespace {

class Reader : public ::testing::Test {
 protected:
  /// The text that a read gives, or the description of its error.
  template <class A>
  std::string outcome_of(A read) {
    return net.run(text_of(std::move(read)));
  }
  template <class A>
  static Coroutine<std::string> text_of(A read) {
    auto result = co_await outcome(std::move(read));
    co_return result.has_value() ? result.value() : describe(result.exception());
  }

  Net net;
  StreamReader reader;
};

TEST_F(Reader, NeedsAPositiveLimit) {  // ST-4
  EXPECT_THROW(StreamReader(0), ValueError);
}

TEST_F(Reader, ReadGivesWhatIsThereAndAtMostAsMuchAsWanted) {  // ST-5
  reader.feed_data("abcdef");

  EXPECT_EQ(outcome_of(reader.read(4)), "abcd");
  EXPECT_EQ(outcome_of(reader.read(4)), "ef");
}

TEST_F(Reader, ReadOfNothingIsEmptyAtOnce) {  // ST-5
  EXPECT_EQ(outcome_of(reader.read(0)), "");
  reader.feed_data("x");
  EXPECT_EQ(outcome_of(reader.read(0)), "");
  EXPECT_EQ(outcome_of(reader.readexactly(0)), "");
}

TEST_F(Reader, ReadWithoutSizeWaitsForTheEnd) {  // ST-5
  auto task = net.loop().create_task(text_of(reader.read()));
  reader.feed_data("abc");
  net.turns(3);
  EXPECT_FALSE(task.done());

  reader.feed_data("def");
  reader.feed_eof();

  EXPECT_EQ(net.run(task), "abcdef");
  EXPECT_EQ(outcome_of(reader.read()), "");
}

TEST_F(Reader, BufferedDataComesBeforeTheEnd) {  // ST-24
  reader.feed_data("abc");
  reader.feed_eof();

  EXPECT_FALSE(reader.at_eof());  // ST-11
  EXPECT_EQ(outcome_of(reader.read(2)), "ab");
  EXPECT_FALSE(reader.at_eof());
  EXPECT_EQ(outcome_of(reader.read(2)), "c");
  EXPECT_TRUE(reader.at_eof());
  EXPECT_EQ(outcome_of(reader.read(2)), "");
}

TEST_F(Reader, ReadlineGivesLinesThenTheRestThenNothing) {  // ST-6
  reader.feed_data("one\ntwo\n\nthree");
  reader.feed_eof();

  EXPECT_EQ(outcome_of(reader.readline()), "one\n");
  EXPECT_EQ(outcome_of(reader.readline()), "two\n");
  EXPECT_EQ(outcome_of(reader.readline()), "\n");
  EXPECT_EQ(outcome_of(reader.readline()), "three");
  EXPECT_EQ(outcome_of(reader.readline()), "");
}

TEST_F(Reader, ReadexactlyNamesWhatIsMissing) {  // ST-7
  reader.feed_data("abc");
  reader.feed_eof();
  std::string partial;
  std::optional<std::size_t> expected;

  try {
    net.run(reader.readexactly(5));
  } catch (const IncompleteReadError& error) {
    partial = error.partial();
    expected = error.expected();
  }

  EXPECT_EQ(partial, "abc");
  EXPECT_EQ(expected, 5U);
  EXPECT_TRUE(reader.at_eof());  // It was consumed.
}

TEST_F(Reader, ReadexactlyKnowsNoLimit) {  // ST-9
  StreamReader narrow(4);
  narrow.feed_data("abcdefghijkl");

  EXPECT_EQ(outcome_of(narrow.readexactly(10)), "abcdefghij");
  EXPECT_EQ(outcome_of(narrow.read(10)), "kl");
}

TEST_F(Reader, ReaduntilIncludesItsSeparator) {  // ST-8
  reader.feed_data("a--b--c");

  EXPECT_EQ(outcome_of(reader.readuntil("--")), "a--");
  EXPECT_EQ(outcome_of(reader.readuntil("--")), "b--");
}

TEST_F(Reader, ReaduntilAtTheEndGivesThePartialInItsError) {  // ST-8
  reader.feed_data("abc-");
  reader.feed_eof();
  std::string partial;
  std::optional<std::size_t> expected = 1;

  try {
    net.run(reader.readuntil("--"));
  } catch (const IncompleteReadError& error) {
    partial = error.partial();
    expected = error.expected();
  }

  EXPECT_EQ(partial, "abc-");
  EXPECT_EQ(expected, std::nullopt);
  EXPECT_TRUE(reader.at_eof());
}

TEST_F(Reader, SeparatorsMustNotBeEmpty) {  // ST-8
  const std::vector<std::string_view> none;
  const std::vector<std::string_view> with_empty{"a", ""};

  EXPECT_THROW(static_cast<void>(reader.readuntil("")), ValueError);
  EXPECT_THROW(static_cast<void>(reader.readuntil(none)), ValueError);
  EXPECT_THROW(static_cast<void>(reader.readuntil(with_empty)), ValueError);
}

TEST_F(Reader, TheSeparatorThatEndsFirstWins) {  // ST-8
  const std::vector<std::string_view> separators{"BCDE", "D", "\r\n"};
  reader.feed_data("aBCDEf");
  EXPECT_EQ(outcome_of(reader.readuntil(separators)), "aBCD");

  const std::vector<std::string_view> nested{"xyz", "y"};
  reader.feed_data("..xyz");
  EXPECT_EQ(outcome_of(reader.readuntil(nested)), "Ef..xy");
}

TEST_F(Reader, SeparatorsAreCopiedBeforeTheCallReturns) {  // Ground rule: ownership.
  std::string separator = "ab";
  std::vector<std::string_view> list{separator};
  auto read = reader.readuntil(list);
  separator = "xy";
  reader.feed_data("1xy2ab");

  EXPECT_EQ(outcome_of(std::move(read)), "1xy2ab");
}

TEST_F(Reader, ASeparatorIsFoundAcrossEveryBorderOfTwoPieces) {  // ST-8
  const std::string text = "ab--abc---c--";  // "---" holds "--" at its first place.
  for (std::size_t split = 0; split <= text.size(); ++split) {
    StreamReader each;
    auto task = net.loop().create_task([](StreamReader from) -> Coroutine<std::string> {
      std::string all;
      for (int i = 0; i < 3; ++i) {
        std::string one = co_await from.readuntil("--");
        all += one + "|";
      }
      co_return all;
    }(each));
    net.turns(1);

    each.feed_data(std::string_view(text).substr(0, split));
    net.turns(3);
    each.feed_data(std::string_view(text).substr(split));

    EXPECT_EQ(net.run(task), "ab--|abc--|-c--|") << "split at " << split;
  }
}

TEST_F(Reader, ALongSeparatorIsFoundWhenFedByteByByte) {  // ST-8
  const std::vector<std::string_view> separators{"SEPARATOR", "SEQ"};
  const std::string text = "someSEPARATSEPARASEPARATOR";
  auto task = net.loop().create_task(text_of(reader.readuntil(separators)));

  for (const char byte : text) {
    EXPECT_FALSE(task.done());
    reader.feed_data({&byte, 1});
    net.turns(2);
  }

  EXPECT_EQ(net.run(task), text);
}

TEST_F(Reader, OverrunWithoutSeparatorKeepsTheBytes) {  // ST-8
  StreamReader narrow(4);
  narrow.feed_data("abcdef");
  std::size_t consumed = 0;

  try {
    net.run(narrow.readuntil("--"));
  } catch (const LimitOverrunError& error) {
    consumed = error.consumed();
  }

  EXPECT_EQ(consumed, 5U);  // All that certainly begins no separator.
  EXPECT_EQ(outcome_of(narrow.read(10)), "abcdef");
}

TEST_F(Reader, OverrunWithSeparatorKeepsTheBytes) {  // ST-8
  StreamReader narrow(4);
  narrow.feed_data("abcdefg--h");
  std::size_t consumed = 0;

  try {
    net.run(narrow.readuntil("--"));
  } catch (const LimitOverrunError& error) {
    consumed = error.consumed();
  }

  EXPECT_EQ(consumed, 7U);
  EXPECT_EQ(outcome_of(narrow.read(20)), "abcdefg--h");
}

TEST_F(Reader, AChunkAsLongAsTheLimitIsStillAllowed) {  // ST-9
  StreamReader narrow(4);
  narrow.feed_data("abcd--");
  EXPECT_EQ(outcome_of(narrow.readuntil("--")), "abcd--");

  narrow.feed_data("efgh\n");
  EXPECT_EQ(outcome_of(narrow.readline()), "efgh\n");
}

TEST_F(Reader, ALineOverTheLimitIsSkippedWithItsNewline) {  // ST-6
  StreamReader narrow(4);
  narrow.feed_data("abcdef\nok\n");

  EXPECT_EQ(outcome_of(narrow.readline()),
            "aster::ValueError: readline: Separator is found, but chunk is longer than limit");
  EXPECT_EQ(outcome_of(narrow.readline()), "ok\n");
}

TEST_F(Reader, AnEndlessLineIsDropped) {  // ST-6
  StreamReader narrow(4);
  narrow.feed_data("abcdef");

  EXPECT_EQ(outcome_of(narrow.readline()),
            "aster::ValueError: readline: Separator is not found, and chunk exceed the limit");
  narrow.feed_data("gh\n");
  EXPECT_EQ(outcome_of(narrow.readline()), "gh\n");
}

TEST_F(Reader, ReadIntoFillsWhatItIsGiven) {
  std::array<char, 4> target{};
  reader.feed_data("abcdef");

  EXPECT_EQ(net.run(reader.read_into(target)), 4U);
  EXPECT_EQ(std::string_view(target.data(), 4), "abcd");
  EXPECT_EQ(net.run(reader.read_into(target)), 2U);
  EXPECT_EQ(std::string_view(target.data(), 2), "ef");

  EXPECT_EQ(net.run(reader.read_into(std::span<char>())), 0U);
  reader.feed_eof();
  EXPECT_EQ(net.run(reader.read_into(target)), 0U);
}

TEST_F(Reader, FeedingAfterTheEndIsAnError) {  // ST-12
  reader.feed_eof();
  EXPECT_THROW(reader.feed_data("x"), RuntimeError);
}

TEST_F(Reader, AnErrorIsThrownByEveryLaterReadEvenWithDataBuffered) {  // ST-12
  reader.feed_data("abc\n");
  EXPECT_EQ(reader.exception(), nullptr);
  reader.set_exception(std::make_exception_ptr(ValueError("broken")));

  EXPECT_EQ(describe(reader.exception()), "aster::ValueError: broken");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(outcome_of(reader.readline()), "aster::ValueError: broken");
    EXPECT_EQ(outcome_of(reader.read(1)), "aster::ValueError: broken");
    EXPECT_EQ(outcome_of(reader.readexactly(1)), "aster::ValueError: broken");
  }
}

TEST_F(Reader, AnErrorWakesTheReadThatWaits) {  // ST-23
  auto task = net.loop().create_task(text_of(reader.readline()));
  net.turns(2);

  reader.set_exception(std::make_exception_ptr(ValueError("broken")));

  EXPECT_EQ(net.run(task), "aster::ValueError: broken");
}

TEST_F(Reader, AReadThatWasWokenByDataGetsItThoughAnErrorFollows) {  // ST-24
  auto task = net.loop().create_task(text_of(reader.readline()));
  net.turns(2);

  reader.feed_data("abc\n");
  reader.set_exception(std::make_exception_ptr(ValueError("broken")));

  EXPECT_EQ(net.run(task), "abc\n");
  EXPECT_EQ(outcome_of(reader.readline()), "aster::ValueError: broken");
}

TEST_F(Reader, ASecondReadWhileOneWaitsIsAnError) {  // ST-13
  auto first = net.loop().create_task(text_of(reader.read(10)));
  net.turns(2);

  const std::string second = outcome_of(reader.read(10));
  reader.feed_data("abc");

  EXPECT_THAT(second, ::testing::HasSubstr(
                          "called while another coroutine is already waiting for incoming data"));
  EXPECT_EQ(net.run(first), "abc");
}

TEST_F(Reader, WhatAReadWasWokenForCannotBeTakenByAnother) {  // ST-13
  auto first = net.loop().create_task(text_of(reader.readexactly(3)));
  net.turns(2);

  // Queued before the first read goes on.
  auto thief = net.loop().create_task(text_of(reader.read(10)));
  reader.feed_data("abc");

  EXPECT_THAT(net.run(thief), ::testing::HasSubstr("already waiting"));
  EXPECT_EQ(net.run(first), "abc");
}

TEST_F(Reader, ACancelledReadLetsAnotherReadAtOnce) {  // CAN-16
  auto first = net.loop().create_task(text_of(reader.readline()));
  net.turns(2);

  first.cancel();
  auto second = net.loop().create_task(text_of(reader.read(10)));
  reader.feed_data("abc\n");

  EXPECT_EQ(net.run(second), "abc\n");
  EXPECT_THAT(net.run(first), ::testing::HasSubstr("CancelledError"));
}

TEST_F(Reader, AReadCancelledAfterItsDataCameConsumesNothing) {  // CAN-16
  auto task = net.loop().create_task(text_of(reader.readline()));
  net.turns(2);

  reader.feed_data("abc\nde");
  task.cancel();

  EXPECT_THAT(net.run(task), ::testing::HasSubstr("CancelledError"));
  EXPECT_EQ(outcome_of(reader.read(10)), "abc\nde");
}

TEST_F(Reader, ADroppedReadIsNoReadAtAll) {
  {
    [[maybe_unused]] auto read = reader.readline();
  }
  reader.feed_data("abc\n");

  EXPECT_EQ(outcome_of(reader.readline()), "abc\n");
}

TEST_F(Reader, AReadMayBeAwaitedAgainForTheNextPiece) {
  reader.feed_data("a\nb\n");
  auto lines = [](StreamReader from) -> Coroutine<std::string> {
    auto line = from.readline();
    std::string both = co_await line;
    both += co_await line;
    co_return both;
  }(reader);

  EXPECT_EQ(net.run(std::move(lines)), "a\nb\n");
}

TEST_F(Reader, WaitForTakesReads) {
  EXPECT_EQ(net.run(error_of(aster::wait_for(reader.readline(), 1s))).substr(0, 19),
            "aster::TimeoutError");
  reader.feed_data("abc\n");
  EXPECT_EQ(net.run(aster::wait_for(reader.readline(), 1s)), "abc\n");
}

TEST_F(Reader, AReadOutlivesTheReader) {
  auto made = std::make_unique<StreamReader>();
  StreamReader feeder = *made;
  auto task = net.loop().create_task(text_of(made->readline()));
  net.turns(2);

  made.reset();
  feeder.feed_data("abc\n");

  EXPECT_EQ(net.run(task), "abc\n");
}

// A quadratic search or move would take minutes.
TEST_F(Reader, FeedingAMegabyteByteByByteIsLinear) {
  StreamReader wide(std::size_t{4} << 20U);
  constexpr std::size_t size = std::size_t{1} << 20U;
  const std::vector<std::string_view> separators{"end", "fin"};
  auto task = net.loop().create_task(text_of(wide.readuntil(separators)));
  net.turns(1);

  for (std::size_t i = 0; i < size; ++i) wide.feed_data("x");
  wide.feed_data("end");
  EXPECT_EQ(net.run(task).size(), size + 3);

  for (std::size_t i = 0; i < size; ++i) wide.feed_data("x");
  auto take_all = [](StreamReader from, std::size_t count) -> Coroutine<std::size_t> {
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      std::string one = co_await from.readexactly(1);
      total += one.size();
    }
    co_return total;
  }(wide, size);
  EXPECT_EQ(net.run(std::move(take_all)), size);
}

}  // namespace
}  // namespace aster::net_tests
