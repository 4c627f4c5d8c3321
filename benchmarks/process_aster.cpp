// SPDX-License-Identifier: MIT
// Starts programs and waits for them, with aster.
//
//   process_aster wait|output COUNT AT_A_TIME RESIDENT_MIB
//
// `output` reads what the program writes to a pipe. Prints microseconds of real time for
// each, the program's own included.
#include <aster/aster.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

aster::Coroutine<> wait_each(int count) {
  for (int i = 0; i < count; ++i) {
    aster::Process process = co_await aster::create_subprocess_exec({}, "/bin/true");
    const int code = co_await process.wait();
    if (code != 0) std::abort();
  }
}

aster::Coroutine<> read_each(int count) {
  for (int i = 0; i < count; ++i) {
    aster::Process process =
        co_await aster::create_subprocess_exec({.stdout_ = aster::PIPE}, "/bin/echo", "x");
    const aster::ProcessOutput output = co_await process.communicate();
    if (output.stdout_data != "x\n") std::abort();
  }
}

aster::Coroutine<> all(bool with_output, int count, int at_a_time) {
  std::vector<aster::Coroutine<>> lanes;
  for (int i = 0; i < at_a_time; ++i) {
    lanes.push_back(with_output ? read_each(count / at_a_time) : wait_each(count / at_a_time));
  }
  co_await aster::gather(std::move(lanes));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const bool with_output = std::string_view(argv[1]) == "output";
  const int count = std::atoi(argv[2]);
  const std::vector<char> resident(static_cast<std::size_t>(std::atoi(argv[4])) << 20, 'x');
  const auto begin = std::chrono::steady_clock::now();
  aster::run(all(with_output, count, std::atoi(argv[3])));
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - begin;
  std::printf("%.3f\n", taken.count() / count);
  return resident.size() == 1 ? 1 : 0;
}
