// SPDX-License-Identifier: MIT
// Work in threads and processes, and files, as coroutines of aster see them.
#include "files.hpp"
#include "measure.hpp"

#include <aster/aster.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace {

using measure::Bench;

std::size_t size_of(const std::string& text) { return text.size(); }
int add_one(int n) { return n + 1; }

aster::Coroutine<> thread_round_trips(const Bench& bench) {
  const long count = bench.scaled(50'000);
  aster::EventLoop& loop = aster::get_running_loop();
  aster::ThreadPoolExecutor pool{{.max_workers = measure::pool_threads}};
  for (long i = 0; i < count / 10; ++i) (void)co_await loop.run_in_executor(&pool, add_one, 1);
  const measure::Stopwatch watch;
  for (long i = 0; i < count; ++i) (void)co_await loop.run_in_executor(&pool, add_one, 1);
  bench.report("thread_round_trip", count, watch);
}

aster::Coroutine<> threads_100(const Bench& bench) {
  const long count = bench.scaled(200'000, 100);
  aster::EventLoop& loop = aster::get_running_loop();
  aster::ThreadPoolExecutor pool{{.max_workers = measure::pool_threads}};
  const measure::Stopwatch watch;
  for (long i = 0; i < count; i += 100) {
    std::vector<aster::Future<int>> futures;
    futures.reserve(100);
    for (int k = 0; k < 100; ++k) futures.push_back(loop.run_in_executor(&pool, add_one, 1));
    for (auto& future : futures) (void)co_await future;
  }
  bench.report("threads_100", count, watch);
}

void process_round_trips(const Bench& bench, const char* row, std::size_t size, long count) {
  if (!bench.wants(row)) return;
  aster::ProcessPoolExecutor pool{{.max_workers = 1}};
  const std::string argument(size, 'x');
  for (int i = 0; i < 5; ++i) (void)pool.submit(size_of, argument).result();
  const measure::Stopwatch watch;
  for (long i = 0; i < count; ++i) (void)pool.submit(size_of, argument).result();
  bench.report(row, count, watch);
}

void process_throughput(const Bench& bench, const char* row, std::size_t chunk) {
  if (!bench.wants(row)) return;
  aster::ProcessPoolExecutor pool{{.max_workers = 1}};
  const long count = bench.scaled(static_cast<long>(20'000 * chunk), 1000);
  const std::vector<int> numbers(static_cast<std::size_t>(count), 1);
  (void)pool.submit(add_one, 1).result();
  const measure::Stopwatch watch;
  long sum = 0;
  for (const int n : pool.map(add_one, numbers, {.chunksize = chunk})) sum += n;
  measure::keep(sum);
  bench.report(row, count, watch);
}

aster::Coroutine<> read_file(const Bench& bench, const char* row, std::size_t piece) {
  const files::Large large(bench);
  std::string buffer(piece, '\0');
  aster::File warm = co_await aster::open(large.path());
  while (co_await warm.readinto(buffer) != 0) {
  }
  co_await warm.close();
  const measure::Stopwatch watch;
  aster::File file = co_await aster::open(large.path());
  while (co_await file.readinto(buffer) != 0) measure::keep(buffer);
  co_await file.close();
  bench.report(row, large.mebibytes(), watch);
}

aster::Coroutine<> read_small(const files::Small& small, long first, long step) {
  for (long i = first; i < small.count(); i += step) {
    aster::File file = co_await aster::open(small.path(i));
    const std::string bytes = co_await file.read();
    measure::keep(bytes);
    co_await file.close();
  }
}

aster::Coroutine<> small_files(const Bench& bench, const char* row, long tasks) {
  const files::Small small(bench);
  co_await read_small(small, 0, 1);
  const measure::Stopwatch watch;
  std::vector<aster::Coroutine<>> readers;
  for (long i = 0; i < tasks; ++i) readers.push_back(read_small(small, i, tasks));
  auto all = aster::gather(std::move(readers));
  co_await std::move(all);
  bench.report(row, small.count(), watch);
}

aster::Coroutine<> read_lines(const Bench& bench) {
  const files::Lines lines(bench);
  const measure::Stopwatch watch;
  aster::File file = co_await aster::open(lines.path());
  long count = 0;
  while (auto line = co_await file.readline()) ++count;
  co_await file.close();
  bench.report("lines", count, watch);
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("aster", argc, argv);
  if (bench.wants("thread_round_trip")) aster::run(thread_round_trips(bench));
  if (bench.wants("threads_100")) aster::run(threads_100(bench));
  process_round_trips(bench, "process_round_trip_1", 1, bench.scaled(20'000));
  process_round_trips(bench, "process_round_trip_1m", 1 << 20, bench.scaled(1'000));
  process_throughput(bench, "process_calls", 1);
  process_throughput(bench, "process_calls_100", 100);
  if (bench.wants("read_64k")) aster::run(read_file(bench, "read_64k", 65536));
  if (bench.wants("read_1m")) aster::run(read_file(bench, "read_1m", 1 << 20));
  if (bench.wants("small_files")) aster::run(small_files(bench, "small_files", 1));
  if (bench.wants("small_files_50")) aster::run(small_files(bench, "small_files_50", 50));
  if (bench.wants("lines")) aster::run(read_lines(bench));
}
