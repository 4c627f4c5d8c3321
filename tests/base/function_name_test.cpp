// SPDX-License-Identifier: MIT
#include <aster/base/function_name.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/coro/promise.hpp>

#include <gtest/gtest.h>

#include <coroutine>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "support/hand_driver.hpp"

namespace aster {
namespace {

/// Suspends, for good.
struct Stop {
  using aster_awaiter = void;
  Stop() noexcept = default;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
    detail::driver_of(handle).suspend();
  }
  void await_resume() const noexcept {}
};

/// The name of a coroutine that suspends at its first await.
template <class T>
std::string name_in(Coroutine<T> coroutine) {
  support::HandDriver<T> driver(std::move(coroutine));
  driver.send();
  return short_function_name(driver.innermost()->await_site());
}

Coroutine<> plain(int) { co_await Stop(); }
template <class T>
Coroutine<std::vector<T>> templated(T value, std::vector<T>) {
  co_await Stop();
  co_return std::vector<T>{value};
}
template <class T>
struct Box {
  Coroutine<> method(void (*)(int)) const& { co_await Stop(); }
  template <class U>
  Coroutine<U> both(U value) noexcept {
    co_await Stop();
    co_return value;
  }
  Coroutine<> operator()(T) const { co_await Stop(); }
  Coroutine<> operator<(int) const { co_await Stop(); }
  static Coroutine<> of_class() { co_await Stop(); }
};

TEST(FunctionName, OfAFunctionIsWithoutTypes) {
  EXPECT_EQ(name_in(plain(1)), "aster::plain");
  EXPECT_EQ(name_in(templated(1, {})), "aster::templated");
}

TEST(FunctionName, OfAMethodNamesTheClassWithoutArguments) {
  const Box<std::pair<int, long>> box;
  Box<int> other;

  EXPECT_EQ(name_in(box.method(nullptr)), "aster::Box::method");
  EXPECT_EQ(name_in(other.both(1)), "aster::Box::both");
  EXPECT_EQ(name_in(Box<char>::of_class()), "aster::Box::of_class");
}

TEST(FunctionName, KeepsTheSymbolOfAnOperator) {
  const Box<int> box;

  EXPECT_EQ(name_in(box(1)), "aster::Box::operator()");
  EXPECT_EQ(name_in(box < 1), "aster::Box::operator<");
}

Coroutine<> free_with_local() {
  struct Local {
    Coroutine<> run() { co_await Stop(); }
  };
  Local local;
  return local.run();
}
template <class F>
Coroutine<> generic(F) {
  co_await Stop();
}

TEST(FunctionName, GoesThroughLambdasAndFunctions) {
  struct Here {
    static auto lambda() {
      return [](int) -> Coroutine<> { co_await Stop(); };
    }
    static auto generic_lambda() {
      return [](auto) -> Coroutine<> { co_await Stop(); };
    }
  };
  EXPECT_EQ(name_in(free_with_local()), "aster::free_with_local::Local::run");
  EXPECT_TRUE(name_in(Here::lambda()(1)).ends_with("::Here::lambda::<lambda>"));
  EXPECT_TRUE(name_in(Here::generic_lambda()(1)).ends_with("::Here::generic_lambda::<lambda>"));
  EXPECT_EQ(name_in(generic([](int, char) {})), "aster::generic");
}

TEST(FunctionName, OfPlainFunctionsHasTheSameForm) {
  const auto name = short_function_name(std::source_location::current());

  EXPECT_TRUE(name.ends_with("_Test::TestBody")) << name;
}

// What the two compilers say, so that each is tested with both.
TEST(FunctionName, IsTheSameForBothCompilers) {
  using detail::shorten_signature;
  EXPECT_EQ(
      shorten_signature("void nn::{anonymous}::K<int>::mem(nn::{anonymous}::K<int>::mem<long int>"
                        "(std::vector<long int>, void (*)(int)) const &::_ZNKR2nn3memILi.Frame*)"),
      "nn::K::mem");
  EXPECT_EQ(shorten_signature("C nn::(anonymous namespace)::K<int>::mem(std::vector<U>, void "
                              "(*)(int)) const & [T = int, U = long]"),
            "nn::K::mem");
  EXPECT_EQ(shorten_signature("void main()::<lambda(auto:3)>::operator()(main()::<lambda(auto:3)>"
                              "::_ZZ4mainENKUlT_E0_clIiEE1CS_.Frame*)"),
            "main::<lambda>");
  EXPECT_EQ(shorten_signature("auto A::f() const::(anonymous class)::operator()(auto) const "
                              "[auto:1 = int]"),
            "A::f::<lambda>");
  EXPECT_EQ(shorten_signature("static std::pair<int (*)(int), long> A::operator->(int)"),
            "A::operator->");
  EXPECT_EQ(shorten_signature("decltype(auto) f(int)"), "f");
  EXPECT_EQ(shorten_signature("aster::v0::Coroutine<> aster::v0::sleep()"), "aster::sleep");
}

TEST(FunctionName, OfWhatIsNoSignatureIsThat) {
  EXPECT_EQ(detail::shorten_signature(""), "");
  EXPECT_EQ(detail::shorten_signature("main"), "main");
  EXPECT_EQ(detail::shorten_signature("<<<((("), "<<<(((");
}

}  // namespace
}  // namespace aster
