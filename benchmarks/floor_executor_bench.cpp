// SPDX-License-Identifier: MIT
// The floor of executor_bench.cpp: the least that the system needs for it. A thread pool of a
// mutex and a condition, a bare socketpair, read(2) and getline without a loop.
#include "files.hpp"
#include "measure.hpp"

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using measure::Bench;

/// Threads that run what they are given and tell of it by an eventfd, as a loop needs it.
class Pool {
 public:
  Pool() : done_(::eventfd(0, 0)) {
    for (std::thread& thread : threads_) thread = std::thread([this] { work(); });
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    for (std::size_t i = 0; i < threads_.size(); ++i) submit(nullptr);
    for (std::thread& thread : threads_) thread.join();
    ::close(done_);
  }
  void submit(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }
  void wait_for(long count) {
    while (count > 0) {
      pollfd waiting{done_, POLLIN, 0};
      ::poll(&waiting, 1, -1);
      std::uint64_t done = 0;
      if (::read(done_, &done, sizeof done) != sizeof done) std::abort();
      count -= static_cast<long>(done);
    }
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job) return;
      job();
      const std::uint64_t one = 1;
      if (::write(done_, &one, sizeof one) != sizeof one) std::abort();
    }
  }

  int done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::array<std::thread, measure::pool_threads> threads_;
};

void threads(const Bench& bench, const char* row, long count, long batch) {
  if (!bench.wants(row)) return;
  Pool pool;
  std::atomic<int> result = 0;
  const measure::Stopwatch watch;
  for (long i = 0; i < count; i += batch) {
    for (long k = 0; k < batch; ++k) pool.submit([&result] { ++result; });
    pool.wait_for(batch);
  }
  measure::keep(result.load());
  bench.report(row, count, watch);
}

bool transfer(int fd, char* data, std::size_t size, bool out) {
  while (size != 0) {
    const ssize_t count = out ? ::write(fd, data, size) : ::read(fd, data, size);
    if (count <= 0) return false;
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

void processes(const Bench& bench, const char* row, std::size_t size, long count) {
  if (!bench.wants(row)) return;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
  std::string message(size, 'x');
  std::uint64_t answer = 0;
  auto* answer_bytes = reinterpret_cast<char*>(&answer);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    while (transfer(ends[1], message.data(), size, false)) {
      transfer(ends[1], answer_bytes, sizeof answer, true);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  const measure::Stopwatch watch;
  for (long i = 0; i < count; ++i) {
    transfer(ends[0], message.data(), size, true);
    transfer(ends[0], answer_bytes, sizeof answer, false);
  }
  bench.report(row, count, watch);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
}

void read_all(const std::string& path, std::string& buffer) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  while (::read(fd, buffer.data(), buffer.size()) > 0) measure::keep(buffer);
  ::close(fd);
}

void read_file(const Bench& bench, const char* row, std::size_t piece) {
  if (!bench.wants(row)) return;
  const files::Large large(bench);
  std::string buffer(piece, '\0');
  read_all(large.path(), buffer);
  const measure::Stopwatch watch;
  read_all(large.path(), buffer);
  bench.report(row, large.mebibytes(), watch);
}

void small_files(const Bench& bench, const char* row) {
  if (!bench.wants(row)) return;
  const files::Small small(bench);
  std::string buffer(65536, '\0');
  for (long i = 0; i < small.count(); ++i) read_all(small.path(i), buffer);
  const measure::Stopwatch watch;
  for (long i = 0; i < small.count(); ++i) read_all(small.path(i), buffer);
  bench.report(row, small.count(), watch);
}

void read_lines(const Bench& bench) {
  if (!bench.wants("lines")) return;
  const files::Lines lines(bench);
  const measure::Stopwatch watch;
  std::ifstream file(lines.path());
  std::string line;
  long count = 0;
  while (std::getline(file, line)) ++count;
  bench.report("lines", count, watch);
}

}  // namespace

int main(int argc, char** argv) {
  const Bench bench("floor", argc, argv);
  threads(bench, "thread_round_trip", bench.scaled(50'000), 1);
  threads(bench, "threads_100", bench.scaled(200'000, 100), 100);
  processes(bench, "process_round_trip_1", 1, bench.scaled(20'000));
  processes(bench, "process_round_trip_1m", 1 << 20, bench.scaled(1'000));
  read_file(bench, "read_64k", 65536);
  read_file(bench, "read_1m", 1 << 20);
  small_files(bench, "small_files");
  small_files(bench, "small_files_50");
  read_lines(bench);
}
