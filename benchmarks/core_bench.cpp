// SPDX-License-Identifier: MIT
// What tasks, callbacks, futures, timers and posts of aster cost inside one process.
// README.md says what each row is; the peers' programs measure the same rows.
#include "measure.hpp"

#include <aster/aster.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using aster::Coroutine;
using aster::Future;
using aster::Task;
using measure::Bench;

// Runs `body` for a tenth of `count` to warm up, then measures `count` of it.
Coroutine<> measured(const Bench& bench, const char* row, long count, Coroutine<> (*body)(long),
                     long unit = 1) {
  if (!bench.wants(row)) co_return;
  count = bench.scaled(count, unit);
  co_await body(std::max(count / 10 / unit, 1L) * unit);
  const measure::Stopwatch watch;
  co_await body(count);
  bench.report(row, count, watch);
}

// Tasks -----------------------------------------------------------------------------

Coroutine<> nothing() { co_return; }

Coroutine<> create_join(long count) {
  for (long i = 0; i < count; ++i) {
    Task<> task = aster::create_task(nothing());
    co_await task;
  }
}

constexpr long batch_size = 10'000;

Coroutine<> create_join_batch(long count) {
  std::vector<Task<>> tasks;
  tasks.reserve(batch_size);
  for (long done = 0; done < count; done += batch_size) {
    for (long i = 0; i < batch_size; ++i) tasks.push_back(aster::create_task(nothing()));
    for (Task<>& task : tasks) co_await task;
    tasks.clear();
  }
}

Coroutine<> sleep_zero(long count) {
  for (long i = 0; i < count; ++i) co_await aster::sleep(0s);
}

template <long task_count>
Coroutine<> switches(long count) {
  std::vector<Task<>> tasks;
  for (long i = 0; i < task_count; ++i) {
    tasks.push_back(aster::create_task(sleep_zero(count / task_count)));
  }
  for (Task<>& task : tasks) co_await task;
}

Coroutine<int> chain(long depth) {
  if (depth <= 1) co_return 1;
  const int below = co_await chain(depth - 1);
  co_return below + 1;
}

template <long depth>
Coroutine<> await_chains(long count) {
  for (long i = 0; i < count / depth; ++i) {
    const int levels = co_await chain(depth);
    measure::keep(levels);
  }
}

// Generators --------------------------------------------------------------------------

aster::Generator<long> count_up() {
  for (long i = 0;; ++i) co_yield i;
}

aster::Generator<long> count_at(long depth) {
  if (depth == 0) co_return;
  auto below = depth > 1 ? count_at(depth - 1) : count_up();
  co_yield aster::yield_from(std::move(below));
}

template <long depth>
Coroutine<> generator_steps(long count) {
  auto numbers = depth > 0 ? count_at(depth) : count_up();
  for (long i = 0; i < count; ++i) measure::keep(numbers.next());
  co_return;
}

aster::AsyncGenerator<long> async_count() {
  for (long i = 0;; ++i) co_yield i;
}

Coroutine<> async_generator_steps(long count) {
  auto numbers = async_count();
  for (long i = 0; i < count; ++i) {
    const auto number = co_await numbers.next();
    measure::keep(*number);
  }
  co_await numbers.aclose();
}

// Contexts ------------------------------------------------------------------------------

// Of a context with ten variables.
Coroutine<> context_copy(long count) {
  static std::deque<aster::ContextVar<long>> variables;
  while (variables.size() < 10) variables.emplace_back("variable", 0);
  for (auto& variable : variables) static_cast<void>(variable.set(1));
  for (long i = 0; i < count; ++i) {
    const aster::Context copy = aster::copy_context();
    measure::keep(copy);
  }
  co_return;
}

// Callbacks and futures ---------------------------------------------------------------

Coroutine<> call_soon(long count) {
  aster::EventLoop& loop = aster::get_running_loop();
  long called = 0;
  for (long i = 1; i <= count; ++i) {
    loop.call_soon([&called] { ++called; });
    if (i % 1000 == 0) co_await aster::yield_now();
  }
  co_await aster::yield_now();
  measure::keep(called);
}

// Gives a result to the future in `slot`, once a turn.
Coroutine<> give(Future<long>& slot, long count) {
  for (long i = 0; i < count; ++i) {
    slot.set_result(i);
    co_await aster::yield_now();
  }
}

