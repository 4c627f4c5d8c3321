// SPDX-License-Identifier: MIT
// The rows of core_bench.cpp for Boost.Asio: awaitable<> on the concrete executor, and
// a context without locks where one thread suffices, both of which are its fast forms.
#include "measure.hpp"

#include <utility>  // Boost 1.74 uses it without including it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using boost::system::error_code;
using measure::Bench;

using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;
template <class T = void>
using Awaitable = asio::awaitable<T, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;

Awaitable<> measured(const Bench& bench, Executor executor, const char* row, long count,
                     Awaitable<> (*body)(Executor, long), long unit = 1) {
  if (!bench.wants(row)) co_return;
  count = bench.scaled(count, unit);
  co_await body(executor, std::max(count / 10 / unit, 1L) * unit);
  const measure::Stopwatch watch;
  co_await body(executor, count);
  bench.report(row, count, watch);
}

// Runs `count` times `make(i)` as coroutines of their own and waits until all have ended.
// There is no group to join, so the last one ends the wait of a timer.
template <class Make>
Awaitable<> run_all(Executor executor, long count, Make make) {
  Timer ended(executor, Timer::time_point::max());
  long left = count;
  for (long i = 0; i < count; ++i) {
    asio::co_spawn(executor, make(i), [&ended, &left](std::exception_ptr) {
      if (--left == 0) ended.cancel();
    });
  }
  error_code ignored;
  co_await ended.async_wait(asio::redirect_error(use_awaitable, ignored));
}

// Tasks -----------------------------------------------------------------------------

Awaitable<> nothing() { co_return; }

Awaitable<> create_join(Executor executor, long count) {
  for (long i = 0; i < count; ++i) co_await asio::co_spawn(executor, nothing(), use_awaitable);
}

constexpr long batch_size = 10'000;

Awaitable<> create_join_batch(Executor executor, long count) {
  for (long done = 0; done < count; done += batch_size) {
    co_await run_all(executor, batch_size, [](long) { return nothing(); });
  }
}

Awaitable<> yield(Executor executor, long count) {
  for (long i = 0; i < count; ++i) co_await asio::post(executor, use_awaitable);
}

template <long task_count>
Awaitable<> switches(Executor executor, long count) {
  co_await run_all(executor, task_count,
                   [executor, count](long) { return yield(executor, count / task_count); });
}

Awaitable<int> chain(long depth) {
  if (depth <= 1) co_return 1;
  const int below = co_await chain(depth - 1);
  co_return below + 1;
}

template <long depth>
Awaitable<> await_chains(Executor, long count) {
  for (long i = 0; i < count / depth; ++i) {
    const int levels = co_await chain(depth);
    measure::keep(levels);
  }
}

// Callbacks and futures ---------------------------------------------------------------

Awaitable<> call_soon(Executor executor, long count) {
  long called = 0;
  for (long i = 1; i <= count; ++i) {
    asio::post(executor, [&called] { ++called; });
    if (i % 1000 == 0) co_await asio::post(executor, use_awaitable);
  }
  co_await asio::post(executor, use_awaitable);
  measure::keep(called);
}

// A value that one coroutine waits for, as there is no such type: the completion
// handler is kept and posted with the value.
class Slot {
 public:
  auto take() {
    return asio::async_initiate<decltype(use_awaitable), void(long)>(
        [this](auto handler) {
          waiting_ = std::make_unique<Waiting<decltype(handler)>>(std::move(handler));
        },
        use_awaitable);
  }
  void give(Executor executor, long value) {
    std::exchange(waiting_, nullptr)->complete(executor, value);
  }

 private:
  struct WaitingBase {
    virtual ~WaitingBase() = default;
    virtual void complete(Executor executor, long value) = 0;
  };
  template <class Handler>
  struct Waiting final : WaitingBase {
    explicit Waiting(Handler&& h) : handler(std::move(h)) {}
    void complete(Executor executor, long value) override {
      asio::post(executor, [h = std::move(handler), value]() mutable { h(value); });
    }
    Handler handler;
  };
  std::unique_ptr<WaitingBase> waiting_;
};

Awaitable<> give(Executor executor, Slot& slot, long count) {
  for (long i = 0; i < count; ++i) {
    slot.give(executor, i);
    co_await asio::post(executor, use_awaitable);
  }
}

Awaitable<> take(Slot& slot, long count) {
  for (long i = 0; i < count; ++i) {
    const long given = co_await slot.take();
    measure::keep(given);
  }
}

