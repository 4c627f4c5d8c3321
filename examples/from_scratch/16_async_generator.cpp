// SPDX-License-Identifier: MIT
// An asynchronous generator: values that must be waited for.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

aster::AsyncGenerator<int> ticks(int count) {
  for (int i = 0; i < count; ++i) {
    co_await aster::sleep(1ms);
    co_yield i;
  }
}

aster::Coroutine<> amain() {
  auto generator = ticks(10);
  while (auto tick = co_await generator.next()) std::cout << *tick << ' ';
  std::cout << '\n';

  const auto squares = [](int tick) { std::cout << tick * tick << ' '; };
  co_await aster::for_each(ticks(10), squares);
  std::cout << '\n';

  const auto all = co_await aster::collect(ticks(10));
  std::cout << "collected " << all.size() << '\n';
}

int main() { return aster::main(amain()); }
