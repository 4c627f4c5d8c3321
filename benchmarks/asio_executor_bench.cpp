// SPDX-License-Identifier: MIT
// The thread rows of executor_bench.cpp in Boost.Asio: post(pool), and back to the context.
#include "measure.hpp"

#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace {

namespace asio = boost::asio;
using measure::Bench;

asio::awaitable<void> round_trips(asio::io_context& context, asio::thread_pool& pool, long count,
                                  int& result) {
  for (long i = 0; i < count; ++i) {
    co_await asio::post(pool, asio::use_awaitable);
    ++result;  // In the pool's thread.
    co_await asio::post(context, asio::use_awaitable);
  }
}

void thread_round_trips(const Bench& bench) {
  if (!bench.wants("thread_round_trip")) return;
  const long count = bench.scaled(50'000);
  asio::io_context context(1);
  asio::thread_pool pool(measure::pool_threads);
  auto guard = asio::make_work_guard(context);
  int result = 0;
  const measure::Stopwatch watch;
  asio::co_spawn(context, round_trips(context, pool, count, result),
                 [&guard](std::exception_ptr) { guard.reset(); });
  context.run();
  measure::keep(result);
  bench.report("thread_round_trip", count, watch);
}

void threads_100(const Bench& bench) {
  if (!bench.wants("threads_100")) return;
  const long count = bench.scaled(200'000, 100);
  asio::io_context context(1);
  asio::thread_pool pool(measure::pool_threads);
  const measure::Stopwatch watch;
  int results = 0;
  for (long i = 0; i < count; i += 100) {
    auto guard = asio::make_work_guard(context);
    int left = 100;
    for (int k = 0; k < 100; ++k) {
      asio::post(pool, [&] {
        asio::post(context, [&] {
          ++results;
          if (--left == 0) guard.reset();
        });
      });
    }
    context.restart();
    context.run();
  }
  measure::keep(results);
  bench.report("threads_100", count, watch);
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("asio", argc, argv);
  thread_round_trips(bench);
  threads_100(bench);
}
