// SPDX-License-Identifier: MIT
// Two tasks, made first and awaited later: they run at the same time.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

aster::Coroutine<std::string> say_after(std::chrono::milliseconds delay, std::string word) {
  co_await aster::sleep(delay);
  std::cout << word << '\n';
  co_return "said " + word;
}

aster::Coroutine<> amain() {
  auto hello = aster::create_task(say_after(20ms, "hello"), {.name = "hello"});
  auto world = aster::create_task(say_after(40ms, "world"));
  std::cout << "made " << hello.get_name() << ", nothing has run\n";
  std::cout << co_await hello << '\n';
  std::cout << co_await world << '\n';
}

int main() { return aster::main(amain()); }
