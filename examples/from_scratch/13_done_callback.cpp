// SPDX-License-Identifier: MIT
// A callback when a task is done: it is called by the loop, on a later turn.
#include <aster/aster.hpp>

#include <iostream>

aster::Coroutine<int> answer() { co_return 42; }

aster::Coroutine<> amain() {
  auto task = aster::create_task(answer());
  task.add_done_callback(
      [](aster::Task<int> done) { std::cout << "callback: " << done.result() << '\n'; });
  std::cout << "added\n";
  const int value = co_await task;
  std::cout << "awaited: " << value << '\n';
}

int main() { return aster::main(amain()); }
