// SPDX-License-Identifier: MIT
#include "base/debug_text.hpp"

#include <aster/base/error.hpp>

#include <gtest/gtest.h>

#include <netdb.h>

#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace aster {
namespace {

template <class... E>
constexpr bool copy_without_throwing = (std::is_nothrow_copy_constructible_v<E> && ...);

// An exception is rethrown at every level of an await chain.
static_assert(copy_without_throwing<Error, ValueError, TypeError, RuntimeError, TimeoutError,
                                    InvalidStateError, SendfileNotAvailableError>);
static_assert(copy_without_throwing<IncompleteReadError, LimitOverrunError, StopAsyncIteration,
                                    BrokenExecutor, BrokenThreadPool, ExceptionGroup>);
static_assert(
    copy_without_throwing<CancelledError, BaseError, KeyboardInterrupt, SystemExit, GeneratorExit>);

// EX-1: a handler for ordinary errors does not swallow a cancellation.
static_assert(!std::is_base_of_v<std::exception, CancelledError>);
static_assert(!std::is_base_of_v<std::exception, BaseError>);
static_assert(!std::is_base_of_v<std::exception, GeneratorExit>);
static_assert(std::is_base_of_v<std::runtime_error, Error>);
static_assert(std::is_base_of_v<RuntimeError, SendfileNotAvailableError>);  // EX-4
static_assert(std::is_base_of_v<BaseError, KeyboardInterrupt>);             // EX-14
static_assert(std::is_base_of_v<BaseError, SystemExit>);

template <class E>
std::exception_ptr make(E error) {
  return std::make_exception_ptr(std::move(error));
}

std::vector<std::string> texts(const ExceptionGroup& group) {
  std::vector<std::string> result;
  for (const std::exception_ptr& error : group.exceptions()) result.push_back(describe(error));
  return result;
}

using Texts = std::vector<std::string>;

TEST(TimeoutError, HasATextOfItsOwn) { EXPECT_STREQ(TimeoutError().what(), "timed out"); }

TEST(CancelledError, CarriesTheMessageOfCancel) {
  EXPECT_EQ(CancelledError("why").message(), "why");
  EXPECT_STREQ(CancelledError("why").what(), "why");
}

TEST(CancelledError, HasAnEmptyTextByDefault) { EXPECT_STREQ(CancelledError().what(), ""); }

TEST(CancelledError, CopiesShareTheText) {
  const CancelledError first("a text too long for a small string, as such things are");

  const CancelledError second = first;

  EXPECT_EQ(first.what(), second.what());
}

TEST(IncompleteReadError, TellsWhatArrivedAndWhatWasWanted) {
  const IncompleteReadError error("abc", 10);  // EX-5

  EXPECT_EQ(error.partial(), "abc");
  EXPECT_EQ(error.expected(), std::optional<std::size_t>(10));
}

TEST(IncompleteReadError, HasNoExpectedNumberWhenASeparatorWasWanted) {
  EXPECT_EQ(IncompleteReadError("abc", std::nullopt).expected(), std::nullopt);
}

TEST(LimitOverrunError, TellsHowMuchMayBeSkipped) {
  EXPECT_EQ(LimitOverrunError("too long", 77).consumed(), 77U);  // EX-6
}

TEST(SystemExit, CarriesTheStatus) { EXPECT_EQ(SystemExit(3).status(), 3); }

TEST(ExceptionGroup, NeedsAtLeastOneException) {
  EXPECT_THROW(ExceptionGroup("none", {}), ValueError);
}

TEST(ExceptionGroup, TellsItsMessageAndItsMembersInOrder) {
  const ExceptionGroup group("two", {make(ValueError("v")), make(TypeError("t"))});  // EX-9

  EXPECT_EQ(group.message(), "two");
  EXPECT_EQ(texts(group), (Texts{"aster::ValueError: v", "aster::TypeError: t"}));
}

TEST(ExceptionGroup, SaysInWhatHowManyMembersThereAre) {
  EXPECT_STREQ(ExceptionGroup("bad", {make(ValueError("v"))}).what(), "bad (1 sub-exception)");
  EXPECT_STREQ(ExceptionGroup("bad", {make(ValueError("v")), make(ValueError("w"))}).what(),
               "bad (2 sub-exceptions)");
}

TEST(ExceptionGroup, SplitsByTypeAndKeepsTheMessage) {
  const ExceptionGroup group(
      "mixed", {make(ValueError("a")), make(std::logic_error("b")), make(ValueError("c"))});

  auto [values, rest] = group.split<ValueError>();

  ASSERT_TRUE(values && rest);
  EXPECT_EQ(texts(*values), (Texts{"aster::ValueError: a", "aster::ValueError: c"}));
  EXPECT_EQ(texts(*rest), (Texts{"std::logic_error: b"}));
  EXPECT_EQ(values->message(), "mixed");
  EXPECT_EQ(rest->message(), "mixed");
}

TEST(ExceptionGroup, SplitMatchesDerivedTypes) {
  const ExceptionGroup group("g", {make(ValueError("a"))});

  auto [errors, rest] = group.split<Error>();

  EXPECT_TRUE(errors.has_value());
  EXPECT_FALSE(rest.has_value());
}

TEST(ExceptionGroup, SplitKeepsTheShapeOfNestedGroups) {
  const ExceptionGroup inner("inner", {make(ValueError("deep")), make(TypeError("other"))});
  const ExceptionGroup group("outer", {make(inner), make(TypeError("top"))});

  auto [values, rest] = group.split<ValueError>();

  ASSERT_TRUE(values && rest);
  EXPECT_EQ(texts(*values),
            (Texts{"aster::ExceptionGroup: inner (1 sub-exception): aster::ValueError: deep"}));
  EXPECT_EQ(texts(*rest),
            (Texts{"aster::ExceptionGroup: inner (1 sub-exception): aster::TypeError: other",
                   "aster::TypeError: top"}));
}

TEST(ExceptionGroup, SubgroupOfATypeThatIsNotThereIsNothing) {
  const ExceptionGroup group("g", {make(ValueError("a"))});

  EXPECT_FALSE(group.subgroup<TypeError>().has_value());
}

TEST(ExceptionGroup, SubgroupFindsExceptionsWithoutABaseClass) {
  const ExceptionGroup group("g", {make(CancelledError("c")), make(42)});

  EXPECT_TRUE(group.subgroup<CancelledError>().has_value());
  EXPECT_TRUE(group.subgroup<int>().has_value());
}

TEST(CatchGroup, CallsTheHandlerForEachMatchAndGivesTheRest) {
  const ExceptionGroup inner("inner", {make(ValueError("b"))});
  const ExceptionGroup group("g", {make(ValueError("a")), make(inner), make(TypeError("t"))});
  std::string seen;

  auto rest = catch_group<ValueError>(group, [&](const ValueError& e) { seen += e.what(); });

  EXPECT_EQ(seen, "ab");
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(texts(*rest), (Texts{"aster::TypeError: t"}));
}

TEST(CatchGroup, GivesNothingWhenAllMatched) {
  const ExceptionGroup group("g", {make(ValueError("a"))});

  EXPECT_FALSE(catch_group<ValueError>(group, [](const ValueError&) {}).has_value());
}

TEST(CatchGroup, LetsTheHandlersOwnExceptionThrough) {
  const ExceptionGroup group("g", {make(ValueError("a"))});

  EXPECT_THROW(
      catch_group<ValueError>(group, [](const ValueError&) { throw std::logic_error("mine"); }),
      std::logic_error);
}

TEST(Describe, NamesTypeAndText) {
  EXPECT_EQ(describe(make(ValueError("x"))), "aster::ValueError: x");
  EXPECT_EQ(describe(make(std::runtime_error("y"))), "std::runtime_error: y");
  EXPECT_EQ(describe(make(KeyboardInterrupt())), "aster::KeyboardInterrupt: KeyboardInterrupt");
}

TEST(Describe, NamesTheTypeAloneWhenThereIsNoText) {
  EXPECT_EQ(describe(make(CancelledError())), "aster::CancelledError");
  EXPECT_EQ(describe(make(CancelledError("why"))), "aster::CancelledError: why");
}

TEST(Describe, NamesTypesThatAreNoExceptions) {
  EXPECT_EQ(describe(make(42)), "int");
  EXPECT_EQ(describe(nullptr), "no exception");
}

TEST(CauseOf, TellsWhatAnErrorWasMadeOf) {  // EX-15
  std::exception_ptr nested;
  try {
    try {
      throw ValueError("inner");
    } catch (...) {
      std::throw_with_nested(KeyError("outer"));
    }
  } catch (...) {
    nested = std::current_exception();
  }
  const std::exception_ptr timeout = make(TimeoutError(make(CancelledError("why"))));

  EXPECT_EQ(describe(nested), "aster::KeyError: outer");
  EXPECT_EQ(describe(cause_of(nested)), "aster::ValueError: inner");
  EXPECT_EQ(cause_of(cause_of(nested)), nullptr);
  EXPECT_EQ(describe(timeout), "aster::TimeoutError: timed out");
  EXPECT_EQ(describe(cause_of(timeout)), "aster::CancelledError: why");
  EXPECT_EQ(cause_of(make(TimeoutError("late"))), nullptr);
  EXPECT_EQ(cause_of(make(42)), nullptr);
  EXPECT_EQ(cause_of(nullptr), nullptr);
}

TEST(CausesText, NamesAllButTheUsualCancelledError) {
  const std::exception_ptr plain = make(TimeoutError(make(CancelledError())));
  std::exception_ptr error = make(TimeoutError("late", make(CancelledError("stop"))));
  for (int i = 0; i < 2; ++i) {
    try {
      try {
        std::rethrow_exception(error);
      } catch (...) {
        std::throw_with_nested(ValueError(std::to_string(i)));
      }
    } catch (...) {
      error = std::current_exception();
    }
  }

  EXPECT_EQ(detail::causes_text(plain), "");
  EXPECT_EQ(detail::causes_text(error),
            "; caused by aster::ValueError: 0; caused by aster::TimeoutError: late; caused by "
            "aster::CancelledError: stop");
}

TEST(IsBaseError, IsTrueForBaseErrorsOnly) {
  struct Mine : BaseError {};

  EXPECT_TRUE(is_base_error(make(KeyboardInterrupt())));
  EXPECT_TRUE(is_base_error(make(SystemExit(1))));
  EXPECT_TRUE(is_base_error(make(Mine())));
  EXPECT_FALSE(is_base_error(make(CancelledError())));
  EXPECT_FALSE(is_base_error(make(RuntimeError("x"))));
  EXPECT_FALSE(is_base_error(make(42)));
  EXPECT_FALSE(is_base_error(nullptr));
}

TEST(IsCancelledError, IsTrueForItAndForWhatDerivesFromIt) {
  struct Mine : CancelledError {};

  EXPECT_TRUE(is_cancelled_error(make(CancelledError())));
  EXPECT_TRUE(is_cancelled_error(make(Mine())));
  EXPECT_FALSE(is_cancelled_error(make(KeyboardInterrupt())));
  EXPECT_FALSE(is_cancelled_error(make(std::runtime_error("x"))));
  EXPECT_FALSE(is_cancelled_error(nullptr));
}

TEST(GaiCategory, NamesFailuresOfNameLookUps) {
  EXPECT_STREQ(gai_category().name(), "getaddrinfo");
  EXPECT_EQ(gai_category().message(EAI_NONAME), gai_strerror(EAI_NONAME));
}

TEST(SystemErrorPtr, HoldsTheNumberAndNamesTheCall) {
  try {
    std::rethrow_exception(detail::system_error_ptr(ECONNREFUSED, "connect 127.0.0.1:80"));
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::connection_refused);  // EX-10
    EXPECT_STREQ(error.what(), "connect 127.0.0.1:80: Connection refused");
  }
}

}  // namespace
}  // namespace aster
