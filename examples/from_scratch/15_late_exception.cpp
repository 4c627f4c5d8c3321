// SPDX-License-Identifier: MIT
// An exception waits in its task until somebody asks: late, or at once in a callback.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>

using namespace std::chrono_literals;

aster::Coroutine<> fails() {
  std::cout << "  failing now\n";
  throw std::runtime_error("no");
  co_return;
}

aster::Coroutine<> amain() {
  auto late = aster::create_task(fails());
  co_await aster::sleep(20ms);
  std::cout << "20 ms later nobody has noticed\n";
  try {
    co_await late;
  } catch (const std::runtime_error& error) {
    std::cout << "the await throws: " << error.what() << '\n';
  }

  auto soon = aster::create_task(fails());
  soon.add_done_callback([](aster::Task<> done) {
    std::cout << "the callback sees: " << aster::describe(done.exception()) << '\n';
  });
  co_await aster::sleep(20ms);
  std::cout << "20 ms later\n";
}

int main() { return aster::main(amain()); }
