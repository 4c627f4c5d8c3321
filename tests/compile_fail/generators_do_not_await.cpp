// SPDX-License-Identifier: MIT
#include <aster/coro/coroutine.hpp>
#include <aster/coro/generator.hpp>

#include <memory>
#include <string>

aster::Coroutine<> work() { co_return; }
aster::Generator<std::string> others();

aster::Generator<int> numbers() {
  co_yield 1;
#ifdef WRONG_1
  // ERROR: AsyncGenerator
  co_await work();
#endif
#ifdef WRONG_2
  // ERROR: same types
  co_yield aster::yield_from(others());
#endif
}

void use() {
  auto generator = numbers();
  generator.next();
#ifdef WRONG_3
  // ERROR: send
  generator.send(1);
#endif
}
