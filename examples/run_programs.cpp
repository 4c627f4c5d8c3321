// SPDX-License-Identifier: MIT
// Runs the commands that are given, all at once, and prints what each has written as soon
// as it ends. A command that takes too long is killed. Try:
//   run_programs "sleep 1; echo slow" "echo fast" "sleep 60"
#include <aster/aster.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

struct Finished {
  Finished(std::string text, int returncode) : output(std::move(text)), code(returncode) {}
  std::string output;
  int code;
};

aster::Coroutine<Finished> run_command(std::string command) {
  aster::Process process =
      co_await aster::create_subprocess_shell(command, {.stdin_ = aster::DEVNULL,
                                                        .stdout_ = aster::PIPE,
                                                        .stderr_ = aster::STDOUT,
                                                        .process_group = 0});
  auto talking = aster::create_task(process.communicate());
  auto output = co_await aster::outcome(aster::wait_for(talking, 10s));
  if (!output.has_value()) {
    ::kill(-process.pid(), SIGKILL);  // The shell's group: what it has started, too.
    int code = co_await process.wait();
    co_return Finished("took too long\n", code);
  }
  co_return Finished(output.value().stdout_data, *process.returncode());
}

aster::Coroutine<> report(std::string command) {
  Finished finished = co_await run_command(command);
  std::cout << "[" << command << "] " << finished.code << "\n" << finished.output << std::flush;
}

aster::Coroutine<> run_all(std::vector<std::string> commands) {
  std::vector<aster::Coroutine<>> reports;
  for (std::string& command : commands) reports.push_back(report(std::move(command)));
  co_await aster::gather(std::move(reports));
}

int main(int argc, char** argv) {
  return aster::main(run_all(std::vector<std::string>(argv + 1, argv + argc)));
}
