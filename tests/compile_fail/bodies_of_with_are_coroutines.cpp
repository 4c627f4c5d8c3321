// SPDX-License-Identifier: MIT
#include <aster/coro/with.hpp>
#include <aster/loop/timeout.hpp>
#include <aster/task/task_group.hpp>

#include <chrono>

using namespace std::chrono_literals;

aster::Coroutine<> work() { co_return; }

aster::Coroutine<> right() {
  co_await aster::with(aster::TaskGroup{}, [](aster::TaskGroup& group) -> aster::Coroutine<> {
    group.create_task(work());
    co_return;
  });
  co_await aster::with(aster::timeout(1s), work);
}

#ifdef WRONG_1
// ERROR: body of with must be a coroutine
aster::Coroutine<> wrong() {
  co_await aster::with(aster::TaskGroup{},
                       [](aster::TaskGroup& group) { group.create_task(work()); });
}
#endif

#ifdef WRONG_2
// ERROR: body of with must be a coroutine
aster::Coroutine<> wrong() {
  co_await aster::with(aster::timeout(1s), [](aster::TaskGroup&) { return work(); });
}
#endif