Coroutine<> future_handover(long count) {
  aster::EventLoop& loop = aster::get_running_loop();
  Future<long> slot = loop.create_future<long>();
  Task<> giver = aster::create_task(give(slot, count));
  for (long i = 0; i < count; ++i) {
    const long given = co_await slot;
    measure::keep(given);
    slot = loop.create_future<long>();
  }
  co_await giver;
}

// Locks, semaphores and queues ----------------------------------------------------------

Coroutine<> lock_free(long count) {
  aster::Lock lock;
  for (long i = 0; i < count; ++i) {
    auto held = co_await lock.scoped();
    measure::keep(held);
  }
}

// Holds the lock for a turn, again and again: it is always handed over.
Coroutine<> hold(aster::Lock& lock, long count) {
  for (long i = 0; i < count; ++i) {
    co_await lock.acquire();
    co_await aster::yield_now();
    lock.release();
  }
}

Coroutine<> lock_handover(long count) {
  aster::Lock lock;
  Task<> other = aster::create_task(hold(lock, count / 2));
  co_await hold(lock, count / 2);
  co_await other;
}

Coroutine<> take_permits(aster::Semaphore& permits, long count) {
  for (long i = 0; i < count; ++i) {
    co_await permits.acquire();
    permits.release();
  }
}

// One permit that goes round: each that gets it lets the next one in, and queues again.
Coroutine<> semaphore_100(long count) {
  aster::Semaphore permits(1);
  std::vector<Task<>> tasks;
  co_await permits.acquire();
  for (int i = 0; i < 100; ++i) {
    tasks.push_back(aster::create_task(take_permits(permits, count / 100)));
  }
  co_await aster::yield_now();
  permits.release();
  for (Task<>& task : tasks) co_await task;
}

Coroutine<> answer(aster::Queue<long>& asked, aster::Queue<long>& answered, long count) {
  for (long i = 0; i < count; ++i) {
    const long item = co_await asked.get();
    co_await answered.put(item);
  }
}

Coroutine<> queue_round_trip(long count) {
  aster::Queue<long> asked;
  aster::Queue<long> answered;
  Task<> other = aster::create_task(answer(asked, answered, count));
  for (long i = 0; i < count; ++i) {
    co_await asked.put(i);
    const long item = co_await answered.get();
    measure::keep(item);
  }
  co_await other;
}

// Timers --------------------------------------------------------------------------------

Coroutine<> timer_start_cancel(long count) {
  aster::EventLoop& loop = aster::get_running_loop();
  for (long i = 1; i <= count; ++i) {
    loop.call_later(1h, [] {}).cancel();
    if (i % 1000 == 0) co_await aster::yield_now();
  }
}

