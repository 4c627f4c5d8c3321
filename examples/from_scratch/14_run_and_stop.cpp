// SPDX-License-Identifier: MIT
// A loop by hand: run_until_complete, then run_forever until somebody stops it.
#include <aster/aster.hpp>

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

aster::Coroutine<int> work() {
  co_await aster::sleep(10ms);
  co_return 1;
}

int main() {
  auto loop = aster::new_event_loop();
  std::cout << "run_until_complete gives " << loop->run_until_complete(work()) << '\n';

  int ticks = 0;
  aster::Function<void()> tick = [&] {
    std::cout << "tick " << ++ticks << '\n';
    if (ticks == 3) {
      loop->stop();
    } else {
      loop->call_later(5ms, [&] { tick(); });
    }
  };
  loop->call_soon([&] { tick(); });
  loop->run_forever();
  std::cout << "stopped, closed: " << std::boolalpha << loop->is_closed() << '\n';
  loop->close();
}
