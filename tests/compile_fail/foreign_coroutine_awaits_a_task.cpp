// SPDX-License-Identifier: MIT
#include <aster/coro/coroutine.hpp>
#include <aster/loop/sleep.hpp>
#include <aster/task/task.hpp>

#include <chrono>
#include <coroutine>
#include <exception>

// A coroutine type that knows nothing of aster.
struct Foreign {
  struct promise_type {
    Foreign get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Foreign right() { co_await std::suspend_never(); }

#ifdef WRONG_1
// ERROR: start the work with aster::create_task
Foreign awaits_task(aster::Task<int> task) { co_await task; }
#endif

#ifdef WRONG_2
// ERROR: start the work with aster::create_task
Foreign awaits_coroutine(aster::Coroutine<int> coroutine) { co_await coroutine; }
#endif

#ifdef WRONG_3
// ERROR: start the work with aster::create_task
Foreign awaits_sleep() { co_await aster::sleep(std::chrono::seconds(1)); }
#endif
