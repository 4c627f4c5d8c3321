// SPDX-License-Identifier: MIT
#pragma once

#include <aster/base/config.hpp>
#include <aster/base/function.hpp>
#include <aster/coro/coroutine.hpp>
#include <aster/loop/event_loop.hpp>
#include <aster/loop/runner.hpp>

#include <concepts>
#include <exception>
#include <utility>

namespace aster::inline v0 {

namespace detail {
class WorkerTeam;
}

/// One of the loops of `run_workers`, as the coroutine that runs on it sees it: which
/// one it is, and the way to the others. A handle; copies refer to the same worker, and
/// are valid until `run_workers` returns. Any thread.
class ASTER_API Worker {
 public:
  /// Which one it is, from 0 on; 0 runs in the thread that called `run_workers`.
  [[nodiscard]] int index() const noexcept { return index_; }
  /// How many there are.
  [[nodiscard]] int count() const noexcept;
  /// The loop of worker `index`, for `run_coroutine_threadsafe`, to which it is a
  /// RuntimeError once that worker has ended. ValueError unless 0 <= index < count().
  [[nodiscard]] EventLoop& loop(int index) const;
  /// Ends all workers in an orderly way: their coroutines are cancelled, and
  /// `run_workers` returns.
  void stop() const noexcept;

 private:
  friend class detail::WorkerTeam;
  Worker(detail::WorkerTeam& team, int index) noexcept : team_(&team), index_(index) {}
  detail::WorkerTeam* team_;
  int index_;
};

namespace detail {

using WorkerMain = Function<Coroutine<>(Worker)>;

ASTER_API void run_workers(int count, WorkerMain main);

}  // namespace detail

/// Runs `main(worker)`, or `main()`, on `count` loops, each in a thread of its own (the
/// first in this one), until all have ended: the way to use several cores. A server on
/// each of them shares the port, and the system spreads the connections:
///
///     Coroutine<> serve(Worker) {
///       Server server = co_await start_server(echo, "127.0.0.1", 8888, {.reuse_port = true});
///       co_await server.serve_forever();
///     }
///     int main() { return main_workers(4, serve); }
///
/// The loops share nothing. Work goes from one to another by
/// `run_coroutine_threadsafe(coroutine, worker.loop(2))`, whose result a coroutine awaits
/// by `wrap_future`.
///
/// The first error that leaves a `main` cancels those of the other workers, as do Ctrl-C
/// (in the main thread, as for `run`) and `Worker::stop`; when all have ended, the error
/// is thrown, several as an `ExceptionGroup`, Ctrl-C as `KeyboardInterrupt`. A `main` that
/// just returns leaves the others running; one that has not begun when all are stopped is
/// not called. `main` is called in several threads at once, and lives until the last has
/// ended.
///
/// ValueError for a count below 1, RuntimeError in a thread that runs a loop.
template <class F>
  requires(std::invocable<F&, Worker> || std::invocable<F&>)
void run_workers(int count, F main) {
  detail::run_workers(count, detail::WorkerMain([main = std::move(main)](Worker worker) mutable {
                        if constexpr (std::invocable<F&, Worker>) {
                          return main(worker);
                        } else {
                          static_cast<void>(worker);
                          return main();
                        }
                      }));
}

/// `run_workers` for the `main` function of a program; errors and Ctrl-C end it as they
/// end `aster::main`.
template <class F>
  requires(std::invocable<F&, Worker> || std::invocable<F&>)
int main_workers(int count, F main) {
  try {
    run_workers(count, std::move(main));
    return 0;
  } catch (...) {
    return detail::main_failed(std::current_exception());
  }
}

}  // namespace aster::inline v0
