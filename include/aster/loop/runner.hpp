// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/policy.hpp>
#include <aster/task/ensure_future.hpp>

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace aster::inline v0 {

namespace detail {
class WorkerTeam;
}

/// Makes a loop: from a function or a lambda without captures that gives a
/// `std::shared_ptr` or `std::unique_ptr` to an `EventLoop`.
class LoopFactory {
 public:
  /// The default kind of loop, made current for this thread as well.
  constexpr LoopFactory() noexcept = default;
  template <class F>
    requires(std::is_default_constructible_v<F> && std::is_empty_v<F> && std::invocable<F&>)
  // NOLINTNEXTLINE(google-explicit-constructor): a lambda is a factory.
  constexpr LoopFactory(F) noexcept
      : make_([](void (*)()) -> std::shared_ptr<EventLoop> { return F()(); }) {}
  template <class Loop>
  // NOLINTNEXTLINE(google-explicit-constructor): a function is a factory.
  LoopFactory(Loop (*function)()) noexcept
      : make_([](void (*erased)()) -> std::shared_ptr<EventLoop> {
          return reinterpret_cast<Loop (*)()>(erased)();
        }),
        function_(reinterpret_cast<void (*)()>(function)) {}

  /// True when a factory was given.
  [[nodiscard]] explicit constexpr operator bool() const noexcept { return make_ != nullptr; }
  /// A new loop; there must be a factory.
  [[nodiscard]] std::shared_ptr<EventLoop> operator()() const { return make_(function_); }

 private:
  std::shared_ptr<EventLoop> (*make_)(void (*)()) = nullptr;
  void (*function_)() = nullptr;
};

/// Options of `run` and `Runner`.
struct RunOptions {
  /// Debug mode; empty: as `ASTER_DEBUG` says.
  std::optional<bool> debug = {};
  /// Makes the loop, once; by default `new_event_loop`.
  LoopFactory loop_factory = {};
  /// Where the loop was made, for reports.
  std::source_location source = std::source_location::current();
};

/// Runs several main coroutines on one loop, one after the other: the counterpart
/// of asyncio.Runner.
///
///     Runner runner{{.debug = true}};
///     int a = runner.run(first());
///     runner.run(second());
///
/// All run in one context, a copy of the current one as it was at the first run.
///
/// The loop is made at first need and finished by `close` or the destructor (which
/// logs what `close` would throw). Finishing cancels the tasks that are left, waits
/// for them, shuts down generators and the default executor, closes the loop.
///
/// Ctrl-C on the main thread, when no handler of the program's own is installed:
/// the first cancels the main task, so that cleanup runs, and `run` then throws
/// `KeyboardInterrupt`; a second one leaves at once.
class ASTER_API Runner {
 public:
  /// Makes nothing yet.
  explicit Runner(RunOptions options = {}) noexcept : options_(options) {}
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner();

  /// Runs `main` until it ends and gives its result. RuntimeError while a loop runs
  /// in this thread, before anything is started, and after `close`.
  template <class A>
    requires(awaitable<A>)
  auto run(A&& main, std::source_location source = std::source_location::current())
      -> await_result_t<A> {
    check("run");
    get_loop();
    return run(std::forward<A>(main), *context_, source);
  }
  /// The same in `context`.
  template <class A>
    requires(awaitable<A>)
  auto run(A&& main, const Context& context,
           std::source_location source = std::source_location::current()) -> await_result_t<A> {
    check("run");
    const TaskOptions options{.context = &context, .source = source};
    auto task = get_loop().create_task(detail::as_coroutine(std::forward<A>(main)), options);
    run_task(detail::Access::state(task));
    return task.take();
  }

  /// The loop; made now if need be. RuntimeError after `close`.
  EventLoop& get_loop();

  /// Finishes as described above; nothing when the loop was never made or is
  /// closed.
  void close();

 private:
  friend class detail::WorkerTeam;
  void check(const char* call) const;
  void run_task(detail::FutureBase& task);

  RunOptions options_;
  std::shared_ptr<EventLoop> loop_;
  std::optional<Context> context_;  // Made with the loop.
  bool closed_ = false;
  bool made_current_ = false;
};

/// Runs `main` on a new loop until it ends, finishes the loop, and gives the result
/// or throws the exception: the counterpart of asyncio.run. RuntimeError inside a
/// running loop; `main` is then not started.
///
///     int result = aster::run(amain(), {.debug = true});
template <class A>
  requires(awaitable<A>)
auto run(A&& main, RunOptions options = {}) -> await_result_t<A> {
  Runner runner(options);
  using T = await_result_t<A>;
  // An error of finishing the loop is thrown too, unless main has failed.
  if constexpr (std::is_void_v<T>) {
    runner.run(std::forward<A>(main), options.source);
    runner.close();
  } else if constexpr (std::is_reference_v<T>) {
    T result = runner.run(std::forward<A>(main), options.source);
    runner.close();
    return result;
  } else {
    auto result = runner.run(std::forward<A>(main), options.source);
    runner.close();
    return result;
  }
}

namespace detail {
/// Ends the process as `main` describes.
ASTER_API int main_failed(const std::exception_ptr& error) noexcept;
}  // namespace detail

/// `run` for the `main` function of a program: an exception ends in one line on
/// stderr and status 1, Ctrl-C ends the process by SIGINT's default action once
/// cleanup is done, and a `Coroutine<int>` gives the status.
///
///     int main() { return aster::main(amain()); }
template <class A>
  requires(awaitable<A>)
int main(A&& amain, RunOptions options = {}) {
  try {
    if constexpr (std::is_integral_v<await_result_t<A>>) {
      return static_cast<int>(run(std::forward<A>(amain), options));
    } else {
      run(std::forward<A>(amain), options);
      return 0;
    }
  } catch (...) {
    return detail::main_failed(std::current_exception());
  }
}

}  // namespace aster::inline v0
