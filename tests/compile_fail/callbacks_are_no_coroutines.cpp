// SPDX-License-Identifier: MIT
// LOOP-18: a coroutine function posted as a callback would be called and dropped.
#include <aster/loop/event_loop.hpp>

aster::Coroutine<> work() { co_return; }
void callback() {}

void posts(aster::EventLoop& loop) {
  loop.call_soon(callback);
#ifdef WRONG_1
  // ERROR: create_task
  loop.call_soon(work);
#endif
#ifdef WRONG_2
  // ERROR: create_task
  loop.call_later(std::chrono::seconds(1), [] { return work(); });
#endif
#ifdef WRONG_3
  // ERROR: create_task
  loop.call_soon_threadsafe(work);
#endif
  loop.add_signal_handler(15, callback);
#ifdef WRONG_4
  // ERROR: create_task
  loop.add_signal_handler(15, work);  // SIG-2
#endif
}
