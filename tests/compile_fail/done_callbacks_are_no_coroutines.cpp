// SPDX-License-Identifier: MIT
#include <aster/task/task.hpp>

aster::Coroutine<> work(aster::Future<int>) { co_return; }
void callback(const aster::Future<int>&) {}

void adds(aster::Future<int> future, aster::Task<int> task) {
  future.add_done_callback(callback);
  task.add_done_callback(callback);
#ifdef WRONG_1
  // ERROR: give it to create_task
  future.add_done_callback(work);
#endif
#ifdef WRONG_2
  // ERROR: give it to create_task
  task.add_done_callback([](aster::Task<int>) -> aster::Coroutine<> { co_return; });
#endif
}