Awaitable<> future_handover(Executor executor, long count) {
  Slot slot;
  co_await run_all(executor, 2, [executor, count, &slot](long i) {
    return i == 0 ? take(slot, count) : give(executor, slot, count);
  });
}

// Locks, semaphores and queues ----------------------------------------------------------

// Boost 1.74 has no channel and no lock for coroutines. What there is to wait for is a
// timer that never expires: cancelling one wait wakes the task that has waited longest.
class Permits {
 public:
  Permits(Executor executor, long count)
      : count_(count), timer_(executor, Clock::time_point::max()) {}
  Awaitable<> acquire() {
    if (count_ == 0) {
      error_code ignored;
      ++waiting_;
      co_await timer_.async_wait(asio::redirect_error(use_awaitable, ignored));
    } else {
      --count_;
    }
  }
  void release() {
    if (waiting_ == 0) {
      ++count_;
    } else {
      --waiting_;
      timer_.cancel_one();
    }
  }

 private:
  long count_;
  long waiting_ = 0;
  Timer timer_;
};

Awaitable<> lock_free(Executor executor, long count) {
  Permits lock(executor, 1);
  for (long i = 0; i < count; ++i) {
    co_await lock.acquire();
    lock.release();
  }
}

Awaitable<> hold(Executor executor, Permits& lock, long count) {
  for (long i = 0; i < count; ++i) {
    co_await lock.acquire();
    co_await asio::post(executor, use_awaitable);
    lock.release();
  }
}

Awaitable<> lock_handover(Executor executor, long count) {
  Permits lock(executor, 1);
  co_await run_all(executor, 2,
                   [executor, count, &lock](long) { return hold(executor, lock, count / 2); });
}

Awaitable<> take_permits(Permits& permits, long count) {
  for (long i = 0; i < count; ++i) {
    co_await permits.acquire();
    permits.release();
  }
}

Awaitable<> semaphore_100(Executor executor, long count) {
  Permits permits(executor, 0);
  asio::post(executor, [executor, &permits] {  // Once all of them wait.
    asio::post(executor, [&permits] { permits.release(); });
  });
  co_await run_all(executor, 100,
                   [count, &permits](long) { return take_permits(permits, count / 100); });
}

// A queue of one long: a value, and one who waits for it.
Awaitable<> ask(Executor executor, Slot& asked, Slot& answered, long count) {
  for (long i = 0; i < count; ++i) {
    asked.give(executor, i);
    const long item = co_await answered.take();
    measure::keep(item);
  }
}

Awaitable<> answer(Executor executor, Slot& asked, Slot& answered, long count) {
  for (long i = 0; i < count; ++i) {
    const long item = co_await asked.take();
    answered.give(executor, item);
  }
}

Awaitable<> queue_round_trip(Executor executor, long count) {
  Slot asked;
  Slot answered;
  co_await run_all(executor, 2, [executor, count, &asked, &answered](long i) {
    return i == 0 ? answer(executor, asked, answered, count)
                  : ask(executor, asked, answered, count);
  });
}

// Timers --------------------------------------------------------------------------------

Awaitable<> timer_start_cancel(Executor executor, long count) {
  Timer timer(executor);
  for (long i = 1; i <= count; ++i) {
    timer.expires_after(1h);
    timer.async_wait([](error_code) {});
    timer.cancel();
    if (i % 1000 == 0) co_await asio::post(executor, use_awaitable);
  }
}

