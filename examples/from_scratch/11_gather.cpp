// SPDX-License-Identifier: MIT
// Two coroutines at once: `gather` waits for both and gives both results.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

aster::Coroutine<int> slow_square(std::string name, int x) {
  std::cout << name << " begins\n";
  co_await aster::sleep(20ms);
  std::cout << name << " ends\n";
  co_return x* x;
}

aster::Coroutine<> amain() {
  auto both = co_await aster::gather(slow_square("first", 3), slow_square("second", 4));
  auto& [nine, sixteen] = both;
  std::cout << nine << " and " << sixteen << '\n';
}

int main() { return aster::main(amain()); }
