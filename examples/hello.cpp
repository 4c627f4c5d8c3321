// SPDX-License-Identifier: MIT
// Two tasks wait at the same time: the whole takes one second, not two.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

aster::Coroutine<> say(std::string word) {
  co_await aster::sleep(1s);
  std::cout << word << '\n';
}

aster::Coroutine<> amain() { co_await aster::gather(say("hello"), say("world")); }

int main() { return aster::main(amain()); }