Awaitable<> timer_replace_100k(const Bench& bench, Executor executor, const char* row) {
  if (!bench.wants(row)) co_return;
  std::minstd_rand random(1);
  const auto start = [&random](Timer& timer) {
    timer.expires_after(1h + std::chrono::nanoseconds(random() % 1'000'000'000));
    timer.async_wait([](error_code) {});
  };
  constexpr std::size_t standing_count = 100'000;
  std::vector<Timer> standing;
  standing.reserve(standing_count);
  for (std::size_t i = 0; i < standing_count; ++i) start(standing.emplace_back(executor));
  const long count = bench.scaled(1'000'000);
  std::size_t next = 0;
  const measure::Stopwatch watch;
  for (long i = 1; i <= count; ++i) {
    start(standing[next]);  // A new expiry cancels the wait for the old one.
    next = (next + 1) % standing_count;
    if (i % 1000 == 0) co_await asio::post(executor, use_awaitable);
  }
  bench.report(row, count, watch);
}

Awaitable<> sleep_for(Executor executor, std::chrono::nanoseconds delay) {
  Timer timer(executor, delay);
  co_await timer.async_wait(use_awaitable);
}

Awaitable<> sleeps(Executor executor, long count) {
  std::minstd_rand random(1);
  co_await run_all(executor, count, [executor, &random](long) {
    return sleep_for(executor, 1ms + 1ns * (random() % 100'000'000));
  });
}

Awaitable<> rows(const Bench& bench, Executor executor) {
  co_await measured(bench, executor, "create_join", 1'000'000, create_join);
  co_await measured(bench, executor, "create_join_batch", 1'000'000, create_join_batch, batch_size);
  co_await measured(bench, executor, "switch_1", 2'000'000, switches<1>);
  co_await measured(bench, executor, "switch_100", 2'000'000, switches<100>, 100);
  co_await measured(bench, executor, "switch_10000", 2'000'000, switches<10'000>, 10'000);
  co_await measured(bench, executor, "await_depth_1", 2'000'000, await_chains<1>);
  co_await measured(bench, executor, "await_depth_10", 2'000'000, await_chains<10>, 10);
  co_await measured(bench, executor, "await_depth_100", 2'000'000, await_chains<100>, 100);
  co_await measured(bench, executor, "await_depth_1000", 2'000'000, await_chains<1000>, 1000);
  co_await measured(bench, executor, "call_soon", 1'000'000, call_soon);
  co_await measured(bench, executor, "future_handover", 1'000'000, future_handover);
  co_await measured(bench, executor, "lock_free", 5'000'000, lock_free);
  co_await measured(bench, executor, "lock_handover", 1'000'000, lock_handover, 2);
  co_await measured(bench, executor, "semaphore_100", 1'000'000, semaphore_100, 100);
  co_await measured(bench, executor, "queue_round_trip", 1'000'000, queue_round_trip);
  co_await measured(bench, executor, "timer_start_cancel", 1'000'000, timer_start_cancel);
  co_await timer_replace_100k(bench, executor, "timer_replace_100k");
  co_await measured(bench, executor, "sleep_100k", 100'000, sleeps);
}

// Other threads --------------------------------------------------------------------------

void thread_post(const Bench& bench, const char* row) {
  if (!bench.wants(row)) return;
  const long count = bench.scaled(500'000);
  asio::io_context context;
  auto work = asio::make_work_guard(context);
  long called = 0;
  const measure::Stopwatch watch;
  std::thread poster([&context, &work, &called, count] {
    for (long i = 0; i < count; ++i) {
      asio::post(context, [&work, &called, count] {
        if (++called == count) work.reset();
      });
    }
  });
  context.run();
  poster.join();
  bench.report(row, count, watch);
}

void thread_post_latency(const Bench& bench, const char* row) {
  if (!bench.wants(row)) return;
  asio::io_context context;
  auto work = asio::make_work_guard(context);
  std::vector<double> times(static_cast<std::size_t>(bench.scaled(10'000)));
  std::thread poster([&context, &work, &times] {
    std::atomic<std::size_t> called{0};
    for (std::size_t i = 0; i < times.size(); ++i) {
      const double start = measure::wall_clock();
      asio::post(context, [&called] { called.fetch_add(1, std::memory_order_release); });
      while (called.load(std::memory_order_acquire) <= i) {
      }
      times[i] = measure::wall_clock() - start;
      std::this_thread::sleep_for(20us);
    }
    asio::post(context, [&work] { work.reset(); });
  });
  context.run();
  poster.join();
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  bench.report_value(row, times[times.size() / 2]);
}

// Memory -----------------------------------------------------------------------------------

Awaitable<> wait_for_ever(Timer& never) { co_await never.async_wait(use_awaitable); }

Awaitable<> memory(const Bench& bench, Executor executor) {
  constexpr int task_count = 100'000;
  Timer never(executor, Timer::time_point::max());
  const double before = measure::resident_bytes();
  for (int i = 0; i < task_count; ++i) {
    asio::co_spawn(executor, wait_for_ever(never), asio::detached);
  }
  for (int i = 0; i < 3; ++i) co_await asio::post(executor, use_awaitable);
  bench.report_value("memory_per_task", (measure::resident_bytes() - before) / task_count);
  ::_exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("asio", argc, argv);
  asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  const Executor executor = context.get_executor();
  asio::co_spawn(executor, bench.is_memory() ? memory(bench, executor) : rows(bench, executor),
                 asio::detached);
  context.run();
  thread_post(bench, "thread_post");
  thread_post_latency(bench, "thread_post_latency");
}
