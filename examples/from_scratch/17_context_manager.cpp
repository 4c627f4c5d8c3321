// SPDX-License-Identifier: MIT
// An asynchronous context manager: enters, lets the body work, and exits in any case.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>

using namespace std::chrono_literals;

class Connection {
 public:
  aster::Coroutine<int> enter() {
    co_await aster::sleep(1ms);
    std::cout << "enter\n";
    co_return 7;
  }
  aster::Coroutine<bool> exit(std::exception_ptr error) {
    co_await aster::sleep(1ms);
    std::cout << "exit" << (error ? " after " + aster::describe(error) : "") << '\n';
    co_return error != nullptr;  // True: the error ends here.
  }
};

aster::Coroutine<> amain() {
  const auto work = [](int number) -> aster::Coroutine<> {
    std::cout << "work with " << number << '\n';
    co_return;
  };
  co_await aster::with(Connection(), work);

  const auto fail = [](int) -> aster::Coroutine<> {
    std::cout << "work fails\n";
    throw std::runtime_error("no");
    co_return;
  };
  co_await aster::with(Connection(), fail);
  std::cout << "goes on\n";
}

int main() { return aster::main(amain()); }
