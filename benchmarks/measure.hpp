// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <time.h>
#include <unistd.h>

/// What the in-process programs share: a clock of CPU time, the command line, and
/// one line of JSON for each row. Each program measures the same rows, each in the
/// words of its own library, so that run.py can put them side by side.
namespace measure {

/// Nanoseconds of one of the system's clocks.
inline double nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

inline double wall_clock() { return nanoseconds(CLOCK_MONOTONIC); }

/// Measures from its construction on: the CPU time of all threads, and real time.
class Stopwatch {
 public:
  [[nodiscard]] double cpu() const { return nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_; }
  [[nodiscard]] double wall() const { return wall_clock() - wall_; }

 private:
  double cpu_ = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  double wall_ = wall_clock();
};

/// Bytes of this process that are in memory.
inline double resident_bytes() {
  long total = 0;
  long resident = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file != nullptr) {
    if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// The value is used: its computation stays.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(value) : "memory");
}

/// Of a pool, of whichever library: what libuv has unless told otherwise.
constexpr int pool_threads = 4;

/// The rows that were asked for, and how they are printed.
///
///     core_bench [--rows NAME,NAME] [--scale FACTOR] [--memory]
///
/// --scale makes every row longer or shorter. --memory prints the memory of a
/// suspended task and nothing else: it needs a process that has done nothing before.
class Bench {
 public:
  Bench(std::string_view library, int argc, char** argv) : library_(library) {
    for (int i = 1; i < argc; ++i) {
      const std::string_view option = argv[i];
      if (option == "--memory") {
        memory_ = true;
      } else if (option == "--rows" && i + 1 < argc) {
        rows_ = std::string(",") + argv[++i] + ",";
      } else if (option == "--scale" && i + 1 < argc) {
        scale_ = std::atof(argv[++i]);
      } else {
        std::fprintf(stderr, "usage: %s [--rows NAME,NAME] [--scale FACTOR] [--memory]\n", argv[0]);
        std::exit(2);
      }
    }
  }

  [[nodiscard]] bool is_memory() const { return memory_; }

  [[nodiscard]] bool wants(std::string_view row) const {
    return rows_.empty() || rows_.find("," + std::string(row) + ",") != std::string::npos;
  }

  /// `count` times the scale, rounded down to a multiple of `unit`, at least one unit.
  [[nodiscard]] long scaled(long count, long unit = 1) const {
    const long units = static_cast<long>(static_cast<double>(count) * scale_) / unit;
    return (units > 0 ? units : 1) * unit;
  }

  /// Prints a row whose `count` operations took as long as `watch` says.
  void report(const char* row, long count, const Stopwatch& watch) const {
    const double cpu = watch.cpu();
    const double wall = watch.wall();
    std::printf(
        "{\"library\": \"%s\", \"row\": \"%s\", \"operations\": %ld, \"cpu_ns\": %.2f, "
        "\"wall_ns\": %.2f}\n",
        library_.c_str(), row, count, cpu / static_cast<double>(count),
        wall / static_cast<double>(count));
    std::fflush(stdout);
  }

  /// Prints a row that is one number, in the unit that the row's name says.
  void report_value(const char* row, double value) const {
    std::printf("{\"library\": \"%s\", \"row\": \"%s\", \"value\": %.1f}\n", library_.c_str(), row,
                value);
    std::fflush(stdout);
  }

 private:
  std::string library_;
  std::string rows_;  // ",a,b,"; empty: all.
  double scale_ = 1;
  bool memory_ = false;
};

}  // namespace measure
