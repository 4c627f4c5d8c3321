// SPDX-License-Identifier: MIT
// Step 1: a generator, driven by hand.
#include <aster/coro/generator.hpp>

#include <iostream>
#include <stdexcept>
#include <string>

// Yields ints, is sent strings, returns a string.
aster::Generator<int, std::string, std::string> talk() {
  std::cout << "  talk begins\n";
  const std::string word = co_yield 1;
  std::cout << "  talk was sent " << word << '\n';
  try {
    co_yield 2;
  } catch (const std::runtime_error& error) {
    std::cout << "  talk caught " << error.what() << '\n';
  }
  co_yield 3;
  co_return "abc";
}

aster::Generator<int, std::string, std::string> inner() {
  const std::string word = co_yield 1;
  std::cout << "  inner " << word << '\n';
  co_yield 2;
  co_return "3";
}

aster::Generator<int, std::string> outer() {
  const std::string word = co_yield aster::yield_from(inner());
  std::cout << "  outer " << word << '\n';
  co_yield 4;
}

void show(const char* call, int value) { std::cout << call << " gives " << value << '\n'; }

int main() {
  auto g = talk();
  std::cout << "made, nothing has run\n";
  show("next", g.next());
  show("send", g.send("hello"));
  show("throw", g.throw_(std::runtime_error("oops")));
  try {
    g.next();
  } catch (const aster::StopIteration& stop) {
    std::cout << "StopIteration with " << stop.value<std::string>() << '\n';
  }

  auto both = outer();
  show("next", both.next());
  show("send", both.send("abc"));
  show("next", both.next());
  std::cout << "more: " << std::boolalpha << both.try_next().has_value() << '\n';
}
