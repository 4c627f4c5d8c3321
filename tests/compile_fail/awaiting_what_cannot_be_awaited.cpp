// SPDX-License-Identifier: MIT
#include <aster/coro/coroutine.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>

#include <chrono>
#include <memory>
#include <utility>

using namespace std::chrono_literals;

aster::Coroutine<> right(aster::Future<std::unique_ptr<int>> future) {
  co_await aster::sleep(1s);
  std::unique_ptr<int> pointer = co_await std::move(future);
}

#ifdef WRONG_1
// ERROR: co_await needs a Coroutine, Task, Future
aster::Coroutine<> wrong() { co_await 42; }
#endif

#ifdef WRONG_2
// ERROR: deleted
aster::Coroutine<> wrong() { co_await aster::sleep(1); }
#endif

#ifdef WRONG_3
// ERROR: use co_await std::move\(future\)
aster::Coroutine<> wrong(aster::Future<std::unique_ptr<int>> future) { co_await future; }
#endif

#ifdef WRONG_4
// ERROR: use take\(\) or co_await
int wrong(aster::Future<std::unique_ptr<int>> future) { return *future.result(); }
#endif

#ifdef WRONG_5
// ERROR: cannot hold an rvalue reference
aster::Coroutine<int&&> wrong();
aster::Coroutine<> awaits() { co_await wrong(); }
#endif

#ifdef WRONG_6
// ERROR: deleted
aster::Coroutine<> wrong(aster::Task<int> task) {
  task.set_result();
  co_return;
}
#endif