// With 100,000 timers standing, the oldest is cancelled and a new one started: what a
// server with a timeout on each of its connections does.
Coroutine<> timer_replace_100k(const Bench& bench, const char* row) {
  if (!bench.wants(row)) co_return;
  aster::EventLoop& loop = aster::get_running_loop();
  std::minstd_rand random(1);
  const auto start = [&loop, &random] {
    return loop.call_later(1h + std::chrono::nanoseconds(random() % 1'000'000'000), [] {});
  };
  std::vector<aster::TimerHandle> standing(100'000);
  for (aster::TimerHandle& timer : standing) timer = start();
  const long count = bench.scaled(1'000'000);
  std::size_t next = 0;
  const measure::Stopwatch watch;
  for (long i = 1; i <= count; ++i) {
    standing[next].cancel();
    standing[next] = start();
    next = (next + 1) % standing.size();
    if (i % 1000 == 0) co_await aster::yield_now();
  }
  bench.report(row, count, watch);
  for (aster::TimerHandle& timer : standing) timer.cancel();
}

Coroutine<> sleep_for(std::chrono::nanoseconds delay) { co_await aster::sleep(delay); }

Coroutine<> sleeps(long count) {
  std::minstd_rand random(1);
  std::vector<Task<>> tasks;
  tasks.reserve(static_cast<std::size_t>(count));
  for (long i = 0; i < count; ++i) {
    tasks.push_back(aster::create_task(sleep_for(1ms + 1ns * (random() % 100'000'000))));
  }
  for (Task<>& task : tasks) co_await task;
}

// Other threads --------------------------------------------------------------------------

Coroutine<> thread_post(long count) {
  aster::EventLoop& loop = aster::get_running_loop();
  Future<> all = loop.create_future();
  long called = 0;
  std::thread poster([&loop, &all, &called, count] {
    for (long i = 0; i < count; ++i) {
      loop.call_soon_threadsafe([&all, &called, count] {
        if (++called == count) all.set_result();
      });
    }
  });
  co_await all;
  poster.join();
}

// Posts to a loop that sleeps, and waits until the callback has run; the median.
Coroutine<> thread_post_latency(const Bench& bench, const char* row) {
  if (!bench.wants(row)) co_return;
  aster::EventLoop& loop = aster::get_running_loop();
  Future<> over = loop.create_future();
  std::vector<double> times(static_cast<std::size_t>(bench.scaled(10'000)));
  std::thread poster([&loop, &over, &times] {
    std::atomic<std::size_t> called{0};
    for (std::size_t i = 0; i < times.size(); ++i) {
      const double start = measure::wall_clock();
      loop.call_soon_threadsafe([&called] { called.fetch_add(1, std::memory_order_release); });
      while (called.load(std::memory_order_acquire) <= i) {
      }
      times[i] = measure::wall_clock() - start;
      std::this_thread::sleep_for(20us);
    }
    loop.call_soon_threadsafe([&over] { over.set_result(); });
  });
  co_await over;
  poster.join();
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  bench.report_value(row, times[times.size() / 2]);
}

// Memory -----------------------------------------------------------------------------------

Coroutine<> wait_for_ever(Future<>& never) { co_await never; }

Coroutine<> memory(const Bench& bench) {
  constexpr int task_count = 100'000;
  Future<> never = aster::get_running_loop().create_future();
  const double before = measure::resident_bytes();
  for (int i = 0; i < task_count; ++i) {
    Task<> dropped = aster::create_task(wait_for_ever(never));
  }
  co_await aster::yield_now();
  bench.report_value("memory_per_task", (measure::resident_bytes() - before) / task_count);
  ::_exit(0);  // The tasks would be cancelled one by one.
}

// -------------------------------------------------------------------------------------------

Coroutine<> rows(const Bench& bench) {
  co_await measured(bench, "create_join", 1'000'000, create_join);
  co_await measured(bench, "create_join_batch", 1'000'000, create_join_batch, batch_size);
  co_await measured(bench, "switch_1", 2'000'000, switches<1>);
  co_await measured(bench, "switch_100", 2'000'000, switches<100>, 100);
  co_await measured(bench, "switch_10000", 2'000'000, switches<10'000>, 10'000);
  co_await measured(bench, "await_depth_1", 2'000'000, await_chains<1>);
  co_await measured(bench, "await_depth_10", 2'000'000, await_chains<10>, 10);
  co_await measured(bench, "await_depth_100", 2'000'000, await_chains<100>, 100);
  co_await measured(bench, "await_depth_1000", 2'000'000, await_chains<1000>, 1000);
  co_await measured(bench, "generator_next", 5'000'000, generator_steps<0>);
  co_await measured(bench, "generator_next_depth_1", 5'000'000, generator_steps<1>);
  co_await measured(bench, "generator_next_depth_10", 5'000'000, generator_steps<10>);
  co_await measured(bench, "generator_next_depth_1000", 5'000'000, generator_steps<1000>);
  co_await measured(bench, "async_generator_next", 2'000'000, async_generator_steps);
  co_await measured(bench, "context_copy", 5'000'000, context_copy);
  co_await measured(bench, "call_soon", 1'000'000, call_soon);
  co_await measured(bench, "future_handover", 1'000'000, future_handover);
  co_await measured(bench, "lock_free", 5'000'000, lock_free);
  co_await measured(bench, "lock_handover", 1'000'000, lock_handover, 2);
  co_await measured(bench, "semaphore_100", 1'000'000, semaphore_100, 100);
  co_await measured(bench, "queue_round_trip", 1'000'000, queue_round_trip);
  co_await measured(bench, "timer_start_cancel", 1'000'000, timer_start_cancel);
  co_await timer_replace_100k(bench, "timer_replace_100k");
  co_await measured(bench, "sleep_100k", 100'000, sleeps);
  co_await measured(bench, "thread_post", 500'000, thread_post);
  co_await thread_post_latency(bench, "thread_post_latency");
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("aster", argc, argv);
  return aster::main(bench.is_memory() ? memory(bench) : rows(bench));
}
