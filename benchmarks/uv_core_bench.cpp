// SPDX-License-Identifier: MIT
// The rows of core_bench.cpp that libuv has a counterpart for: timers and waking from
// another thread. It has callbacks, no tasks: its sleeps are bare timers.
#include "measure.hpp"

#include <uv.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace {

using measure::Bench;

constexpr std::uint64_t hour = 3'600'000;  // Its clock counts milliseconds.

void on_timer(uv_timer_t*) {}

void timer_start_cancel(const Bench& bench, uv_loop_t* loop) {
  if (!bench.wants("timer_start_cancel")) return;
  uv_timer_t timer;
  uv_timer_init(loop, &timer);
  const long count = bench.scaled(1'000'000);
  const measure::Stopwatch watch;
  for (long i = 0; i < count; ++i) {
    uv_timer_start(&timer, on_timer, hour, 0);
    uv_timer_stop(&timer);
  }
  bench.report("timer_start_cancel", count, watch);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(loop, UV_RUN_DEFAULT);
}

std::vector<uv_timer_t> make_timers(uv_loop_t* loop, std::size_t count) {
  std::vector<uv_timer_t> timers(count);
  for (uv_timer_t& timer : timers) uv_timer_init(loop, &timer);
  return timers;
}

void close_timers(std::vector<uv_timer_t>& timers, uv_loop_t* loop) {
  for (uv_timer_t& timer : timers) uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(loop, UV_RUN_DEFAULT);
}

void timer_replace_100k(const Bench& bench, uv_loop_t* loop) {
  if (!bench.wants("timer_replace_100k")) return;
  std::vector<uv_timer_t> timers = make_timers(loop, 100'000);
  std::minstd_rand random(1);
  for (uv_timer_t& timer : timers) uv_timer_start(&timer, on_timer, hour + random() % 1'000'000, 0);
  const long count = bench.scaled(1'000'000);
  std::size_t next = 0;
  const measure::Stopwatch watch;
  for (long i = 0; i < count; ++i) {
    uv_timer_stop(&timers[next]);
    uv_timer_start(&timers[next], on_timer, hour + random() % 1'000'000, 0);
    next = (next + 1) % timers.size();
  }
  bench.report("timer_replace_100k", count, watch);
  close_timers(timers, loop);
}

void sleeps(const Bench& bench, uv_loop_t* loop) {
  if (!bench.wants("sleep_100k")) return;
  const long count = bench.scaled(100'000);
  std::vector<uv_timer_t> timers = make_timers(loop, static_cast<std::size_t>(count));
  std::minstd_rand random(1);
  const measure::Stopwatch watch;
  for (uv_timer_t& timer : timers) uv_timer_start(&timer, on_timer, 1 + random() % 100, 0);
  uv_run(loop, UV_RUN_DEFAULT);
  bench.report("sleep_100k", count, watch);
  close_timers(timers, loop);
}

struct Latency {
  uv_async_t async{};
  std::atomic<std::size_t> called{0};
  std::atomic<bool> over{false};
};

void thread_post_latency(const Bench& bench, uv_loop_t* loop) {
  if (!bench.wants("thread_post_latency")) return;
  Latency latency;
  latency.async.data = &latency;
  uv_async_init(loop, &latency.async, [](uv_async_t* async) {
    auto& self = *static_cast<Latency*>(async->data);
    self.called.fetch_add(1, std::memory_order_release);
    if (self.over) uv_close(reinterpret_cast<uv_handle_t*>(async), nullptr);
  });
  std::vector<double> times(static_cast<std::size_t>(bench.scaled(10'000)));
  std::thread poster([&latency, &times] {
    for (std::size_t i = 0; i < times.size(); ++i) {
      const double start = measure::wall_clock();
      uv_async_send(&latency.async);
      while (latency.called.load(std::memory_order_acquire) <= i) {
      }
      times[i] = measure::wall_clock() - start;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    latency.over = true;
    uv_async_send(&latency.async);
  });
  uv_run(loop, UV_RUN_DEFAULT);
  poster.join();
  std::nth_element(times.begin(), times.begin() + static_cast<long>(times.size() / 2), times.end());
  bench.report_value("thread_post_latency", times[times.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("libuv", argc, argv);
  if (bench.is_memory()) return 0;
  uv_loop_t* loop = uv_default_loop();
  timer_start_cancel(bench, loop);
  timer_replace_100k(bench, loop);
  sleeps(bench, loop);
  thread_post_latency(bench, loop);
  return uv_loop_close(loop);
}
