// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/executor/executor.hpp>
#include <aster/loop/event_loop.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {

/// A call in a context of its own.
template <class R, class Call>
class ContextCall {
 public:
  ContextCall(Context context, Call call) : context_(std::move(context)), call_(std::move(call)) {}
  R operator()() { return context_.run(std::move(call_)); }
  [[nodiscard]] JobName job_name() const noexcept { return call_.job_name(); }

 private:
  Context context_;
  Call call_;
};

template <class R, class Call>
Coroutine<R> call_in_thread(Call call) {
  ContextCall<R, Call> in_context(copy_context(), std::move(call));
  Future<R> future = get_running_loop().run_in_executor(nullptr, std::move(in_context));
  co_return co_await std::move(future);
}

}  // namespace detail

/// Runs `function(args...)`, which may block, in the default thread pool and gives
/// its result; the loop goes on meanwhile. The counterpart of asyncio.to_thread.
///
///     std::string text = co_await to_thread(read_whole_file, path);
///
/// It runs in a copy of the current context. Function and arguments are copied or moved at the
/// call; nothing is submitted until it is awaited. Cancelled before it begins, the function does
/// not run; later it runs on and its result is dropped. What it throws is thrown here.
template <class F, class... Args>
  requires(std::invocable<std::decay_t<F>, std::decay_t<Args>...>)
auto to_thread(F&& function, Args&&... args)
    -> Coroutine<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> {
  using Call = detail::BoundCallOf<F, Args...>;
  detail::require_plain_function<typename Call::Value>();
  return detail::call_in_thread<typename Call::Value>(
      Call(std::in_place, std::forward<F>(function), std::forward<Args>(args)...));
}

}  // namespace aster::inline v0
